// The views of the page, one at a time, named by the address: #/review, #/zones/porch.

export class Views {
  // `views` by name, each with `open(argument)` and `close()`; the first one is shown where the address names none.
  constructor(nav, views) {
    Object.assign(this, { nav, views, current: null });
    addEventListener("hashchange", () => this.#follow());
    this.#follow();
  }

  #follow() {
    const [, name, argument] = location.hash.match(/^#\/([a-z]+)(?:\/(.*))?$/) || [];
    const wanted = name in this.views ? name : Object.keys(this.views)[0];
    if (this.current !== wanted) this.#switch(wanted);
    this.views[wanted].open(argument ? decodeURIComponent(argument) : "");
  }

  #switch(wanted) {
    if (this.current) this.views[this.current].close();
    this.current = wanted;
    for (const name of Object.keys(this.views)) document.querySelector(`#view-${name}`).hidden = name !== wanted;
    for (const link of this.nav.querySelectorAll("a")) {
      if (link.hash === `#/${wanted}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }
}
