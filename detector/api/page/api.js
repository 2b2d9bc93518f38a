// Requests to the API: JSON in, JSON out, each with a deadline.

export class Unauthorized extends Error {}
export class Refused extends Error {}
export class Lost extends Error {}

export async function ask(path, { method = "GET", body, headers = {}, timeout = 6000 } = {}) {
  const options = { method, headers, cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(timeout) };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { ...headers, "Content-Type": "application/json" };
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    throw new Lost(String(error));
  }
  if (answer.status === 401) throw new Unauthorized("the token is missing or wrong");
  if (answer.ok || answer.status === 304) return answer;
  const fault = await answer.json().catch(() => ({}));
  throw new Refused(fault.error || `the detector answered ${answer.status}`);
}

export async function read(path) {
  const answer = await ask(path);
  return answer.json().catch((error) => {
    throw new Lost(String(error));
  });
}
