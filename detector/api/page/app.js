// The operators' page: polls the state and shows it in words.

import { Refused, Unauthorized, ask, read } from "./api.js";
import { Cameras } from "./cameras.js";
import { UNKNOWN, count, element, figure, setText, span } from "./dom.js";
import { LiveView } from "./liveview.js";
import { Plots } from "./plots.js";
import { Review } from "./review.js";
import { Suppressions } from "./suppressions.js";
import { headline, lost, problems } from "./verdict.js";
import { Views } from "./views.js";
import { Visits } from "./visits.js";
import { ZoneEditor } from "./zones.js";

const POLL_MS = 1500;
const HIDDEN_MS = 15000;
const MAX_WAIT_MS = 12000;
const VISITS_MS = 5000;
const FAULT_MS = 12000;
const ALARM = {
  armed_away: "armed (away)",
  armed_home: "armed (home)",
  disarmed: "disarmed",
  pending: "delay running",
  triggered: "triggered",
};
const PRESSED = { armed_away: "ARM_AWAY", armed_home: "ARM_HOME", disarmed: "DISARM" };
const $ = (selector) => document.querySelector(selector);
const buttons = document.querySelectorAll("[data-command]");

let heard = null; // when the last status arrived, ms
let last = null; // that status
let fault = { text: "", until: 0 }; // why the last click failed
let failures = 0;
let visitsAt = -Infinity;
let timer = 0;
let asking = false;

// --- the viewer -------------------------------------------------------------------------------

const viewer = $("#viewer");
const video = viewer.querySelector("video");
const liveView = new LiveView(viewer.querySelector(".stage"), viewer.querySelector(".below"));

function open(title, clip) {
  $("#viewer-title").textContent = title;
  viewer.querySelector(".error").textContent = "";
  viewer.querySelector(".stage").hidden = clip;
  video.hidden = viewer.querySelector(".download").hidden = !clip;
  viewer.showModal();
}

function view(title, source) {
  const image = viewer.querySelector("img");
  image.alt = title;
  image.src = source;
  open(title, false);
}

function play(title, source) {
  video.setAttribute("aria-label", title);
  video.src = source;
  viewer.querySelector(".download a").href = source;
  open(title, true);
  video.play().catch(() => {}); // a browser that wants a click first shows its own button
}

viewer.querySelector(".close").addEventListener("click", () => viewer.close());
viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
// Without its address the stream ends: otherwise it would continue unseen and use one of the few streams.
viewer.addEventListener("close", () => {
  liveView.stop();
  viewer.querySelector("img").removeAttribute("src");
  video.pause();
  video.removeAttribute("src");
  video.load();
});
video.addEventListener("error", () => {
  if (viewer.open && video.hasAttribute("src")) viewer.querySelector(".error").textContent = "This browser cannot play the clip. Download it and open it with another player.";
});
viewer.querySelector("img").addEventListener("error", () => {
  if (viewer.open) viewer.querySelector(".error").textContent = "There is no picture to show. Close this and try again.";
});

// --- the token --------------------------------------------------------------------------------

const signIn = $("#sign-in");

function askForToken() {
  if (!signIn.open) signIn.showModal();
}

// In another site's frame a browser keeps cookies over HTTPS only, and some keep none.
function noCookie() {
  if (window.self === window.top) return ["The token is right, but this browser does not keep cookies of this page. Allow them and try again."];
  return ["The token is right, but this browser does not keep cookies in another site's frame. ",
    element("a", { href: "./", target: "_blank" }, "Open the page by itself"), ", or serve both under one host name."];
}

signIn.addEventListener("cancel", (event) => event.preventDefault());
signIn.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = $("#token");
  const error = signIn.querySelector(".error");
  error.textContent = "";
  try {
    await ask("api/session", { method: "POST", body: { token: field.value } });
    const { signed_in: kept } = await read("api/session");
    if (!kept) {
      error.replaceChildren(...noCookie());
      return;
    }
    field.value = "";
    signIn.close();
    location.reload();
  } catch (problem) {
    error.textContent = problem instanceof Unauthorized ? "This is not the token." : `It did not work: ${problem.message}.`;
    field.select();
  }
});
$("#leave").addEventListener("click", async () => {
  await ask("api/session", { method: "DELETE" }).catch(() => {});
  location.reload();
});

read("api/session").then(({ required }) => {
  $("#leave").hidden = !required;
}, () => {});

// --- what is shown ----------------------------------------------------------------------------

const cameras = new Cameras($("#cameras"), {
  onOpen: (name) => {
    view(`${name}, live`, `api/cameras/${name}/stream.mjpg?width=1280&boxes=false`);
    liveView.show(name);
  },
  onFault: complain,
  onUnauthorized: askForToken,
});
const visits = new Visits($("#visits"), $("#no-visits"), { onOpen: view, onPlay: play, onSuppress: suppress });
const suppressions = new Suppressions($("#suppressions"), $("#suppressions-section"), {
  onOpen: view,
  onKeep: suppress,
  onUndo: (id) => change(`api/suppressions/${encodeURIComponent(id)}`, "DELETE", "The suppression was not undone"),
});

const zones = new ZoneEditor($("#view-zones"), { onUnauthorized: askForToken });
const review = new Review($("#view-review"), { onPlay: play, onUnauthorized: askForToken });
const plots = new Plots($("#plots"));
new Views($("#views"), { watch: { open: () => plots.start(), close: () => plots.stop() }, review, zones });

function suppress(id) {
  return change(`api/events/${encodeURIComponent(id)}/suppress`, "POST", "The visit was not marked as nobody");
}

