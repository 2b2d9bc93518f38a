// A card for each camera: the newest picture, its state in words, its figures, its switch.

import { Unauthorized, ask } from "./api.js";
import { UNKNOWN, count, element, figure, setText, span } from "./dom.js";
import { SceneOverlay } from "./overlay.js";
import { Sight } from "./sight.js";

const STATES = {
  online: "Online",
  connecting: "Connecting",
  degraded: "Unstable",
  offline: "Offline",
  disabled: "Disabled in the configuration",
};
const RETRY_MS = 2000;
const ZONES_MS = 10000; // while nobody is there, the zones alone are asked for

export class Cameras {
  constructor(root, { onOpen, onFault, onUnauthorized }) {
    this.root = root;
    this.callbacks = { onOpen, onFault, onUnauthorized };
    this.cards = new Map();
    this.visible = new IntersectionObserver((entries) => {
      for (const entry of entries) entry.target.dataset.seen = entry.isIntersecting ? "yes" : "";
    });
  }

  show(cameras) {
    for (const name of this.cards.keys()) if (!(name in cameras)) this.#remove(name);
    for (const [name, camera] of Object.entries(cameras)) {
      if (!this.cards.has(name)) this.#add(name, camera);
      this.cards.get(name).show(camera);
    }
  }

  // The last known state may be out of date: no card may still show it as current.
  stale(is) {
    this.root.classList.toggle("stale", is);
    if (is) for (const card of this.cards.values()) card.unknown();
  }

  #add(name, camera) {
    const card = new Card(name, this.callbacks, () => Math.min(1000, Math.max(200, 120 * this.cards.size)));
    this.cards.set(name, card);
    this.root.append(card.root);
    this.visible.observe(card.root);
    card.show(camera);
    card.run();
  }

  #remove(name) {
    const card = this.cards.get(name);
    this.visible.unobserve(card.root);
    card.close();
    this.cards.delete(name);
  }
}

class Card {
  constructor(name, callbacks, pace) {
    Object.assign(this, { name, callbacks, pace, etag: "", closed: false, camera: null });
    this.image = element("img", { alt: `Live picture of ${name}`, hidden: true });
    this.overlay = element("p", { className: "overlay", hidden: true });
    this.scene = new SceneOverlay();
    this.open = element("button", { type: "button", className: "picture", "aria-label": `Enlarge ${name}` }, this.image, this.scene.root, this.overlay);
    this.open.addEventListener("click", () => callbacks.onOpen(name));
    this.state = element("p", { className: "state" });
    this.people = element("p", { className: "people" });
    this.switch = element("input", { type: "checkbox", role: "switch" });
    this.switch.addEventListener("change", () => this.#toggle());
    this.figures = element("dl", { className: "figures" });
    this.sight = new Sight();
    this.root = element("article", { className: "card", "aria-label": `Camera ${name}` },
      this.open,
      element("div", { className: "title" }, element("h3", {}, name), this.state, this.people),
      this.scene.said,
      this.figures,
      this.sight.root,
      element("label", { className: "switch" }, this.switch, ` Detect people on ${name}`));
  }

  show(camera) {
    this.camera = camera;
    this.root.dataset.state = camera.state;
    // An upright picture gets bars, or its card would be taller than the screen.
    if (camera.width && camera.height) this.open.style.aspectRatio = Math.max(4 / 3, camera.width / camera.height);
    setText(this.state, STATES[camera.state] || camera.state);
    setText(this.people, camera.people > 0 ? count(camera.people, "person", "people") : "");
    this.#overlay();
    if (!this.switch.disabled) this.switch.checked = camera.detect_enabled !== false;
    this.#figures(camera);
    this.sight.show(camera.self_test);
  }

  unknown() {
    this.root.dataset.state = "unknown";
    setText(this.state, "Unknown");
    setText(this.people, "");
  }

  #overlay() {
    const { state, frame_age_s: age } = this.camera;
    const late = age !== null && age > 3;
    const words = { disabled: "Disabled", connecting: "Connecting…" }[state]
      || (state === "offline" || late ? (age === null ? "No picture yet" : `No picture for ${span(age)}`) : this.image.hidden ? "Waiting for a picture" : "");
    setText(this.overlay, words);
    this.overlay.hidden = !words;
  }

  #figures(camera) {
    const rows = [
      ["Frames", figure(camera.fps, "/s", 1)],
      ["Analysed", figure(camera.detect_fps, "/s", 1)],
      ["Frame age", camera.frame_age_s === null ? UNKNOWN : camera.frame_age_s < 2 ? `${Math.round(camera.frame_age_s * 1000)} ms` : span(camera.frame_age_s)],
      ["Latency", figure(camera.latency_ms?.p50, "ms")],
      ["Latency p99", figure(camera.latency_ms?.p99, "ms")],
    ];
    const key = rows.join();
    if (this.key === key) return;
    this.key = key;
    this.figures.replaceChildren(...rows.map(([term, text]) => element("div", {}, element("dt", {}, term), element("dd", {}, text))));
  }

  async #toggle() {
    this.switch.disabled = true;
    try {
      await ask(`api/cameras/${this.name}/detect`, { method: "POST", body: { enabled: this.switch.checked } });
    } catch (error) {
      this.switch.checked = !this.switch.checked;
      this.callbacks.onFault(`Detection on ${this.name} was not switched: ${error.message}.`);
    }
    this.switch.disabled = false;
  }

  // Single pictures, one after the other: a stream for each camera would use up the browser's few connections.
  async run() {
    while (!this.closed) {
      const shown = document.visibilityState === "visible" && this.root.dataset.seen;
      const wait = shown && this.camera.state !== "disabled" ? await this.#refresh() : this.pace();
      await new Promise((done) => setTimeout(done, wait));
    }
  }

  async #refresh() {
    const width = Math.ceil(this.root.clientWidth * Math.min(devicePixelRatio, 2)) || 640;
    try {
      const answer = await ask(`api/cameras/${this.name}/latest.jpg?boxes=false&width=${width}`, { headers: { "If-None-Match": this.etag } });
      if (answer.status === 200) this.#picture(await answer.blob(), answer.headers.get("ETag") || "");
      await this.#refreshScene();
      return this.pace();
    } catch (error) {
      if (error instanceof Unauthorized) this.callbacks.onUnauthorized();
      return RETRY_MS;
    }
  }

  async #refreshScene() {
    const busy = this.camera.people > 0 || this.camera.moving || this.scene.scene?.boxes.length;
    if (!busy && performance.now() - (this.sceneAt ?? -Infinity) < ZONES_MS) return;
    this.sceneAt = performance.now();
    await this.scene.refresh(this.name);
  }

  #picture(blob, etag) {
    const old = this.image.src;
    this.image.src = URL.createObjectURL(blob);
    if (old) URL.revokeObjectURL(old);
    this.etag = etag;
    this.image.hidden = false;
    this.#overlay();
  }

  close() {
    this.closed = true;
    if (this.image.src) URL.revokeObjectURL(this.image.src);
    this.root.remove();
  }
}
