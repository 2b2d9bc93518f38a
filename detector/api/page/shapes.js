// Polygons as people edit them: points are shares of the picture, 0 to 1, four digits.

export const COLOURS = ["#4cc2ff", "#ffb020", "#7ee081", "#ff7ac6", "#c9a2ff", "#ffe45c", "#5fe3d0", "#ff8a65"];
export const MASK_COLOUR = "#9aa4ae";
export const LEAST_POINTS = 3;

export const held = (value) => Math.round(Math.min(1, Math.max(0, value)) * 10000) / 10000;

export function square(number) {
  const at = 0.12 + 0.06 * (number % 5);
  return [[at, at], [at + 0.4, at], [at + 0.4, at + 0.4], [at, at + 0.4]].map((point) => point.map(held));
}

export function movePoint(points, index, x, y) {
  return points.map((point, place) => (place === index ? [held(x), held(y)] : point));
}

// The whole shape, as far as the picture reaches.
export function moveShape(points, dx, dy) {
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const right = Math.min(1 - Math.max(...xs), Math.max(-Math.min(...xs), dx));
  const down = Math.min(1 - Math.max(...ys), Math.max(-Math.min(...ys), dy));
  return points.map(([x, y]) => [held(x + right), held(y + down)]);
}

export function middle(points, index) {
  const [a, b] = [points[index], points[(index + 1) % points.length]];
  return [held((a[0] + b[0]) / 2), held((a[1] + b[1]) / 2)];
}

export function addPoint(points, index) {
  return [...points.slice(0, index + 1), middle(points, index), ...points.slice(index + 1)];
}

export function removePoint(points, index) {
  return points.length > LEAST_POINTS ? points.filter((_, place) => place !== index) : points;
}

// A name as the configuration takes it: letters, digits, _ and -, at most 32.
export function asName(text) {
  return text.toLowerCase().replace(/[^a-z0-9_-]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 32);
}

export function freshName(taken) {
  let number = 1;
  while (taken.includes(`zone-${number}`)) number += 1;
  return `zone-${number}`;
}

// People differ: half the area of the one far away, and twice that of the one close by, still count.
export const FAR_SHARE = 0.5;
export const NEAR_SHARE = 2;
const WIDTH_TO_HEIGHT = 0.4;

export function areaOf([x1, y1, x2, y2]) {
  return (x2 - x1) * (y2 - y1);
}

// The outline of a standing person who covers `area` of a picture of `ratio` (width / height), feet at (x, foot).
export function outline(area, ratio, x, foot) {
  const height = Math.min(0.95, Math.sqrt((area * ratio) / WIDTH_TO_HEIGHT));
  const width = area / height;
  return [x - width / 2, foot - height, x + width / 2, foot].map(held);
}
