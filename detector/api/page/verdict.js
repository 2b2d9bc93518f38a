// From the status document to text: what is wrong, what it means, what to do.

import { count, span } from "./dom.js";

// `subject`: a line of the service's own `problems` that contains this word is about the same thing.
const bad = (subject, title, advice) => ({ level: "bad", subject, title, advice });
const warn = (subject, title, advice) => ({ level: "warn", subject, title, advice });

const says = (error) => (error ? ` Error: ${/[.?!]$/.test(error) ? error : `${error}.`}` : "");

function ofCamera([name, camera]) {
  const why = says(camera.error);
  if (camera.state === "offline") {
    return bad(name, `${name} is offline: people are not detected there.`,
      `Check the camera's power and network cable; the detector reconnects by itself.${why}`);
  }
  if (camera.state === "degraded") {
    return warn(name, `${name} is unstable: frames are late or missing.`,
      `Check its network, or lower its frame rate in the camera's own settings.${why}`);
  }
  if (camera.state === "online" && camera.detect_enabled === false) {
    return warn(name, `Detection is switched off for ${name}.`, "People are not detected there until you switch it on below.");
  }
  return null;
}

function ofAlarm({ state }) {
  if (state !== "triggered") return null;
  return bad("alarm", "Alarm: an intruder was detected.", "Look at the pictures and the last visits below. Disarm ends the alarm.");
}

function ofModel({ state, error }) {
  if (state !== "failed") return null;
  return bad("model", "The model failed: people are not detected on any camera.",
    `Restart the service; if it fails again, run "detector check" on the device.${says(error)}`);
}

function ofBroker({ state, address, error }, { pending_alerts: waiting }) {
  if (!state || state === "connected" || (state === "connecting" && !waiting)) return null;
  const where = address ? ` (${address})` : "";
  const kept = waiting
    ? `${count(waiting, "alert")} ${waiting === 1 ? "is" : "are"} waiting on disk and will be sent when it is back. `
    : "New alerts are kept on disk until it is back. ";
  const cause = says(error);
  if (state === "refused") {
    return bad("broker", "The MQTT broker refuses the connection: alerts are not sent.",
      `${kept}Check mqtt.username and mqtt.password in the configuration.${cause}`);
  }
  return bad("broker", "The MQTT broker cannot be reached: alerts are not sent.",
    `${kept}Check that the broker${where} runs and the network works.${cause}`);
}

function ofSystem({ throttled, throttled_reason: reason, temperature_c: heat }, governor) {
  if (throttled !== true) return null;
  const now = heat === null || heat === undefined ? "" : ` It is at ${Math.round(heat)} °C.`;
  const cause = says(reason);
  if (governor?.state === "reduced") {
    return warn("detection", `Detection is reduced to ${Math.round(governor.cost * 100)} %.`,
      `It goes back up by itself. Improve the cooling, use a stronger power supply, or raise power.budget_w.${cause}`);
  }
  return warn("throttled", "The device is throttled.", `Improve its cooling or use a stronger power supply.${now}${cause}`);
}

function ofStages(stages) {
  return Object.entries(stages).filter(([, stage]) => !stage.ok).map(([name]) =>
    bad(name, `The ${name} stage is not responding.`, "The detector's watchdog restarts it; if this continues, restart the device."));
}

export function problems(status) {
  const found = [
    ofAlarm(status.alarm),
    ...ofStages(status.stages || {}),
    ofModel(status.model || {}),
    ...Object.entries(status.cameras || {}).map(ofCamera),
    ofBroker(status.broker || {}, status.outbox || {}),
    ofSystem(status.system || {}, status.governor),
  ].filter(Boolean);
  const said = (text) => {
    const words = text.toLowerCase().split(/[^a-z0-9_-]+/);
    return found.some(({ subject }) => words.includes(subject));
  };
  found.push(...(status.problems || []).filter((text) => !said(text)).map((text) => warn(text, text, "")));
  return found.sort((a, b) => (a.level === "bad" ? 0 : 1) - (b.level === "bad" ? 0 : 1));
}

const list = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);

export function headline(status, found) {
  if (status.alarm.state === "triggered") return found[0].title;
  if (found[0]?.level === "bad") return found.length === 1 ? found[0].title : `${found.length} problems need attention.`;
  if (status.state === "starting") return "The detector is starting.";
  const cameras = Object.entries(status.cameras);
  const busy = cameras.filter(([, camera]) => camera.people > 0);
  const seen = busy.reduce((sum, [, camera]) => sum + camera.people, 0);
  const who = seen ? `${count(seen, "person", "people")} in view: ${list(busy.map(([name]) => name))}.` : "No people in view.";
  if (status.alarm.state === "disarmed") return `${who} Disarmed: visits are recorded, no alerts are sent.`;
  return seen || found.length ? who : `Everything works. ${who}`;
}

export function lost(seconds) {
  const since = seconds === null ? "" : ` What you see below is ${span(seconds)} old.`;
  return bad("", "No connection to the detector.",
    `Check that the device has power and that you are on its network; the page reconnects by itself.${since}`);
}
