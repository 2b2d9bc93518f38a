// What raises no alert: each place with its picture, why, how often it was seen, and the way back.

import { clock, count, element, setText } from "./dom.js";

export class Suppressions {
  constructor(root, section, { onOpen, onUndo, onKeep }) {
    Object.assign(this, { root, section, onOpen, onUndo, onKeep, rows: new Map() });
  }

  show(found) {
    const rows = found.map((one) => this.#row(one));
    this.rows = new Map(rows.map((row) => [row.dataset.id, row]));
    rows.forEach((row, place) => {
      if (this.root.children[place] !== row) this.root.insertBefore(row, this.root.children[place] || null);
    });
    while (this.root.children.length > rows.length) this.root.lastChild.remove();
    this.section.hidden = rows.length === 0;
  }

  #row(one) {
    const row = this.rows.get(one.id) || this.#create(one);
    setText(row.querySelector(".where"), one.camera);
    setText(row.querySelector(".why"), one.reason);
    setText(row.querySelector(".matches"), `${count(one.matches, "visit")} since ${clock(one.since)}, the last ${clock(one.last_seen)}`);
    setText(row.querySelector(".proposal"), one.proposed ? "Seen again and again, and it never moved. Is nobody there?" : "");
    row.querySelector(".proposal").hidden = !one.proposed;
    row.querySelector(".keep").hidden = one.asked || !one.event_id;
    row.dataset.event = one.event_id || "";
    return row;
  }

  #create(one) {
    const row = element("li", { className: "visit suppression" });
    row.dataset.id = one.id;
    const title = `What raises no alert at ${one.camera}`;
    const source = `api/suppressions/${encodeURIComponent(one.id)}/snapshot.jpg`;
    const thumb = element("button", { type: "button", className: "thumb", "aria-label": `Enlarge: ${title}` },
      element("img", { alt: "", loading: "lazy", src: source }));
    thumb.addEventListener("click", () => this.onOpen(title, source));
    thumb.firstChild.addEventListener("error", () => thumb.classList.add("none"));
    const keep = this.#button("keep", "Nobody is here: keep it so", () => this.onKeep(row.dataset.event));
    const undo = this.#button("undo", "Undo", () => this.onUndo(one.id));
    undo.setAttribute("aria-label", `Undo: what is seen there at ${one.camera} alerts again`);
    row.append(thumb, element("div", {},
      element("p", { className: "where" }),
      element("p", { className: "why" }),
      element("p", { className: "quiet matches" }),
      element("p", { className: "proposal", hidden: true }),
      element("p", { className: "choices" }, keep, undo)));
    return row;
  }

  #button(name, text, act) {
    const button = element("button", { type: "button", className: `nobody ${name}` }, text);
    button.addEventListener("click", async () => {
      button.disabled = true;
      await act();
      button.disabled = false;
    });
    return button;
  }
}
