// The last visits, newest first, each with the picture of its alert.

import { clock, element, setText, span } from "./dom.js";

export class Visits {
  constructor(root, empty, { onOpen, onSuppress }) {
    Object.assign(this, { root, empty, onOpen, onSuppress, rows: new Map() });
  }

  show(events) {
    const rows = events.map((event) => this.#row(event));
    this.rows = new Map(rows.map((row) => [row.dataset.id, row]));
    // Rows that stay are not touched: a focused one keeps the focus, its picture is not loaded again.
    rows.forEach((row, place) => {
      if (this.root.children[place] !== row) this.root.insertBefore(row, this.root.children[place] || null);
    });
    while (this.root.children.length > rows.length) this.root.lastChild.remove();
    this.empty.hidden = rows.length > 0;
  }

  #row(event) {
    const row = this.rows.get(event.id) || this.#create(event);
    const zones = event.entered_zones?.length ? `, ${event.entered_zones.join(", ")}` : "";
    const score = event.top_score === null ? "" : ` · ${Math.round(event.top_score * 100)} %`;
    setText(row.querySelector(".where"), `${event.camera}${zones}${score}`);
    const stay = event.end_time === null ? "in view now" : `stayed ${span(Math.max(1, event.end_time - event.start_time))}`;
    const ago = Math.max(0, Date.now() / 1000 - event.start_time);
    setText(row.querySelector(".how"), stay);
    setText(row.querySelector("time"), ago < 60 ? "just now" : `${span(ago)} ago`);
    row.classList.toggle("now", event.end_time === null);
    this.#suppressed(row, event);
    return row;
  }

  #suppressed(row, { suppressed, start_time: start }) {
    const note = row.querySelector(".suppressed");
    setText(note, suppressed ? `No alert: ${suppressed.reason}; visit ${suppressed.matches} since ${clock(suppressed.since)}` : "");
    note.hidden = !suppressed;
    row.classList.toggle("held", Boolean(suppressed));
    const button = row.querySelector(".nobody");
    // What is learnt is forgotten after days; a press keeps it.
    const confirms = suppressed && !suppressed.asked;
    setText(button, confirms ? "Nobody is here: keep it so" : "Nobody is here");
    button.setAttribute("aria-label", `Nobody is here: no more alerts of what was seen at ${clock(start)}`);
    button.hidden = Boolean(suppressed) && !confirms;
  }

  #create(event) {
    const when = clock(event.start_time);
    const row = element("li", { className: "visit" });
    row.dataset.id = event.id;
    const thumb = event.has_snapshot
      ? element("button", { type: "button", className: "thumb", "aria-label": `Enlarge the picture of ${when} at ${event.camera}` },
        element("img", { alt: "", loading: "lazy", src: snapshot(event.id) }))
      : element("span", { className: "thumb none" }, "no picture");
    if (event.has_snapshot) {
      thumb.addEventListener("click", () => this.onOpen(`${event.camera}, ${when}`, snapshot(event.id)));
      thumb.firstChild.addEventListener("error", () => thumb.classList.add("none"));
    }
    const nobody = element("button", { type: "button", className: "nobody" });
    nobody.addEventListener("click", async () => {
      nobody.disabled = true;
      await this.onSuppress(event.id);
      nobody.disabled = false;
    });
    const time = element("time", { dateTime: new Date(event.start_time * 1000).toISOString() });
    row.append(thumb, element("div", {},
      element("p", { className: "when" }, when),
      element("p", { className: "where" }),
      element("p", { className: "quiet" }, time, " · ", element("span", { className: "how" })),
      element("p", { className: "suppressed", hidden: true }),
      nobody));
    return row;
  }
}

function snapshot(id) {
  return `api/events/${encodeURIComponent(id)}/snapshot.jpg`;
}
