// Scoring photographs: a queue, the list of results with where they lie, and the chosen one in detail.

import { ApiError, domainPath } from "./api.js";
import { badge, emptyState, fill, h, mark } from "./dom.js";
import { dropZone } from "./dropzone.js";
import { VERDICTS, count, score } from "./format.js";
import { announce, complain } from "./notices.js";
import { drawSmall } from "./picture/decoder.js";
import { detailOf } from "./score_detail.js";
import { session } from "./session.js";
import { stripOf } from "./strip.js";
import { upload } from "./upload.js";

const NUM_AT_ONCE = 3;
const MAX_KEPT = 500;
const MAX_MAP_PX = 16384; // the whole map: the most that the service takes
const FILTERS = { all: "All", abnormal: "Abnormal", normal: "Normal", uncalibrated: "Uncalibrated", failed: "Failed" };

export function scoreTab(context, signal) {
  if (!context.domain.num_references) {
    return emptyState("Nothing to compare with yet", "Enrol photographs of good parts first; then drop parts here to score them.",
      h("a", { class: "button primary", href: context.link("references") }, "Enrol references"));
  }
  const state = session(context.name);
  const list = h("ul", { class: "results", "aria-label": "Results" });
  const head = h("div", { class: "results-head" });
  const strip = h("div", {});
  const detail = h("section", { class: "detail", "aria-label": "Chosen photograph", tabindex: "-1" });
  const left = h("div", { class: "score-list" }, head, strip, list);
  const columns = h("div", { class: "score-columns" }, left, detail);
  let filter = "all";
  let isByScore = false;

  const zone = dropZone({
    title: "Drop parts to score here",
    hint: "Anywhere on this page, several at once. They are scored and not kept by the service.",
    button: "Choose photographs",
    onfiles: (files) => {
      const added = files.map((file) => ({ file, state: "waiting", answer: null, error: null, canvas: smallOf(file),
        sent: 0, progress: new EventTarget() }));
      state.results = [...added, ...state.results].slice(0, MAX_KEPT);
      state.chosen = added[0];
      filter = "all";
      draw();
      work(context.name, added);
      if (isStacked()) left.scrollIntoView({ block: "start" });
    },
  });

  function draw() {
    columns.hidden = !state.results.length;
    empty.hidden = !columns.hidden;
    const shown = state.results.filter((result) => filter === "all" || kindOf(result) === filter);
    if (isByScore) shown.sort((a, b) => (b.answer?.score ?? -Infinity) - (a.answer?.score ?? -Infinity));
    fill(head, headOf());
    fill(strip, stripOf(state.results, state.chosen, choose));
    const before = document.activeElement?.closest?.(".result")?.parentElement;
    const at = before ? [...list.children].indexOf(before) : -1;
    fill(list, shown.map(row));
    if (at >= 0) list.children[Math.min(at, list.children.length - 1)]?.firstElementChild.focus();
    drawDetail();
  }

  let drawnFor = null;
  function drawDetail() {
    const key = state.chosen && `${state.results.indexOf(state.chosen)} ${state.chosen.state} ${context.domain.sequence}`;
    if (drawnFor?.result === state.chosen && drawnFor?.key === key) return;
    drawnFor = { result: state.chosen, key };
    detail.dispatchEvent(new Event("leave"));
    fill(detail, state.chosen ? detailOf(state.chosen, context, detail, again) : null);
  }

  function headOf() {
    const numbers = Object.fromEntries(Object.keys(FILTERS).map((key) => [key,
      key === "all" ? state.results.length : state.results.filter((result) => kindOf(result) === key).length]));
    return [
      h("div", { class: "filters", role: "group", "aria-label": "Show" }, Object.entries(FILTERS)
        .filter(([key]) => key === "all" || numbers[key])
        .map(([key, title]) => h("button", { type: "button", class: "quiet", "aria-pressed": String(filter === key),
          onclick: () => {
            filter = key;
            draw();
            head.querySelector("[aria-pressed=true]").focus();
          } }, `${title} ${numbers[key]}`))),
      h("div", { class: "filters" },
        h("button", { type: "button", class: "quiet", "aria-pressed": String(isByScore), onclick: () => {
          isByScore = !isByScore;
          draw();
          head.querySelector(".filters:last-child button").focus();
        } }, "Highest first"),
        h("button", { type: "button", class: "quiet", onclick: () => {
          state.results = [];
          state.chosen = null;
          draw();
          zone.querySelector("button").focus();
        } }, "Clear")),
    ];
  }

  function row(result) {
    const kind = kindOf(result);
    return h("li", {}, h("button", { type: "button", class: "result", "aria-current": result === state.chosen ? "true" : null,
      onclick: () => choose(result), onkeydown: move },
    result.canvas, h("span", { class: "result-name" }, result.file.name),
    h("span", { class: "result-score" }, result.answer ? score(result.answer.score) : ""),
    VERDICTS[kind] ? badge(kind, VERDICTS[kind]) : kind === "failed" ? badge("failed", "Failed")
      : h("span", { class: "muted" }, result.state === "scoring" ? "Scoring…" : "Waiting")));
  }

  /** Arrow keys go from result to result. */
  function move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const rows = [...list.querySelectorAll(".result")];
    const next = rows[rows.indexOf(event.currentTarget) + step];
    if (!next) return;
    next.focus();
    next.click();
  }

  function choose(result) {
    state.chosen = result;
    draw();
    if (isStacked()) detail.scrollIntoView({ block: "start" });
  }

  /** Whether the list is above the detail, as on a phone, so that the eye must be led to it. */
  function isStacked() {
    return detail.offsetTop > left.offsetTop + 40;
  }

  function again(results) {
    for (const result of results) Object.assign(result, { state: "waiting", answer: null, error: null });
    draw();
    work(context.name, results);
  }

  const empty = emptyState("Ready to score", `Drop one part or many. Each is compared with ${count(context.domain.num_references,
    "reference")} of version ${context.domain.version}.`);
  session(context.name).onresult = (result) => {
    if (result.state === "done" && result.answer.version !== context.domain.version) context.refresh().catch(complain);
    draw();
  };
  session(context.name).onfinished = () => context.refresh().catch(complain);
  signal.addEventListener("abort", () => {
    detail.dispatchEvent(new Event("leave"));
    state.onresult = null;
    state.onfinished = null;
  });
  context.addEventListener("domain", draw, { signal });
  draw();
  return [zone, empty, columns];
}

