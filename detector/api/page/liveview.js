// The large live view: the stream with the boxes and zones on it, each person's reason beside it, full screen.

import { element, setText } from "./dom.js";
import { SceneOverlay } from "./overlay.js";

const SCENE_MS = 250;
const RETRY_MS = 1500;

export class LiveView {
  // `stage` is the element around the picture; what is said of it goes into `below`.
  constructor(stage, below) {
    Object.assign(this, { stage, run: 0 });
    this.overlay = new SceneOverlay();
    this.age = element("p", { className: "quiet" });
    this.full = element("button", { type: "button", className: "plain" }, "Full screen");
    this.full.addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen()).catch(() => {}));
    this.note = element("div", { className: "live-note", hidden: true }, this.overlay.said, this.age, this.full);
    stage.append(this.overlay.root);
    below.append(this.note);
  }

  show(camera) {
    this.note.hidden = false;
    this.full.hidden = !document.fullscreenEnabled;
    this.#loop(camera, ++this.run);
  }

  stop() {
    this.run += 1;
    this.note.hidden = true;
    this.overlay.clear();
    if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
  }

  async #loop(camera, run) {
    while (run === this.run) {
      const scene = await this.overlay.refresh(camera);
      if (run !== this.run) return this.overlay.clear();
      const people = scene?.boxes.length ? "" : "Nobody is seen. ";
      setText(this.age, scene ? `${people}The picture is ${scene.age_s.toFixed(1)} s old.` : "There is no picture at present.");
      await new Promise((done) => setTimeout(done, scene ? SCENE_MS : RETRY_MS));
    }
    return undefined;
  }
}
