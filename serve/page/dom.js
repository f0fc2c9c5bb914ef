// Elements without markup strings: what users and servers say only ever becomes text.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `h("a", {href: "#/", class: "brand"}, "dgad")`; on… are listeners, null children are left out. */
export function h(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

/** The same for drawings. */
export function svg(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), attributes, children);
}

/** `element` with `children` (elements, strings, numbers; null and false are left out) in place of its own. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(3).filter(isShown));
  return element;
}

/** An id that no other element has. */
export function newId(prefix) {
  counter += 1;
  return `${prefix}-${counter}`;
}

let counter = 0;

function furnish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "open") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter(isShown));
  return element;
}

function isShown(child) {
  return child !== null && child !== undefined && child !== false;
}

const MARKS = {
  normal: [
    ["circle", { cx: 8, cy: 8, r: 6.6, class: "mark-line" }],
    ["path", { d: "M4.9 8.3 7.1 10.5 11.2 5.8", class: "mark-line" }],
  ],
  abnormal: [
    ["path", { d: "M8 1.3 15.3 14.2H.7Z", class: "mark-solid" }],
    ["path", { d: "M8 5.6V9.6M8 11.6V12.3", class: "mark-hole" }],
  ],
  uncalibrated: [
    ["circle", { cx: 8, cy: 8, r: 6.6, class: "mark-line mark-dashed" }],
    ["path", { d: "M6.1 6.4C6.1 4 9.9 4.1 9.9 6.4 9.9 7.8 8 7.8 8 9.3M8 11.4V11.9", class: "mark-line" }],
  ],
  warning: [
    ["path", { d: "M3.2 14.5V1.8M3.2 2.4H12.6L10.4 5.4 12.6 8.4H3.2", class: "mark-line" }],
  ],
  failed: [
    ["rect", { x: 1.5, y: 1.5, width: 13, height: 13, rx: 2, class: "mark-line" }],
    ["path", { d: "M5.2 5.2 10.8 10.8M10.8 5.2 5.2 10.8", class: "mark-line" }],
  ],
};

/** A shape for a verdict, so that it never rests on colour alone; a word always stands beside it. */
export function mark(kind) {
  const shapes = MARKS[kind].map(([tag, attributes]) => svg(tag, attributes));
  return svg("svg", { viewBox: "0 0 16 16", class: `mark mark-${kind}`, "aria-hidden": "true" }, shapes);
}

/** A small label with a shape: `badge("abnormal", "Abnormal")`. */
export function badge(kind, text) {
  return h("span", { class: `badge badge-${kind}` }, MARKS[kind] ? mark(kind) : null, text);
}

/** What stands in place of content: nothing there yet, loading, or an error with another try. */
export function emptyState(title, text, ...actions) {
  return h("div", { class: "state" }, h("h2", {}, title), text ? h("p", {}, text) : null,
    actions.length ? h("div", { class: "actions" }, actions) : null);
}

export function loadingState(text) {
  return h("div", { class: "state", role: "status" }, h("span", { class: "spinner", "aria-hidden": "true" }),
    h("p", {}, text));
}

export function errorState(error, retry) {
  return h("div", { class: "state state-error", role: "alert" }, mark("failed"), h("p", {}, error.message),
    error.requestId ? h("p", { class: "fine" }, `Request ${error.requestId}`) : null,
    retry ? h("div", { class: "actions" }, h("button", { type: "button", onclick: retry }, "Try again")) : null);
}