// Sends a change, shows what follows from it, or says why it failed.
async function change(path, method, failed) {
  try {
    await ask(path, { method, body: method === "POST" ? {} : undefined });
    await showVisits();
  } catch (error) {
    if (error instanceof Unauthorized) askForToken();
    complain(`${failed}: ${error.message}.`);
  }
}

async function showVisits() {
  const [events, suppressed] = await Promise.all([read("api/events?limit=12"), read("api/suppressions")]);
  visits.show(events);
  suppressions.show(suppressed);
}

function complain(text) {
  fault = { text, until: Date.now() + FAULT_MS };
  if (last) show(last);
}

function showVerdict(text, found, level) {
  const root = $("#verdict");
  root.className = `verdict ${level}`;
  setText(root.querySelector(".headline"), text);
  const key = JSON.stringify([text, found]);
  if (root.dataset.key === key) return;
  root.dataset.key = key;
  root.querySelector(".problems").replaceChildren(...found.map((problem) =>
    element("li", { className: problem.level }, problem.title === text ? "" : element("strong", {}, problem.title), " ", problem.advice)));
}

function showAlarm({ state, because, waits, notes }) {
  setText($("#alarm-state"), `Alarm: ${ALARM[state] || state}`);
  setText($("#alarm-why"), [because, waits, ...(notes || [])].filter(Boolean).join("; "));
  $("#alarm-state").dataset.state = state;
  for (const button of buttons) {
    button.disabled = false;
    button.setAttribute("aria-pressed", String(button.dataset.command === PRESSED[state]));
  }
}

function showFacts({ model, broker, outbox, system, version, uptime_s: uptime }) {
  const run = model.infer_ms?.p50;
  const rows = [
    ["Model", [model.name, model.backend, model.precision].filter(Boolean).join(" · ") || UNKNOWN],
    ["Inference time", run === null || run === undefined ? UNKNOWN : `${run.toFixed(1)} ms, p99 ${figure(model.infer_ms.p99, "ms", 1)}`],
    ["MQTT broker", [broker.address, broker.state].filter(Boolean).join(" · ") || UNKNOWN],
    ["Waiting to be sent", outbox.pending_alerts === null ? UNKNOWN : `${count(outbox.pending_alerts, "alert")}, ${count(outbox.pending_events ?? 0, "event")}`],
    ["Temperature", figure(system.temperature_c, "°C")],
    ["Power", figure(system.power_w, "W", 1)],
    ["CPU", figure(system.cpu_percent, "% of one core")],
    ["Memory", figure(system.rss_mb, "MB")],
    ["Uptime", span(uptime)],
    ["Version", version],
  ].filter(([, text]) => text !== UNKNOWN);
  const key = JSON.stringify(rows);
  if (showFacts.key === key) return;
  showFacts.key = key;
  $("#facts").replaceChildren(...rows.map(([term, text]) => element("div", {}, element("dt", {}, term), element("dd", {}, text))));
}

function show(status) {
  const found = problems(status);
  if (Date.now() < fault.until) found.push({ level: "warn", title: fault.text, advice: "" });
  const level = found[0]?.level === "bad" ? "bad" : found.length || status.state === "starting" ? "warn" : "good";
  showVerdict(headline(status, found), found, level);
  showAlarm(status.alarm);
  const name = status.device.name || status.device.id;
  setText($("#device"), name);
  document.title = found.length ? `(${found.length}) ${name}` : name;
  cameras.show(status.cameras);
  cameras.stale(false);
  showFacts(status);
}

function showUnreadable(text) {
  showVerdict("The detector's state cannot be read.", [{ level: "bad", title: "", advice: `Error: ${text}. Restart the service if this continues.` }], "bad");
  cameras.stale(true);
}

function showLost() {
  const age = heard === null ? null : (Date.now() - heard) / 1000;
  // Rounded up to tens: a screen reader would read every second aloud.
  const problem = lost(age === null ? null : Math.ceil(age / 10) * 10);
  showVerdict(problem.title, [problem], "bad");
  document.title = "No connection · Detector";
  cameras.stale(true);
  for (const button of buttons) button.disabled = true;
}

// --- the loop ---------------------------------------------------------------------------------

async function refresh() {
  last = await read("api/status");
  heard = Date.now();
  failures = 0;
  show(last);
  // When the number of people changes, the visits have changed too.
  const scene = JSON.stringify([last.alarm.state, Object.values(last.cameras).map((camera) => camera.people)]);
  if (scene === refresh.scene && performance.now() - visitsAt < VISITS_MS) return;
  refresh.scene = scene;
  visitsAt = performance.now();
  await showVisits();
}

function onError(error) {
  if (error instanceof Unauthorized) askForToken(); // entering the token reloads the page
  else if (error instanceof Refused) showUnreadable(error.message);
  else {
    failures += 1;
    // A single lost answer is not shown.
    if (failures > 1 || heard === null) showLost();
  }
}

async function poll() {
  clearTimeout(timer);
  if (asking || signIn.open) return;
  asking = true;
  await refresh().catch(onError);
  asking = false;
  const backOff = Math.min(MAX_WAIT_MS, POLL_MS * 2 ** Math.max(0, failures - 1)) * (failures ? 0.75 + Math.random() / 2 : 1);
  timer = setTimeout(poll, document.visibilityState === "visible" ? backOff : HIDDEN_MS);
}

document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && poll());

for (const button of buttons) {
  button.addEventListener("click", async () => {
    for (const other of buttons) other.disabled = true;
    try {
      const answer = await ask("api/alarm", { method: "POST", body: { command: button.dataset.command } });
      last.alarm = await answer.json();
    } catch (error) {
      if (error instanceof Unauthorized) askForToken();
      complain(`The alarm was not changed: ${error.message}.`);
    }
    show(last);
  });
}

poll();
