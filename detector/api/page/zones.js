// Zones, masks and sizes of one camera, drawn on its live picture, judged by today's visits before they are saved.

import { Refused, Unauthorized, ask, read } from "./api.js";
import { ShapeCanvas } from "./canvas.js";
import { clock, count, element, setText } from "./dom.js";
import { LiveImage } from "./live.js";
import { COLOURS, FAR_SHARE, MASK_COLOUR, NEAR_SHARE, areaOf, asName, freshName, outline, removePoint, square } from "./shapes.js";

const PREVIEW_MS = 400;
const FAR = { id: "far", label: "Far away", foot: 0.45, x: 0.3 };
const NEAR = { id: "near", label: "Close by", foot: 0.97, x: 0.7 };

function today() {
  const start = new Date();
  start.setHours(0, 0, 0, 0);
  return start.getTime() / 1000;
}

export class ZoneEditor {
  constructor(root, { onUnauthorized }) {
    Object.assign(this, { root, onUnauthorized, camera: "", draft: null, selected: null, ratio: 16 / 9, dirty: false, asked: 0 });
    this.picker = element("select", { id: "zone-camera" });
    this.picker.addEventListener("change", () => { location.hash = `#/zones/${this.picker.value}`; });
    this.image = element("img", { alt: "" });
    this.shapes = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.shapes.setAttribute("role", "group");
    this.canvas = new ShapeCanvas(this.shapes, { onChange: (id, points) => this.#moved(id, points), onSelect: (id) => this.#choose(id) });
    this.live = new LiveImage(this.image, { onUnauthorized, paceMs: 1000, onFault: (error) => this.#say(`No picture: ${error.message}.`, true) });
    this.list = element("ul", { className: "shape-list" });
    this.sizes = element("input", { type: "checkbox" });
    this.sizes.addEventListener("change", () => this.#change({ ...this.draft, sized: this.sizes.checked }));
    this.sizeNote = element("p", { className: "quiet" });
    this.verdict = element("p", { className: "preview-verdict", role: "status" });
    this.judged = element("ol", { className: "judged" });
    this.message = element("p", { className: "message", role: "status" });
    this.#build();
  }

  #build() {
    const button = (text, act, name = "plain") => {
      const made = element("button", { type: "button", className: name }, text);
      made.addEventListener("click", act);
      return made;
    };
    this.removePoint = button("Remove the point", () => this.#removePoint());
    this.save = button("Save", () => this.#save(), "primary");
    this.discard = button("Discard changes", () => this.#load());
    this.root.append(
      element("h2", {}, "Zones and masks"),
      element("p", { className: "field" }, element("label", { htmlFor: "zone-camera" }, "Camera "), this.picker),
      element("div", { className: "editor" },
        element("div", {},
          element("div", { className: "drawing" }, this.image, this.shapes),
          element("p", { className: "quiet" }, "Drag points and shapes, or move them with the arrow keys (Shift: ten times as far). A small point between two adds one there; Delete removes one. Feet decide: a person is in a zone while the feet are.")),
        element("div", { className: "tools" },
          this.list,
          element("p", { className: "buttons" },
            button("Add a zone", () => this.#add("zone")), button("Add a mask", () => this.#add("mask")), this.removePoint),
          element("label", { className: "check" }, this.sizes, " Ignore what is much smaller or larger than people here"),
          this.sizeNote,
          element("p", { className: "buttons" }, this.save, this.discard),
          this.message,
          element("h3", {}, "Who would have alerted here today"),
          this.verdict,
          this.judged)));
  }

  async open(camera) {
    try {
      const { cameras } = await read("api/status");
      const names = Object.keys(cameras);
      this.picker.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
      const wanted = names.includes(camera) ? camera : names[0];
      if (!wanted) return this.#say("There is no camera yet.", true);
      this.picker.value = wanted;
      if (wanted !== this.camera || !this.dirty) {
        this.camera = wanted;
        await this.#load();
      }
      this.live.show(wanted);
    } catch (error) {
      this.#failed("The zones cannot be shown", error);
    }
    return undefined;
  }

  close() {
    this.live.stop();
  }

  async #load() {
    try {
      const scene = await read(`api/cameras/${this.camera}/scene`);
      this.ratio = scene.width / scene.height;
      this.shapes.parentElement.style.aspectRatio = this.ratio;
      const shapes = Object.entries(scene.zones).map(([name, points]) => ({ kind: "zone", id: `zone/${name}`, name, points, alert: scene.alert_zones.includes(name) }));
      shapes.push(...scene.masks.map((points, place) => ({ kind: "mask", id: `mask/${place}`, points })));
      const sized = scene.min_area > 0.0001 || scene.max_area < 1;
      const outlines = {
        far: outline(sized ? scene.min_area / FAR_SHARE : 0.004, this.ratio, FAR.x, FAR.foot),
        near: outline(sized && scene.max_area < 1 ? scene.max_area / NEAR_SHARE : 0.12, this.ratio, NEAR.x, NEAR.foot),
      };
      this.kept = { min_area: scene.min_area, max_area: scene.max_area };
      this.wasSized = sized;
      this.selected = shapes[0]?.id ?? null;
      this.moved = false;
      this.#change({ shapes, sized, outlines }, false);
      this.#say("");
    } catch (error) {
      this.#failed("The zones cannot be shown", error);
    }
  }

  #change(draft, dirty = true) {
    this.draft = draft;
    this.dirty = dirty;
    if (dirty) this.#say("");
    this.#draw();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#preview(), PREVIEW_MS);
  }

  #colour(shape) {
    if (shape.kind === "mask") return MASK_COLOUR;
    return COLOURS[this.draft.shapes.filter(({ kind }) => kind === "zone").indexOf(shape) % COLOURS.length];
  }

  #label(shape) {
    if (shape.kind === "zone") return shape.name;
    return `Mask ${this.draft.shapes.filter(({ kind }) => kind === "mask").indexOf(shape) + 1}`;
  }

  #draw() {
    const shown = this.draft.shapes.map((shape) => ({ ...shape, label: this.#label(shape), colour: this.#colour(shape), dashed: shape.kind === "mask" }));
    if (this.draft.sized) {
      for (const { id, label } of [FAR, NEAR]) {
        const [x1, y1, x2, y2] = this.draft.outlines[id];
        shown.push({ id, label, box: true, colour: "#ffffff", points: [[x1, y1], [x2, y2]] });
      }
    }
    this.canvas.show(shown, this.selected, this.ratio);
    this.sizes.checked = this.draft.sized;
    const { min_area: least, max_area: most } = this.#areas();
    setText(this.sizeNote, this.draft.sized ? `Drag the outlines to the size of a person far away and close by. People cover ${percent(least)} to ${percent(most)} of the picture.` : "");
    this.removePoint.disabled = (this.#chosen()?.points.length ?? 0) <= 3;
    this.save.disabled = this.discard.disabled = !this.dirty;
    this.#rows();
  }

  #rows() {
    const rows = this.draft.shapes.map((shape) => this.#row(shape));
    const key = JSON.stringify(this.draft.shapes.map(({ id, alert, name }) => [id, alert, name]));
    if (this.rowsKey !== key) this.list.replaceChildren(...rows);
    this.rowsKey = key;
    for (const row of this.list.children) row.classList.toggle("chosen", row.dataset.id === this.selected);
    const alerting = this.draft.shapes.filter(({ alert }) => alert);
    this.list.dataset.everywhere = alerting.length ? "" : "yes";
  }

  #row(shape) {
    const swatch = element("span", { className: "swatch", "aria-hidden": "true" });
    swatch.style.background = this.#colour(shape);
    const label = this.#label(shape);
    const remove = element("button", { type: "button", className: "plain", "aria-label": `Delete ${label}` }, "Delete");
    remove.addEventListener("click", () => this.#change({ ...this.draft, shapes: this.draft.shapes.filter(({ id }) => id !== shape.id) }));
    const row = element("li", {}, swatch);
    row.dataset.id = shape.id;
    row.addEventListener("focusin", () => this.#choose(shape.id));
    if (shape.kind === "mask") row.append(element("span", { className: "name" }, label), element("span", { className: "quiet" }, "nobody is looked for here"), remove);
    else row.append(this.#nameField(shape), this.#alertBox(shape), remove);
    return row;
  }

  #nameField(shape) {
    const field = element("input", { value: shape.name, maxLength: 32, className: "name", "aria-label": `Name of the zone ${shape.name}` });
    field.addEventListener("change", () => {
      const taken = this.draft.shapes.filter(({ id }) => id !== shape.id).map(({ name }) => name);
      const name = asName(field.value);
      if (!name || taken.includes(name)) {
        field.value = shape.name;
        this.#say(name ? `There is a zone ${name} already.` : "A zone's name holds letters, digits, _ and -.", true);
      } else this.#edit(shape.id, { name });
    });
    return field;
  }

  #alertBox(shape) {
    const box = element("input", { type: "checkbox", checked: shape.alert });
    box.addEventListener("change", () => this.#edit(shape.id, { alert: box.checked }));
    return element("label", { className: "check" }, box, " alert here");
  }

  #chosen() {
    return this.draft.shapes.find(({ id }) => id === this.selected);
  }

  #choose(id) {
    if (this.selected === id) return;
    this.selected = id;
    this.#draw();
  }

  #edit(id, changes) {
    this.#change({ ...this.draft, shapes: this.draft.shapes.map((shape) => (shape.id === id ? { ...shape, ...changes } : shape)) });
  }

  #moved(id, points) {
    if (id !== FAR.id && id !== NEAR.id) return this.#edit(id, { points });
    const [[x1, y1], [x2, y2]] = points;
    if (x2 - x1 < 0.005 || y2 - y1 < 0.01) return undefined;
    this.moved = true;
    return this.#change({ ...this.draft, outlines: { ...this.draft.outlines, [id]: [x1, y1, x2, y2] } });
  }

  #add(kind) {
    const taken = this.draft.shapes.map(({ name }) => name);
    const name = freshName(taken);
    const made = { kind, id: `${kind}/new-${(this.made = (this.made || 0) + 1)}`, points: square(this.draft.shapes.length), ...(kind === "zone" ? { name, alert: true } : {}) };
    this.selected = made.id;
    this.#change({ ...this.draft, shapes: [...this.draft.shapes, made] });
    this.shapes.querySelector(`[data-key="${CSS.escape(`${made.id}/body`)}"]`).focus({ preventScroll: true });
  }

  #removePoint() {
    const shape = this.#chosen();
    if (!shape || shape.points.length <= 3) return;
    this.#edit(shape.id, { points: removePoint(shape.points, this.canvas.corner) });
  }

  // Without a touched outline the values that hold are kept to the last digit.
  #areas() {
    if (!this.draft.sized) return this.wasSized ? { min_area: 0.00002, max_area: 1 } : this.kept;
    if (!this.moved && this.wasSized) return this.kept;
    const { far, near } = this.draft.outlines;
    const [small, large] = [areaOf(far), areaOf(near)].sort((a, b) => a - b);
    return { min_area: round(small * FAR_SHARE), max_area: Math.min(1, round(large * NEAR_SHARE)) };
  }

  #settings() {
    const zones = this.draft.shapes.filter(({ kind }) => kind === "zone");
    return {
      zones: Object.fromEntries(zones.map(({ name, points }) => [name, points])),
      masks: this.draft.shapes.filter(({ kind }) => kind === "mask").map(({ points }) => points),
      alert: zones.filter(({ alert }) => alert).map(({ name }) => name),
      ...this.#areas(),
    };
  }

  async #preview() {
    const { alert, ...rest } = this.#settings();
    const asked = ++this.asked;
    try {
      const answer = await ask(`api/cameras/${this.camera}/zones/preview`, { method: "POST", body: { ...rest, alert_zones: alert, after: today() } });
      const found = await answer.json();
      if (asked === this.asked) this.#judge(found);
    } catch (error) {
      if (error instanceof Unauthorized) this.onUnauthorized();
      if (asked === this.asked) setText(this.verdict, `These shapes cannot be used: ${error.message}.`);
    }
  }

