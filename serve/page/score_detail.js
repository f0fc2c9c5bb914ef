// One scored photograph: the verdict, why, and where.

import { blob, domainPath } from "./api.js";
import { fill, h, loadingState, mark, newId, svg } from "./dom.js";
import { GUARANTEES, VERDICTS, count, pSentence, pValue, score } from "./format.js";

// Kept from one photograph to the next, so that a series is compared alike.
const view = { opacity: 0.7, hasBoxes: true };

/** What stands in `place` for a result; `place` gets the event "leave" before it shows something else. */
export function detailOf(result, context, place, again) {
  if (result.state === "failed") {
    return h("div", { class: "verdict verdict-failed" }, mark("failed"), h("div", {}, h("h2", {}, "Not scored"),
      h("p", {}, result.error.message),
      h("div", { class: "actions" }, h("button", { type: "button", onclick: () => again([result]) }, "Try again"))));
  }
  if (result.state !== "done") return loadingState(`Scoring ${result.file.name}…`);
  const { answer, file } = result;
  return [
    h("header", { class: `verdict verdict-${answer.verdict}` }, mark(answer.verdict),
      h("div", {}, h("h2", {}, VERDICTS[answer.verdict]), h("p", { class: "verdict-file" }, file.name)),
      h("dl", { class: "verdict-numbers" }, number("Score", score(answer.score)),
        number("Threshold", score(answer.threshold.value)), number("p-value", pValue(answer.p_value)))),
    staleNote(result, context, again),
    h("div", { class: "detail-columns" }, viewerOf(result, context, place), factsOf(answer)),
  ];
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

function viewerOf(result, context, place) {
  const { answer, file } = result;
  const url = URL.createObjectURL(file);
  const urls = [url];
  place.addEventListener("leave", () => urls.forEach((each) => URL.revokeObjectURL(each)), { once: true });
  const photo = h("img", { class: "stage-photo", alt: file.name, src: url });
  const heat = answer.heatmap ? h("img", { class: "stage-heat", alt: "", src: answer.heatmap }) : null;
  const boxes = svg("svg", { class: "stage-boxes", preserveAspectRatio: "none", "aria-hidden": "true" });
  const stage = h("div", { class: "stage" }, photo, heat, boxes);
  const frame = h("div", { class: "frame", tabindex: "0", role: "group", "aria-label": "Photograph with its heatmap" }, stage);
  const controls = h("div", { class: "controls" });
  // Numbers keep their size on the screen however large the photograph is shown.
  const watcher = new ResizeObserver(() => photo.naturalWidth && photo.clientWidth && drawBoxes(boxes, answer.regions, photo));
  photo.addEventListener("load", () => watcher.observe(photo));
  photo.addEventListener("error", async () => {
    // No browser but Safari shows TIFF: the service draws the overlay then.
    fill(controls, h("p", { class: "hint" }, "This browser cannot show the file, so this is the service's picture of it."));
    heat?.remove();
    boxes.remove();
    if (urls.length > 1) return;
    try {
      const body = new FormData();
      body.append("files", file, file.name);
      urls.push(URL.createObjectURL(await blob(domainPath(context.name, "/score"),
        { method: "POST", body, headers: { Accept: "image/png" } })));
      photo.src = urls[1];
    } catch {
      frame.hidden = true;
      fill(controls, h("p", { class: "hint" }, "This browser cannot show the file; its score stands."));
    }
  });
  fill(controls, heat ? opacityControl(heat) : h("p", { class: "hint" }, "This method gives no heatmap."),
    answer.regions.length ? boxControl(boxes) : null, zoomControl({ frame, stage, photo, region: answer.regions[0] }));
  return h("div", { class: "viewer" }, frame, controls, heat ? legend() : null);
}

function opacityControl(heat) {
  const id = newId("opacity");
  const shown = h("output", { for: id }, "");
  const slider = h("input", { type: "range", id, min: 0, max: 100, step: 5, oninput: () => apply() });
  slider.value = String(Math.round(view.opacity * 100));
  const apply = () => {
    view.opacity = Number(slider.value) / 100;
    heat.style.opacity = String(view.opacity);
    shown.textContent = `${slider.value}%`;
  };
  apply();
  return h("div", { class: "opacity" }, h("label", { for: id }, "Heatmap"), slider, shown);
}

function boxControl(boxes) {
  const box = h("input", { type: "checkbox", checked: view.hasBoxes, onchange: () => apply() });
  const apply = () => {
    view.hasBoxes = box.checked;
    boxes.classList.toggle("is-hidden", !view.hasBoxes);
  };
  apply();
  return h("label", { class: "check" }, box, "Boxes");
}

/** The middle of a region, or of the photograph, as shares of its width and height. */
function middleOf(region, { naturalWidth, naturalHeight }) {
  if (!region) return [0.5, 0.5];
  return [(region.x + region.width / 2) / naturalWidth, (region.y + region.height / 2) / naturalHeight];
}

function zoomControl({ frame, stage, photo, region }) {
  const box = h("input", { type: "checkbox", onchange: () => {
    frame.classList.toggle("is-full", box.checked);
    // At least twice the fitted width, so that small photographs grow too.
    stage.style.width = box.checked ? `${Math.max(photo.naturalWidth, 2 * frame.clientWidth)}px` : "";
    if (!box.checked) return;
    const [x, y] = middleOf(region, photo);
    frame.scrollTo(x * frame.scrollWidth - frame.clientWidth / 2, y * frame.scrollHeight - frame.clientHeight / 2);
  } });
  return h("label", { class: "check" }, box, "Enlarge");
}

function legend() {
  return h("div", { class: "legend" }, h("span", {}, "as good parts"), h("span", { class: "legend-bar", "aria-hidden": "true" }),
    h("span", {}, "far from them"));
}

function drawBoxes(boxes, regions, photo) {
  const { naturalWidth: width, naturalHeight: height } = photo;
  boxes.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const px = width / photo.clientWidth;
  fill(boxes, regions.map((region) => ["box-under", "box"].map((name) => svg("rect", { class: name, rx: 3 * px,
    x: region.x, y: region.y, width: region.width, height: region.height }))),
  regions.map((region, index) => svg("text", { class: "box-number", "font-size": 16 * px, "stroke-width": 4 * px,
    x: region.x + px, y: region.y > 20 * px ? region.y - 6 * px : region.y + region.height + 18 * px },
  String(index + 1))));
}

function factsOf(answer) {
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
      h("tbody", {}, regions.map((region, index) => h("tr", {}, [index + 1, score(region.score), `${region.x}, ${region.y}`,
        `${region.width} × ${region.height}`].map((value) => h("td", {}, value))))))) : null,
    levels.length ? h("section", {}, h("h3", {}, "By level"), h("table", { class: "small" }, h("tbody", {},
      levels.map((value, index) => h("tr", {}, h("th", { scope: "row" },
        `Level ${index}${index === 0 ? ", finest" : ""}`), h("td", {}, score(value))))))) : null,
    h("section", {}, h("h3", {}, "Made with"), h("p", { class: "fine" }, `Version ${answer.version}, compared with`
      + ` ${count(threshold.num_compared, "reference")}, bundle ${answer.bundle_id.slice(0, 12)},`
      + ` ${Math.round(answer.milliseconds)} ms.`)));
}
