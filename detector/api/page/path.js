// A visit's picture with the path of the feet, the first and the last box on it, and the camera's zones of today.

import { read } from "./api.js";
import { element, svg } from "./dom.js";
import { COLOURS } from "./shapes.js";

export class PathPicture {
  constructor() {
    this.image = element("img", { alt: "" });
    this.overlay = svg("svg", { "aria-hidden": "true", preserveAspectRatio: "none", viewBox: "0 0 1000 1000" });
    this.root = element("div", { className: "drawing path-picture" }, this.image, this.overlay);
  }

  async show(visit) {
    this.visit = visit.id;
    this.image.hidden = !visit.has_snapshot;
    if (visit.has_snapshot) this.image.src = `api/events/${encodeURIComponent(visit.id)}/snapshot.jpg`;
    this.image.alt = `${visit.camera}: the picture of the visit`;
    const [width, height] = visit.frame_size || [16, 9];
    this.root.style.aspectRatio = width / height;
    this.#draw(visit, {});
    const scene = await read(`api/cameras/${encodeURIComponent(visit.camera)}/scene`).catch(() => ({ zones: {} }));
    if (this.visit === visit.id) this.#draw(visit, scene.zones);
  }

  #draw({ path, box, frame_size: size }, zones) {
    const shapes = Object.values(zones).map((points, place) => svg("polygon", {
      points: points.map((point) => point.map((value) => value * 1000).join(",")).join(" "), class: "zone", stroke: COLOURS[place % COLOURS.length], fill: COLOURS[place % COLOURS.length],
    }));
    const boxes = path?.length ? path.map((point) => point.slice(1, 5)) : box && size ? [[box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1]]] : [];
    const feet = boxes.map(([x1, , x2, y2]) => [((x1 + x2) / 2) * 1000, y2 * 1000]);
    if (feet.length) {
      shapes.push(svg("polyline", { points: feet.map((point) => point.join(",")).join(" "), class: "path" }));
      shapes.push(rectangle(boxes[0], "first"), rectangle(boxes.at(-1), "last"));
    }
    this.overlay.replaceChildren(...shapes);
  }
}

export function rectangle([x1, y1, x2, y2], name) {
  return svg("rect", { x: x1 * 1000, y: y1 * 1000, width: Math.max(0, x2 - x1) * 1000, height: Math.max(0, y2 - y1) * 1000, class: `box ${name}` });
}