  #judge({ alerted, would_alert: would, visits }) {
    setText(this.verdict, visits.length
      ? `Of ${count(visits.length, "visit")} today ${would} would have alerted; ${alerted} did. The alarm and the cooldown are not counted.`
      : "Nobody has been here today.");
    this.judged.replaceChildren(...visits.slice(0, 50).map((visit) => {
      const changed = visit.alerted !== visit.would_alert;
      const thumb = visit.has_snapshot ? element("img", { alt: "", loading: "lazy", src: `api/events/${encodeURIComponent(visit.id)}/snapshot.jpg` }) : "";
      const words = visit.would_alert ? "would alert" : `no alert: ${visit.reason}`;
      return element("li", { className: visit.would_alert ? "yes" : "no" }, thumb,
        element("span", {}, element("strong", {}, clock(visit.start_time)), ` ${words}`, changed ? ` (${visit.alerted ? "it did" : "it did not"})` : ""));
    }));
  }

  async #save() {
    this.save.disabled = true;
    const wanted = this.#settings();
    try {
      const current = await ask("api/config");
      const document = await current.json();
      const camera = document.cameras[this.camera];
      camera.zones = wanted.zones;
      camera.masks = wanted.masks;
      camera.alert = { ...camera.alert, zones: wanted.alert };
      if (this.draft.sized) Object.assign(camera.alert, this.#areas());
      else if (this.wasSized) for (const key of ["min_area", "max_area"]) delete camera.alert[key];
      await ask("api/config", { method: "PUT", body: document, headers: { "If-Match": current.headers.get("ETag") }, timeout: 30000 });
      this.kept = this.#areas();
      this.wasSized = this.draft.sized;
      this.moved = this.dirty = false;
      this.discard.disabled = true;
      this.#say("Saved. It holds from the next picture on.");
    } catch (error) {
      this.save.disabled = false;
      this.#failed("The zones were not saved", error);
    }
  }

  #failed(what, error) {
    if (error instanceof Unauthorized) this.onUnauthorized();
    const why = error instanceof Refused ? error.message : "the detector cannot be reached";
    this.#say(`${what}: ${why}.`, true);
  }

  #say(text, bad = false) {
    setText(this.message, text);
    this.message.classList.toggle("bad", bad);
  }
}

const round = (value) => Math.round(value * 1e6) / 1e6;
const percent = (share) => `${Number((share * 100).toPrecision(2))} %`;
