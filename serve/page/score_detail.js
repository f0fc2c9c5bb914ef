// One scored photograph: the verdict, why, and where.

import { h, loadingState, mark } from "./dom.js";
import { GUARANTEES, VERDICTS, count, pSentence, pValue, score } from "./format.js";
import { viewerOf } from "./viewer.js";

/** What stands in `place` for a result; `place` gets the event "leave" before it shows something else. */
export function detailOf(result, context, place, again) {
  if (result.state === "failed") {
    return h("div", { class: "verdict verdict-failed" }, mark("failed"), h("div", {}, h("h2", {}, "Not scored"),
      h("p", {}, result.error.message),
      h("div", { class: "actions" }, h("button", { type: "button", onclick: () => again([result]) }, "Try again"))));
  }
  if (result.state !== "done") return loadingState([`Scoring ${result.file.name}…`, progressOf(result, place)]);
  const { answer, file } = result;
  // Another version may have had another region.
  const region = answer.version === context.domain.version ? context.domain.region ?? null : null;
  const viewer = viewerOf(result, region, place);
  return [
    h("header", { class: `verdict verdict-${answer.verdict}` }, mark(answer.verdict),
      h("div", {}, h("h2", {}, VERDICTS[answer.verdict]), h("p", { class: "verdict-file" }, file.name)),
      h("dl", { class: "verdict-numbers" }, number("Score", score(answer.score)),
        number("Threshold", score(answer.threshold.value)), number("p-value", pValue(answer.p_value)))),
    staleNote(result, context, again),
    ownNote(result.answer),
    h("div", { class: "detail-columns" }, viewer.element, factsOf(answer, viewer.show)),
  ];
}

/** How much of a large photograph is sent, while it is. */
function progressOf(result, place) {
  const bar = h("progress", { max: 1, "aria-label": "Sent" });
  const update = () => {
    if (result.sent < 1) bar.value = result.sent;
    else bar.removeAttribute("value");
  };
  update();
  const listener = () => update();
  result.progress.addEventListener("change", listener);
  place.addEventListener("leave", () => result.progress.removeEventListener("change", listener), { once: true });
  return bar;
}

/** The number of a region, as a button where the viewer can move there. */
function numberOf(region, number, show) {
  return show ? h("button", { type: "button", class: "link", "aria-label": `Zoom to region ${number}`,
    onclick: () => show(region) }, number) : number;
}

function number(name, value) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

function staleNote(result, context, again) {
  if (result.answer.version === context.domain.version) return null;
  const older = () => context.domain && result.answer.version !== context.domain.version;
  return h("p", { class: "banner" }, mark("warning"), h("span", {}, `Scored with version ${result.answer.version};`
    + ` version ${context.domain.version} is current now. `, h("button", { type: "button", class: "link",
    onclick: () => older() && again([result]) }, "Score again")));
}

function ownNote(answer) {
  if (!answer.same_as_reference) return null;
  return h("p", { class: "banner" }, mark("warning"), h("span", {}, `This is the reference ${answer.same_as_reference}:`
    + " compared with itself a photograph is as normal as can be, so its score says nothing."));
}

function factsOf(answer, show) {
  const { threshold, regions, levels } = answer;
  const margin = threshold.value === null ? null : answer.score - threshold.value;
  return h("div", { class: "facts-column" },
    h("section", {}, h("h3", {}, "Why"),
      margin === null ? h("p", {}, "There is no threshold yet, so the score is a number without a verdict.")
        : h("p", {}, `The score is ${score(Math.abs(margin))} ${margin > 0 ? "above" : "below"} the threshold. ${pSentence(answer)}`),
      h("p", { class: "sentence" }, h("span", { class: "tag" }, GUARANTEES[threshold.guarantee]), " ", threshold.sentence)),
    regions.length ? h("section", {}, h("h3", {}, count(regions.length, "region")),
      h("table", { class: "small" }, h("thead", {}, h("tr", {}, ["#", "Score", "Left, top", "Size"].map((name) => h("th",
        { scope: "col" }, name)))),
      h("tbody", {}, regions.map((region, index) => h("tr", {}, [numberOf(region, index + 1, show), score(region.score),
        `${region.x}, ${region.y}`, `${region.width} × ${region.height}`].map((value) => h("td", {}, value))))))) : null,
    levels.length ? h("section", {}, h("h3", {}, "By level"), h("table", { class: "small" }, h("tbody", {},
      levels.map((value, index) => h("tr", {}, h("th", { scope: "row" },
        `Level ${index}${index === 0 ? ", finest" : ""}`), h("td", {}, score(value))))))) : null,
    h("section", {}, h("h3", {}, "Made with"), h("p", { class: "fine" }, `Version ${answer.version}, compared with`
      + ` ${count(threshold.num_compared, "reference")}, bundle ${answer.bundle_id.slice(0, 12)},`
      + ` ${Math.round(answer.milliseconds)} ms.`)));
}
