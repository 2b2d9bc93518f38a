// Small plots of the last hour or day: one row a camera, and the model's time.

import { read } from "./api.js";
import { clock, element, setText, svg } from "./dom.js";

const REFRESH_MS = 15000;
const WIDTH = 240;
const HEIGHT = 56;
const ROWS = [
  { title: "Latency", unit: "ms", lines: [["latency_p50_ms", "median"], ["latency_p99_ms", "p99"]] },
  { title: "Analysed", unit: "/s", lines: [["detect_fps", "a second"]], digits: 1 },
  { title: "People", unit: "", lines: [["people", "at most"]] },
];
const MODEL = { title: "Inference time", unit: "ms", lines: [["infer_p50_ms", "median"], ["infer_p99_ms", "p99"]], digits: 1 };

const shown = (value, { unit, digits = 0 }) => `${value.toFixed(digits)}${unit ? ` ${unit}` : ""}`;

export class Plots {
  constructor(root) {
    this.root = root;
    this.span = element("select", { id: "plot-span" }, element("option", { value: "hour" }, "last hour"), element("option", { value: "day" }, "last day"));
    this.span.addEventListener("change", () => this.refresh());
    this.note = element("p", { className: "quiet" });
    this.body = element("div", { className: "plots" });
    root.append(element("p", { className: "field" }, element("label", { htmlFor: "plot-span" }, "Figures of the "), this.span), this.note, this.body);
  }

  start() {
    this.stop();
    this.refresh();
    this.timer = setInterval(() => document.visibilityState === "visible" && this.refresh(), REFRESH_MS);
  }

  stop() {
    clearInterval(this.timer);
  }

  async refresh() {
    const found = await read(`api/figures?span=${this.span.value}`).catch(() => null);
    if (!found) return;
    const { times, series } = found;
    setText(this.note, times.length < 2 ? "The first figures come within a minute after the start." : `${clock(times[0])} to ${clock(times.at(-1))}`);
    if (times.length < 2) return this.body.replaceChildren();
    const names = Object.keys(series).filter(Boolean);
    return this.body.replaceChildren(
      ...names.map((name) => this.#group(name, ROWS, series[name])),
      ...(series[""] ? [this.#group("All cameras", [MODEL], series[""])] : []));
  }

  #group(name, rows, figures) {
    return element("section", { className: "plot-group", "aria-label": `Figures of ${name}` }, element("h3", {}, name),
      element("div", {}, ...rows.map((row) => this.#plot(row, figures))));
  }

  // The last value and the highest one are written; the lines are for the shape.
  #plot(row, figures) {
    const lines = row.lines.map(([key, label]) => ({ label, values: figures[key] || [] }));
    const known = lines.flatMap(({ values }) => values).filter((value) => value !== null);
    if (!known.length) return element("figure", {}, element("figcaption", {}, `${row.title}: nothing measured`));
    const most = Math.max(...known);
    const now = lines.map(({ label, values }) => [label, values.findLast((value) => value !== null)]).filter(([, value]) => value !== undefined);
    const words = `${row.title}: ${now.map(([label, value]) => `${label} ${shown(value, row)}`).join(", ")}; highest ${shown(most, row)}`;
    const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": words, preserveAspectRatio: "none" },
      ...lines.flatMap(({ values }, place) => pieces(values, most).map((points) => svg("polyline", { points, class: `line line-${place}` }))));
    return element("figure", {}, drawing, element("figcaption", {}, words));
  }
}

// A gap is where nothing was measured; a single point is drawn as a short stroke.
function pieces(values, most) {
  const found = [[]];
  values.forEach((value, place) => {
    if (value === null) found.push([]);
    else found.at(-1).push([(place / Math.max(1, values.length - 1)) * WIDTH, HEIGHT - 3 - (value / (most || 1)) * (HEIGHT - 6)]);
  });
  return found.filter((points) => points.length).map((points) => (points.length > 1 ? points : [points[0], [points[0][0] + 1, points[0][1]]]))
    .map((points) => points.map((point) => point.map((one) => one.toFixed(1)).join(",")).join(" "));
}
