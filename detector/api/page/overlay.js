// What is in a live picture: people's boxes with the reason for each that does not alert, and the camera's zones.

import { read } from "./api.js";
import { element, svg } from "./dom.js";
import { COLOURS, MASK_COLOUR } from "./shapes.js";

const short = (box) => (box.alerted ? "alerted" : box.reason || "alerts now");

export function saidOf(box) {
  return `Person, ${Math.round(box.score * 100)} %: ${short(box)}`;
}

export class SceneOverlay {
  constructor() {
    this.root = svg("svg", { class: "scene", "aria-hidden": "true" });
    this.said = element("ul", { className: "reasons", "aria-label": "People in the picture" });
    this.scene = null;
  }

  // Resolves to the scene, or null where there is none at present.
  async refresh(camera) {
    this.scene = await read(`api/cameras/${encodeURIComponent(camera)}/scene`).catch(() => null);
    this.#draw();
    return this.scene;
  }

  clear() {
    this.scene = null;
    this.#draw();
  }

  #draw() {
    const key = JSON.stringify(this.scene && [this.scene.boxes, this.scene.zones, this.scene.masks]);
    if (this.key === key) return;
    this.key = key;
    if (!this.scene) {
      this.root.replaceChildren();
      this.said.replaceChildren();
      return;
    }
    const { boxes, zones, masks, width, height } = this.scene;
    this.across = (1000 * width) / height;
    this.root.setAttribute("viewBox", `0 0 ${this.across} 1000`);
    this.root.replaceChildren(
      ...Object.values(zones).map((points, place) => this.#area(points, COLOURS[place % COLOURS.length], "zone")),
      ...masks.map((points) => this.#area(points, MASK_COLOUR, "zone masked")),
      ...boxes.flatMap((box) => this.#box(box)));
    this.said.replaceChildren(...boxes.map((box) => element("li", { className: box.alerted ? "yes" : "" }, saidOf(box))));
  }

  #area(points, colour, name) {
    const corners = points.map(([x, y]) => `${x * this.across},${y * 1000}`).join(" ");
    return svg("polygon", { points: corners, stroke: colour, fill: colour, class: name });
  }

  #box(box) {
    const [x1, y1, x2, y2] = box.box;
    const kind = box.alerted ? "person alerted" : "person";
    const right = x1 > 0.6; // a text that begins here would end outside of the picture
    return [
      svg("rect", { x: x1 * this.across, y: y1 * 1000, width: (x2 - x1) * this.across, height: (y2 - y1) * 1000, class: kind }),
      svg("text", { x: (right ? x2 : x1) * this.across, y: Math.max(y1 * 1000 - 14, 44), class: "person-name", "text-anchor": right ? "end" : "start", "font-size": 32 }, short(box)),
    ];
  }
}
