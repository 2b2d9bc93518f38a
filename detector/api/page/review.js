// Review: the visits of a day, one after the other, with picture, path, clip and why each alerted or did not.

import { Refused, Unauthorized, ask, read } from "./api.js";
import { clock, count, element, setText, span } from "./dom.js";
import { PathPicture } from "./path.js";

const PAGE = 50;
const day = (date) => `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, "0")}-${String(date.getDate()).padStart(2, "0")}`;
const address = (id, rest = "") => `api/events/${encodeURIComponent(id)}${rest}`;

// Why a visit alerted or did not, in words.
export function verdictOf({ alerts, suppressed, why }) {
  if (alerts?.length) return { alerted: true, text: alerts[0].zones?.length ? `Alert: in ${alerts[0].zones.join(", ")}` : "Alert" };
  if (suppressed) return { alerted: false, text: `No alert: ${suppressed.reason}` };
  return { alerted: false, text: why ? `No alert: ${why}` : "No alert" };
}

export class Review {
  constructor(root, { onPlay, onUnauthorized }) {
    Object.assign(this, { root, onPlay, onUnauthorized, visits: [], chosen: null, asked: 0, opened: false });
    this.date = element("input", { type: "date", id: "review-day", value: day(new Date()) });
    this.camera = this.#select("review-camera", [["", "all cameras"]]);
    this.zone = this.#select("review-zone", [["", "all zones"]]);
    this.alerted = this.#select("review-alerted", [["", "all visits"], ["true", "with an alert"], ["false", "without an alert"]]);
    this.export = element("a", { className: "plain button", download: "" }, "Export as zip");
    this.list = element("ol", { className: "review-list", "aria-label": "Visits, newest first" });
    this.total = element("p", { className: "quiet", role: "status" });
    this.more = this.#button("Older visits", () => this.#load(true));
    this.message = element("p", { className: "message", role: "status" });
    this.picture = new PathPicture();
    this.facts = element("dl", { className: "facts" });
    this.why = element("p", { className: "why" });
    this.title = element("h3", { tabIndex: -1 });
    this.play = this.#button("Play the clip", () => this.onPlay(this.title.textContent, address(this.chosen, "/clip.mp4")));
    this.nobody = this.#button("Nobody is here", () => this.#suppress());
    this.remove = this.#button("Delete", () => this.#delete());
    this.detail = element("section", { className: "review-detail", "aria-label": "Visit", hidden: true });
    this.#build();
  }

