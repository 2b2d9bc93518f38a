// What a camera can see: the self-test's last result, and that of each hour of the day.

import { clock, element, setText } from "./dom.js";

const share = (part) => `${Math.round(part * 100)} %`;

function words({ seen, smallest, reason }) {
  if (!seen && smallest === null) return `a person of any size would not be found: ${reason}`;
  if (!seen) return `people from ${share(smallest)} of the picture's height on are found: ${reason}`;
  return `people from ${share(smallest)} of the picture's height on are found`;
}

export class Sight {
  constructor() {
    this.last = element("summary");
    this.hours = element("ol", { className: "hours" });
    this.root = element("details", { className: "sight", hidden: true }, this.last, this.hours);
  }

  show(result) {
    this.root.hidden = !result;
    if (!result) return;
    this.root.classList.toggle("blind", !result.seen);
    setText(this.last, `Self-test ${clock(result.at)}: ${words(result)}`);
    const key = JSON.stringify(result.hours);
    if (this.key === key) return;
    this.key = key;
    const known = Object.entries(result.hours).sort(([a], [b]) => a - b);
    this.hours.replaceChildren(...known.map(([hour, one]) =>
      element("li", { className: one.seen ? "" : "blind" }, `${hour.padStart(2, "0")}:00 – ${words(one)}`)));
  }
}
