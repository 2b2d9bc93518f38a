// The newest pictures of one camera, one after the other, in an image; and what they show.

import { Unauthorized, ask } from "./api.js";

const RETRY_MS = 2000;

export class LiveImage {
  // `paceMs` between two pictures; `onPicture` is called after each, `onFault(error)` where there is none.
  constructor(image, { paceMs = 500, width = 1280, onPicture = () => {}, onFault = () => {}, onUnauthorized = () => {} }) {
    Object.assign(this, { image, paceMs, width, onPicture, onFault, onUnauthorized, camera: "", run: 0 });
  }

  show(camera) {
    if (camera === this.camera) return;
    this.camera = camera;
    this.etag = "";
    this.#loop(++this.run);
  }

  stop() {
    this.run += 1;
    this.camera = "";
  }

  async #loop(run) {
    while (run === this.run) {
      const wait = document.visibilityState === "visible" ? await this.#refresh(run) : RETRY_MS;
      await new Promise((done) => setTimeout(done, wait));
    }
  }

  async #refresh(run) {
    try {
      const path = `api/cameras/${this.camera}/latest.jpg?boxes=false&width=${this.width}`;
      const answer = await ask(path, { headers: { "If-None-Match": this.etag } });
      if (answer.status === 200 && run === this.run) this.#put(await answer.blob(), answer.headers.get("ETag") || "");
      if (run === this.run) await this.onPicture();
      return this.paceMs;
    } catch (error) {
      if (error instanceof Unauthorized) this.onUnauthorized();
      else if (run === this.run) this.onFault(error);
      return RETRY_MS;
    }
  }

  #put(blob, etag) {
    const old = this.image.src;
    this.image.src = URL.createObjectURL(blob);
    if (old.startsWith("blob:")) URL.revokeObjectURL(old);
    this.etag = etag;
  }
}