  #button(text, act) {
    const made = element("button", { type: "button", className: "plain" }, text);
    made.addEventListener("click", act);
    return made;
  }

  #select(id, options) {
    return element("select", { id }, ...options.map(([value, text]) => element("option", { value }, text)));
  }

  #build() {
    const field = (label, input, ...more) => element("p", {}, element("label", { htmlFor: input.id }, label), ...more, input);
    for (const input of [this.date, this.camera, this.zone, this.alerted]) input.addEventListener("change", () => this.#load());
    this.detail.append(
      this.title, this.why, this.picture.root,
      element("p", { className: "buttons" }, this.play, this.nobody, this.remove,
        this.#button("Newer", () => this.#step(-1)), this.#button("Older", () => this.#step(1))),
      this.facts);
    this.root.append(
      element("h2", {}, "Review"),
      element("div", { className: "filters" },
        element("p", {}, this.#button("Day before", () => this.#shift(-1)), " ", this.#button("Day after", () => this.#shift(1))),
        field("Day", this.date), field("Camera", this.camera), field("Zone", this.zone), field("Alert", this.alerted),
        this.export),
      this.total, this.message,
      element("div", { className: "review" }, element("div", {}, this.list, this.more), this.detail));
    this.root.addEventListener("keydown", (event) => this.#key(event));
  }

  async open(id) {
    if (!this.opened || id !== this.wanted) {
      this.opened = true;
      this.wanted = id;
      await this.#fillCameras();
      if (id) await this.#openOne(id);
      else await this.#load();
    }
  }

  close() {
    this.opened = false;
  }

  async #fillCameras() {
    try {
      const { cameras } = await read("api/status");
      const chosen = this.camera.value;
      this.camera.replaceChildren(element("option", { value: "" }, "all cameras"), ...Object.keys(cameras).map((name) => element("option", { value: name }, name)));
      this.camera.value = chosen;
    } catch (error) {
      this.#failed("The cameras cannot be read", error);
    }
  }

  async #openOne(id) {
    try {
      const visit = await read(address(id));
      this.date.value = day(new Date(visit.start_time * 1000));
      this.camera.value = this.zone.value = this.alerted.value = "";
      await this.#load();
      await this.#choose(id);
    } catch (error) {
      this.#failed("The visit cannot be shown", error);
    }
  }

  #bounds() {
    const [year, month, date] = this.date.value.split("-").map(Number);
    return [new Date(year, month - 1, date), new Date(year, month - 1, date + 1)].map((when) => when.getTime() / 1000);
  }

  #query() {
    const [after, before] = this.#bounds();
    const query = new URLSearchParams({ after, before });
    for (const [key, input] of [["camera", this.camera], ["zone", this.zone], ["alerted", this.alerted]]) if (input.value) query.set(key, input.value);
    return query;
  }

  async #load(older = false) {
    if (!this.date.value) this.date.value = day(new Date());
    const query = this.#query();
    this.export.href = `api/events/export.zip?${query}`;
    query.set("limit", PAGE);
    if (older) query.set("before_id", this.visits.at(-1).id);
    const asked = ++this.asked;
    try {
      const found = await read(`api/events?${query}`);
      if (asked === this.asked) this.#show(older ? [...this.visits, ...found] : found, found.length === PAGE);
    } catch (error) {
      this.#failed("The visits cannot be read", error);
    }
  }

  #show(visits, more) {
    this.visits = visits;
    this.more.hidden = !more;
    this.export.hidden = visits.length === 0;
    const alerts = visits.filter(({ alerts: raised }) => raised?.length).length;
    setText(this.total, visits.length ? `${count(visits.length, "visit")}${more ? " so far" : ""}, ${count(alerts, "with an alert", "with alerts")}` : "No visits match.");
    this.#fillZones();
    this.#showRows(visits);
    this.#mark();
    if (!visits.some(({ id }) => id === this.chosen)) {
      this.chosen = null;
      this.detail.hidden = true;
    }
  }

  // Rows that stay are not touched: a focused one keeps the focus, its picture is not loaded again.
  #showRows(visits) {
    const old = new Map([...this.list.children].map((row) => [row.dataset.key, row]));
    const rows = visits.map((visit) => old.get(JSON.stringify(visit)) || this.#row(visit));
    rows.forEach((row, place) => {
      if (this.list.children[place] !== row) this.list.insertBefore(row, this.list.children[place] || null);
    });
    while (this.list.children.length > rows.length) this.list.lastChild.remove();
  }

  #fillZones() {
    const known = new Set([...this.zone.options].map(({ value }) => value));
    for (const zone of new Set(this.visits.flatMap(({ entered_zones: zones }) => zones))) {
      if (!known.has(zone)) this.zone.append(element("option", { value: zone }, zone));
    }
  }

  #row(visit) {
    const { alerted, text } = verdictOf(visit);
    const picture = visit.has_snapshot ? element("img", { alt: "", loading: "lazy", src: address(visit.id, "/snapshot.jpg") }) : element("span", { className: "none" });
    const open = element("button", { type: "button", className: "review-row" }, picture,
      element("span", {},
        element("strong", {}, clock(visit.start_time)), ` ${visit.camera}`,
        element("span", { className: alerted ? "verdict-line yes" : "verdict-line" }, text)));
    open.addEventListener("click", () => this.#choose(visit.id));
    const row = element("li", {}, open);
    row.dataset.id = visit.id;
    row.dataset.key = JSON.stringify(visit);
    return row;
  }

  #mark() {
    for (const row of this.list.children) {
      const chosen = row.dataset.id === this.chosen;
      if (chosen) row.firstChild.setAttribute("aria-current", "true");
      else row.firstChild.removeAttribute("aria-current");
      if (chosen) row.scrollIntoView({ block: "nearest" });
    }
  }

  async #choose(id) {
    this.chosen = id;
    this.#mark();
    try {
      const visit = await read(address(id));
      if (this.chosen === id) this.#detail(visit);
    } catch (error) {
      this.#failed("The visit cannot be shown", error);
    }
  }

  #detail(visit) {
    setText(this.title, `${visit.camera}, ${clock(visit.start_time)}`);
    const { alerted, text } = verdictOf(visit);
    setText(this.why, text);
    this.why.classList.toggle("yes", alerted);
    this.picture.show(visit);
    const stayed = visit.end_time === null ? "in view now" : span(Math.max(1, visit.end_time - visit.start_time));
    const rows = [
      ["Stayed", stayed], ["Best score", visit.top_score === null ? "–" : `${Math.round(visit.top_score * 100)} %`],
      ["Zones", visit.entered_zones.join(", ") || "none"],
      ["Alerts", (visit.alerts || []).map(({ captured_at: at }) => (at ? clock(Date.parse(at) / 1000) : "yes")).join(", ") || "none"],
    ];
    this.facts.replaceChildren(...rows.map(([term, words]) => element("div", {}, element("dt", {}, term), element("dd", {}, words))));
    this.play.hidden = !visit.has_clip;
    this.nobody.hidden = Boolean(visit.suppressed?.asked);
    this.remove.disabled = visit.end_time === null;
    this.#armDelete(false);
    this.detail.hidden = false;
  }

  // Arrow keys and j, k turn from visit to visit, and load older ones at the end.
  #key(event) {
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
    event.preventDefault();
    this.#step(step);
  }

  async #step(by) {
    const at = this.visits.findIndex(({ id }) => id === this.chosen) + by;
    if (at >= this.visits.length && !this.more.hidden) await this.#load(true);
    const next = this.visits[Math.max(0, at)];
    if (!next) return;
    const focused = this.list.contains(document.activeElement);
    await this.#choose(next.id);
    if (focused) this.list.querySelector("[aria-current]")?.focus();
  }

  #shift(days) {
    const [year, month, date] = this.date.value.split("-").map(Number);
    this.date.value = day(new Date(year, month - 1, date + days));
    this.#load();
  }

  async #suppress() {
    await this.#change("The visit was not marked as nobody", address(this.chosen, "/suppress"), { method: "POST", body: {} }, "Marked: what is seen there raises no more alerts. Undo it on the Watch page.");
  }

  #armDelete(armed) {
    this.remove.dataset.armed = armed ? "yes" : "";
    setText(this.remove, armed ? "Delete for good: press again" : "Delete");
  }

  async #delete() {
    if (!this.remove.dataset.armed) {
      this.#armDelete(true);
      return;
    }
    const at = this.visits.findIndex(({ id }) => id === this.chosen);
    await this.#change("The visit was not deleted", address(this.chosen), { method: "DELETE" }, "The visit was deleted.");
    const next = this.visits[Math.min(at, this.visits.length - 1)];
    if (next) await this.#choose(next.id);
  }

  async #change(failed, path, how, done) {
    try {
      await ask(path, how);
      await this.#load();
      this.#say(done);
    } catch (error) {
      this.#failed(failed, error);
    }
  }

  #failed(what, error) {
    if (error instanceof Unauthorized) this.onUnauthorized();
    this.#say(`${what}: ${error instanceof Refused ? error.message : "the detector cannot be reached"}.`, true);
  }

  #say(text, bad = false) {
    setText(this.message, text);
    this.message.classList.toggle("bad", bad);
  }
}