function kindOf(result) {
  return result.state === "done" ? result.answer.verdict : result.state;
}

function smallOf() {
  return h("canvas", { class: "result-picture is-waiting", width: 1, height: 1, "aria-hidden": "true" });
}

/** Scores the results a few at a time, one request each, so that a bad file refuses nothing but itself. */
async function work(name, results) {
  const state = session(name);
  const queue = [...results];
  const worker = async () => {
    for (let result = queue.shift(); result; result = queue.shift()) {
      if (!state.results.includes(result)) continue;
      Object.assign(result, { state: "scoring", sent: 0 });
      state.onresult?.(result);
      await Promise.all([scoreOne(name, result), drawSmall(result.canvas, result.file, 96)]);
      state.onresult?.(result);
    }
  };
  await Promise.all(Array.from({ length: NUM_AT_ONCE }, worker));
  const done = results.filter((result) => result.state === "done");
  const numAbnormal = done.filter((result) => result.answer.verdict === "abnormal").length;
  announce(done.length === 1 ? `${done[0].file.name}: ${VERDICTS[done[0].answer.verdict]}`
    : `${count(done.length, "photograph")} scored, ${numAbnormal} abnormal`);
  const failed = results.filter((result) => result.state === "failed");
  if (failed.length === 1) complain(failed[0].error);
  else if (failed.length) complain(new Error(`${failed.length} photographs were not scored; the list says why.`));
  state.onfinished?.();
}

async function scoreOne(name, result) {
  try {
    // Browsers do not show TIFF: then the service lays the heatmap over it.
    const isDrawnByService = /\.tiff?$/i.test(result.file.name);
    const kind = isDrawnByService ? "heatmap=overlay" : `heatmap=map&heatmap_px=${MAX_MAP_PX}`;
    const answer = await upload(domainPath(name, `/score?${kind}`), [result.file], { onprogress: (fraction) => {
      result.sent = fraction;
      result.progress.dispatchEvent(new Event("change"));
    } });
    Object.assign(result, { answer: answer.results[0], state: "done", isDrawnByService });
  } catch (error) {
    const known = error instanceof ApiError ? error : new ApiError("The answer of the service could not be read; try again.");
    Object.assign(result, { error: known, state: "failed" });
  }
}
