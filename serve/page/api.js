// Requests to the service: the key, other tries, and errors as one sentence.

const KEY = "dgad_api_key";
const NUM_TRIES = 5;

let askForKey = async () => null;
let asking = null;
let hasDeclined = false;

/** An answer that is not a success, or none at all (status 0); its message is for people. */
export class ApiError extends Error {
  constructor(message, { status = 0, code = "", requestId = "" } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.requestId = requestId;
  }
}

export function storedKey() {
  return sessionStorage.getItem(KEY) || "";
}

export function storeKey(key) {
  hasDeclined = false;
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

/** `prompt(wasRefused)` asks the user for a key and resolves to it, or to null. */
export function onKeyNeeded(prompt) {
  askForKey = prompt;
}

/** After the user said no to a key, thumbnails and the like do not ask again; what the user does, does. */
export function allowAsking() {
  hasDeclined = false;
}

/** A new key for whoever was refused `used`; one dialog however many requests were refused at once. */
export async function keyAfter(used) {
  if (storedKey() !== used) return true;
  if (hasDeclined) return false;
  asking ??= askForKey(used !== "").then((key) => {
    asking = null;
    if (key) storeKey(key);
    else hasDeclined = true;
    return Boolean(key);
  });
  return asking;
}

/** The address of an endpoint below the page's own address, so that any path prefix works. */
export function address(path) {
  return new URL(`v1/${path}`, document.baseURI).href;
}

export function domainPath(name, rest = "") {
  return `domains/${encodeURIComponent(name)}${rest}`;
}

/** Idempotency keys; `randomUUID` exists on HTTPS and localhost alone. */
export function newIdempotencyKey() {
  const random = crypto.getRandomValues(new Uint8Array(18));
  return `page-${Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/**
 * The response to a request, once it succeeded. `send(key)` makes one try and resolves to a Response-like
 * object {status, header(name), text()}, or rejects where no answer came. Every call made here can be repeated
 * without harm: reads, PUT and DELETE, scores, and enrolments with an idempotency key.
 */
export async function insist(send, { signal, onwait, isRepeatable = true } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    const used = storedKey();
    let answer;
    try {
      answer = await send(used);
    } catch (error) {
      if (signal?.aborted) throw error;
      if (attempt >= 3 || !isRepeatable) {
        throw new ApiError("The service cannot be reached; check that it runs and that you are connected.");
      }
      await pause(500 * attempt, signal);
      continue;
    }
    if (answer.status >= 200 && answer.status < 300) return answer;
    if (answer.status === 401) {
      attempt -= 1;
      if (await keyAfter(used)) continue;
    }
    if ((answer.status === 429 || answer.status === 503) && attempt < NUM_TRIES) {
      const waitMs = retryAfterMs(answer.header("Retry-After"), attempt);
      onwait?.(waitMs);
      await pause(waitMs, signal);
      continue;
    }
    throw await errorOf(answer);
  }
}

/** JSON of an endpoint, null for 204. */
export async function json(method, path, { body, headers = {}, signal, onwait } = {}) {
  const answer = await fetched(method, path, { body, headers: { Accept: "application/json", ...headers },
    signal, onwait });
  return answer.status === 204 ? null : JSON.parse(await answer.text());
}

/** JSON to an endpoint. */
export function sendJson(method, path, value, options = {}) {
  return json(method, path, { ...options, body: JSON.stringify(value),
    headers: { "Content-Type": "application/json" } });
}

/** The bytes of an endpoint as a Blob. */
export async function blob(path, { signal, headers = {}, method = "GET", body } = {}) {
  return (await fetched(method, path, { signal, headers, body })).blob();
}

async function fetched(method, path, { body, headers, signal, onwait }) {
  return insist(async (key) => {
    const response = await fetch(address(path), { method, body, signal, credentials: "omit", cache: "no-cache",
      headers: { ...headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) } });
    return { status: response.status, header: (name) => response.headers.get(name),
      text: () => response.text(), blob: () => response.blob() };
  }, { signal, onwait });
}

async function errorOf(answer) {
  const about = { status: answer.status, requestId: answer.header("X-Request-Id") || "" };
  let text = "";
  try {
    text = await answer.text();
    const { error } = JSON.parse(text);
    // How to send a key is for programs; here there is a button.
    if (error?.message && answer.status !== 401) return new ApiError(error.message, { ...about, code: error.code });
  } catch {
    // A proxy's page rather than ours: its words would not help.
  }
  return new ApiError(PLAIN[answer.status] || `The service answered ${answer.status} without saying why;`
    + " its log has more.", about);
}

const PLAIN = {
  401: "This service needs an API key; enter one with the button “API key”.",
  403: "This API key may read but not change anything; enter one with write scope.",
  413: "That is more than the service takes at once; send fewer or smaller photographs.",
  429: "The service is busy; try again in a moment.",
  502: "The service does not answer the proxy in front of it; check that it runs.",
  503: "The service is not ready; try again in a moment.",
  504: "The service took too long to answer; try again, with fewer photographs if it happens twice.",
};

function retryAfterMs(header, attempt) {
  const seconds = Number(header);
  if (header && Number.isFinite(seconds)) return Math.min(Math.max(seconds, 0.2), 60) * 1000;
  const date = Date.parse(header || "");
  if (!Number.isNaN(date)) return Math.min(Math.max(date - Date.now(), 200), 60_000);
  return 500 * 2 ** attempt;
}

/** Resolves after `ms`; rejects as an aborted fetch does. */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
