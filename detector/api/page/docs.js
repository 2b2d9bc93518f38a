// Shows openapi.json without files from other servers: it works on a device without internet.

import { Unauthorized, read } from "./api.js";
import { element } from "./dom.js";

const DEEPEST = 6;

// `text` with its `code` marked; the description knows no other markup.
function prose(text) {
  return text.split("`").map((piece, place) => (place % 2 ? element("code", {}, piece) : piece));
}

function paragraphs(text) {
  return text.trim().split(/\n\s*\n/).map((paragraph) => element("p", {}, ...prose(paragraph)));
}

function resolve(schema, document) {
  return schema.$ref ? schema.$ref.split("/").slice(1).reduce((node, part) => node[part], document) : schema;
}

// A schema as the JSON that it describes: {"fps": number or null, ...}
function sketch(schema, document, depth = 0) {
  const it = resolve(schema, document);
  const pad = "  ".repeat(depth + 1);
  const end = "  ".repeat(depth);
  if (depth > DEEPEST) return "…";
  if (it.enum) return it.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (it.const !== undefined) return JSON.stringify(it.const);
  if (it.anyOf) return it.anyOf.map((one) => sketch(one, document, depth)).join(" or ");
  if (it.type === "array") return `[${sketch(it.items || {}, document, depth)}, …]`;
  if (it.properties) {
    const rows = Object.entries(it.properties).map(([name, value]) => {
      const about = resolve(value, document) === value && value.description ? `  // ${value.description}` : "";
      return `${pad}"${name}": ${sketch(value, document, depth + 1)},${about}`;
    });
    return `{\n${rows.join("\n")}\n${end}}`;
  }
  if (it.type === "object") {
    const value = it.additionalProperties;
    return typeof value === "object" && Object.keys(value).length ? `{"NAME": ${sketch(value, document, depth)}, …}` : "{…}";
  }
  return it.format ? `${it.type} (${it.format})` : it.type || "anything";
}

function bodies(content, document) {
  return Object.entries(content || {}).flatMap(([type, { schema, example }]) => {
    const text = example ? JSON.stringify(example, null, 2) : schema && Object.keys(schema).length ? sketch(schema, document) : "";
    return [element("p", {}, element("code", {}, type)), text ? element("pre", { tabIndex: 0 }, text) : ""];
  });
}

function parameters(list, document) {
  const rows = list.map((one) => element("tr", {},
    element("td", {}, element("code", {}, one.name), one.required ? " (required)" : ""),
    element("td", {}, one.in),
    element("td", {}, sketch(one.schema, document)),
    element("td", {}, one.description || "")));
  const head = element("tr", {}, ...["Name", "In", "Type", "Meaning"].map((text) => element("th", { scope: "col" }, text)));
  return element("div", { className: "table" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}

function operation(method, path, it, document) {
  const inside = element("div", { className: "inside" });
  if (it.description) inside.append(...paragraphs(it.description));
  if (it.parameters?.length) inside.append(element("h4", {}, "Parameters"), parameters(it.parameters, document));
  if (it.requestBody) inside.append(element("h4", {}, "Body"), ...bodies(it.requestBody.content, document));
  for (const [status, answer] of Object.entries(it.responses)) {
    inside.append(element("h4", {}, ...prose(`${status}: ${answer.description}`)), ...bodies(answer.content, document));
  }
  const free = it.security?.length === 0 ? " · no token" : "";
  return element("details", {},
    element("summary", {}, element("span", { className: "method" }, method.toUpperCase()), element("code", {}, path), element("span", { className: "quiet" }, `${it.summary || ""}${free}`)),
    inside);
}

async function draw() {
  const document = await read("openapi.json");
  const groups = new Map();
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, it] of Object.entries(operations)) {
      const group = it.tags?.at(-1) || "other";
      groups.set(group, [...(groups.get(group) || []), operation(method, path, it, document)]);
    }
  }
  globalThis.document.querySelector("#title").textContent = `${document.info.title} ${document.info.version}: API`;
  globalThis.document.querySelector("#about").replaceChildren(...paragraphs(document.info.description));
  globalThis.document.querySelector("#routes").replaceChildren(...[...groups].flatMap(([name, list]) => [element("h2", {}, name), ...list]));
}

draw().catch((error) => {
  document.querySelector("#routes").textContent = "";
  const words = error instanceof Unauthorized
    ? ["The description needs the token: ", element("a", { href: "./" }, "enter it on the operators' page"), ", then come back."]
    : [`The detector did not answer: ${error.message}.`];
  document.querySelector("#trouble").replaceChildren(...words);
});
