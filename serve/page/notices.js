// What happened, at the top of the page and to screen readers; errors stay until they are dismissed.

import { h, mark } from "./dom.js";

const SHOWN_MS = 8000;
const shown = new Map();

/** Show an error; the same one again is counted, not repeated. Aborted requests are nobody's error. */
export function complain(error, ...actions) {
  if (error?.name === "AbortError") return;
  const message = error.message || String(error);
  const before = shown.get(message);
  if (before) {
    before.times += 1;
    before.count.textContent = `${before.times} times`;
    say(message, "alarm");
    return;
  }
  const count = h("span", { class: "notice-count" });
  const close = () => {
    element.remove();
    shown.delete(message);
    document.getElementById("main").focus({ preventScroll: true });
  };
  const element = h("div", { class: "notice notice-error" }, mark("failed"),
    h("div", { class: "notice-text" }, h("p", {}, message, " ", count),
      error.status >= 500 && error.requestId ? h("p", { class: "fine" }, `Request ${error.requestId}`) : null),
    actions, h("button", { type: "button", class: "quiet", onclick: close }, "Dismiss"));
  shown.set(message, { times: 1, count });
  place(element);
  say(message, "alarm");
}

/** Tell a success; it goes by itself. */
export function tell(message) {
  const element = h("div", { class: "notice notice-done" }, mark("normal"), h("p", { class: "notice-text" }, message),
    h("button", { type: "button", class: "quiet", onclick: () => element.remove() }, "Dismiss"));
  place(element);
  setTimeout(() => {
    if (!element.contains(document.activeElement)) element.remove();
  }, SHOWN_MS);
  announce(message);
}

/** Only to screen readers. */
export function announce(message) {
  say(message, "announcer");
}

function place(element) {
  document.getElementById("notices").append(element);
}

function say(message, region) {
  // Emptied first, so that the same sentence is read again.
  const element = document.getElementById(region);
  element.textContent = "";
  setTimeout(() => {
    element.textContent = message;
  }, 60);
}
