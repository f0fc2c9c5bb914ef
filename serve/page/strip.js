// Where the scores of this list lie, on one line with the threshold.

import { h, mark } from "./dom.js";
import { score } from "./format.js";

/** A line for pointers and eyes; the list beside it says the same to keyboards and readers of screens. */
export function stripOf(results, chosen, choose) {
  const done = results.filter((result) => result.state === "done");
  if (!done.length) return null;
  const threshold = (chosen?.answer || done[0].answer).threshold.value;
  const values = done.map((result) => result.answer.score);
  if (threshold !== null) values.push(threshold);
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const at = (element, value) => {
    element.style.left = `${4 + 92 * ((value - low) / span)}%`;
    return element;
  };
  const dot = (result) => {
    const element = at(h("span", { class: "strip-dot", title: `${result.file.name}: ${score(result.answer.score)}`,
      onclick: () => choose(result) }, mark(result.answer.verdict)), result.answer.score);
    element.classList.toggle("is-chosen", result === chosen);
    return element;
  };
  const line = threshold === null ? null
    : at(h("span", { class: "strip-threshold" }, h("span", { class: "strip-label" }, `threshold ${score(threshold)}`)), threshold);
  if (line) line.classList.toggle("is-right", (threshold - low) / span > 0.5);
  // The chosen one last, so that it lies on top.
  const dots = done.filter((result) => result !== chosen).concat(done.includes(chosen) ? [chosen] : []).map(dot);
  return h("div", { class: "strip", "aria-hidden": "true" }, h("span", { class: "strip-axis" }), line, dots);
}
