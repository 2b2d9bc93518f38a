// The picture with shapes on it that are dragged by mouse, touch and keyboard.

import { svg } from "./dom.js";
import { addPoint, middle, movePoint, moveShape, removePoint } from "./shapes.js";

const STEP = 0.005; // of the picture, an arrow key; ten times as far with Shift
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class ShapeCanvas {
  // A shape: { id, label, colour, points, dashed, box }; a `box` has two points, its corners. `onChange(id, points)`.
  constructor(root, { onChange, onSelect }) {
    Object.assign(this, { root, onChange, onSelect, shapes: [], selected: null, focus: null, ratio: 16 / 9 });
    root.addEventListener("keydown", (event) => this.#key(event));
    // Points keep their size on the screen, however large the picture is.
    new ResizeObserver(() => this.show(this.shapes, this.selected, this.ratio)).observe(root);
  }

  // The point of the selected shape that was used last.
  get corner() {
    const points = this.shapes.find(({ id }) => id === this.selected)?.points ?? [];
    return Math.min(this.last?.id === this.selected ? this.last.index : points.length - 1, points.length - 1);
  }

  show(shapes, selected, ratio) {
    Object.assign(this, { shapes, selected, ratio });
    this.unit = 1000 / (this.root.clientHeight || 1000); // a pixel of the screen
    this.root.setAttribute("viewBox", `0 0 ${1000 * ratio} 1000`);
    const kept = this.root.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const bodies = shapes.map((shape) => this.#body(shape));
    const chosen = shapes.find(({ id }) => id === selected);
    this.root.replaceChildren(...bodies, ...(chosen ? this.#handles(chosen) : []));
    if (kept) this.root.querySelector(`[data-key="${CSS.escape(kept)}"]`)?.focus();
  }

  #at([x, y]) {
    return [x * 1000 * this.ratio, y * 1000];
  }

  #outline({ points, box }) {
    if (!box) return points;
    const [[x1, y1], [x2, y2]] = points;
    return [[x1, y1], [x2, y1], [x2, y2], [x1, y2]];
  }

  #body(shape) {
    const corners = this.#outline(shape).map((point) => this.#at(point).join(",")).join(" ");
    const body = svg("polygon", {
      points: corners, fill: shape.colour, stroke: shape.colour, class: `shape${shape.dashed ? " dashed" : ""}${shape.id === this.selected ? " chosen" : ""}`,
      tabindex: 0, role: "button", "aria-label": `${shape.label}: arrow keys move it`, "data-key": `${shape.id}/body`, "data-id": shape.id,
    });
    body.addEventListener("pointerdown", (event) => this.#dragShape(event, shape));
    body.addEventListener("focus", () => this.#select(shape.id));
    const [x, y] = this.#at(shape.points[0]);
    const name = svg("text", { x: x + 8 * this.unit, y: y + 20 * this.unit, class: "shape-name", "font-size": 15 * this.unit }, shape.label);
    return svg("g", {}, body, name);
  }

  // Corners come last, and so above: where points are close, the thumb gets the corner.
  #handles(shape) {
    const between = shape.box ? [] : shape.points.map((_, index) => this.#handle(shape, middle(shape.points, index), index, "between"));
    return [...between, ...shape.points.map((point, index) => this.#handle(shape, point, index, "corner"))];
  }

  // A circle that is seen, and a larger one that a thumb finds.
  #handle(shape, point, index, kind) {
    const [cx, cy] = this.#at(point);
    const percent = point.map((value) => `${Math.round(value * 100)} %`).join(", ");
    const label = kind === "corner"
      ? `${shape.label}, point ${index + 1} of ${shape.points.length} at ${percent}: arrow keys move it, Delete removes it`
      : `${shape.label}: add a point after point ${index + 1}`;
    const node = svg("g", { class: `handle ${kind}`, tabindex: 0, role: "button", "aria-label": label, "data-key": `${shape.id}/${kind}/${index}`, "data-id": shape.id, "data-index": index },
      svg("circle", { cx, cy, r: (kind === "corner" ? 22 : 16) * this.unit, class: "reach" }),
      svg("circle", { cx, cy, r: (kind === "corner" ? 8 : 5) * this.unit, class: "dot", fill: shape.colour }));
    if (kind === "corner") node.addEventListener("focus", () => { this.last = { id: shape.id, index }; });
    node.addEventListener("pointerdown", (event) => this.#dragPoint(event, shape, index, kind));
    return node;
  }

  #select(id) {
    if (id !== this.selected) this.onSelect(id);
  }

  #place(event) {
    const frame = this.root.getBoundingClientRect();
    return [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
  }

  #dragShape(event, shape) {
    this.#select(shape.id);
    const from = this.#place(event);
    this.#drag(event, (to) => this.onChange(shape.id, moveShape(shape.points, to[0] - from[0], to[1] - from[1])));
  }

  #dragPoint(event, shape, index, kind) {
    const points = kind === "corner" ? shape.points : addPoint(shape.points, index);
    const moved = kind === "corner" ? index : index + 1;
    if (kind !== "corner") this.onChange(shape.id, points);
    this.last = { id: shape.id, index: moved };
    this.#drag(event, (to) => this.onChange(shape.id, movePoint(points, moved, ...to)));
    this.root.querySelector(`[data-key="${CSS.escape(`${shape.id}/corner/${moved}`)}"]`)?.focus();
  }

  // The picture takes the pointer, not the point: what is dragged is drawn anew at every move.
  #drag(event, move) {
    if (event.button) return;
    event.preventDefault();
    event.stopPropagation();
    const end = new AbortController();
    const { pointerId } = event;
    this.root.setPointerCapture(pointerId);
    this.root.addEventListener("pointermove", (next) => next.pointerId === pointerId && move(this.#place(next)), { signal: end.signal });
    for (const kind of ["pointerup", "pointercancel"]) {
      this.root.addEventListener(kind, (next) => next.pointerId === pointerId && end.abort(), { signal: end.signal });
    }
  }

  #key(event) {
    const { id, index, key } = event.target.dataset;
    const shape = this.shapes.find((one) => one.id === id);
    if (!shape) return;
    const points = this.#keyed(shape, key, Number(index), event);
    if (!points) return;
    event.preventDefault();
    this.onChange(id, points);
    if (key.includes("/between/")) this.root.querySelector(`[data-key="${CSS.escape(`${id}/corner/${Number(index) + 1}`)}"]`)?.focus();
  }

  // The points after a key was pressed on a part of the shape; null where the key means nothing there.
  #keyed(shape, part, index, event) {
    if (part.includes("/between/")) return ["Enter", " "].includes(event.key) ? addPoint(shape.points, index) : null;
    const corner = part.includes("/corner/");
    if (corner && !shape.box && ["Delete", "Backspace"].includes(event.key)) return removePoint(shape.points, index);
    const way = ARROWS[event.key];
    if (!way) return null;
    const [dx, dy] = way.map((one) => one * STEP * (event.shiftKey ? 10 : 1));
    if (!corner) return moveShape(shape.points, dx, dy);
    const [x, y] = shape.points[index];
    return movePoint(shape.points, index, x + dx, y + dy);
  }
}
