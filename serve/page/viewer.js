// The photograph of a result under its heatmap, with boxes around regions.

import { fill, h, newId, svg } from "./dom.js";
import { Stage } from "./picture/stage.js";
import { addRegion } from "./region/overlay.js";

// Kept from one photograph to the next, so that a series is compared alike.
const view = { opacity: 0.7, hasBoxes: true, hasRegion: true };

/**
 * The photograph with what was found and `region`, where it was looked at (null: everywhere). `element` is to be
 * shown; `show(region)` moves to a place in it. `place` gets the event "leave" before it shows something else.
 */
export function viewerOf(result, region, place) {
  const { answer, file, isDrawnByService } = result;
  if (isDrawnByService && !answer.heatmap) {
    return { element: note("Browsers do not show TIFF, and this method gives no heatmap."), show: null };
  }
  const heat = isDrawnByService ? null : answer.heatmap;
  const stage = new Stage({ source: isDrawnByService ? answer.heatmap : file, name: file.name, heat });
  place.addEventListener("leave", () => stage.close(), { once: true });
  const controls = h("div", { class: "controls" }, stage.controls);
  if (stage.heat) controls.append(opacityControl(stage.heat));
  // The service's own picture may be smaller than the photograph, so its boxes would lie elsewhere.
  if (!isDrawnByService && answer.regions.length) controls.append(boxControl(stage, answer.regions));
  if (region) controls.append(regionControl(addRegion(stage, () => region)));
  const element = h("div", { class: "viewer" }, stage.element, controls,
    isDrawnByService ? h("p", { class: "hint" }, "Browsers do not show TIFF, so this is the service's picture of it.")
      : heat ? null : h("p", { class: "hint" }, "This method gives no heatmap."), answer.heatmap ? legend() : null, stage.help);
  stage.ready.catch((error) => {
    if (error.name === "AbortError") return;
    stage.close();
    fill(element, h("p", { class: "hint" }, "This browser cannot show the file; its score stands."));
  });
  const show = (wanted) => stage.ready.then(() => {
    stage.show(wanted);
    stage.element.focus({ preventScroll: true });
  }).catch(() => {});
  return { element, show: isDrawnByService ? null : show };
}

function note(text) {
  return h("div", { class: "viewer" }, h("p", { class: "hint" }, text));
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

function boxControl(stage, regions) {
  const texts = regions.map((_, index) => svg("text", { class: "box-number" }, String(index + 1)));
  const boxes = svg("g", {}, regions.map((region) => ["box-under", "box"].map((name) => svg("rect", { class: name,
    x: region.x, y: region.y, width: region.width, height: region.height }))), texts);
  // Numbers keep their size on the screen however large the photograph is shown.
  stage.addDrawing(boxes, (_, px) => regions.forEach((region, index) => {
    const attributes = { "font-size": 16 * px, "stroke-width": 4 * px, x: region.x + px,
      y: region.y > 20 * px ? region.y - 6 * px : region.y + region.height + 18 * px };
    for (const [name, value] of Object.entries(attributes)) texts[index].setAttribute(name, value);
  }));
  return toggle("Boxes", "hasBoxes", boxes);
}

function regionControl(element) {
  return toggle("Region of interest", "hasRegion", element);
}

/** A box that shows `element` or not, as `view[key]` remembers. */
function toggle(label, key, element) {
  const box = h("input", { type: "checkbox", checked: view[key], onchange: () => apply() });
  const apply = () => {
    view[key] = box.checked;
    element.classList.toggle("is-off", !view[key]);
  };
  apply();
  return h("label", { class: "check" }, box, label);
}

function legend() {
  return h("div", { class: "legend" }, h("span", {}, "as good parts"), h("span", { class: "legend-bar", "aria-hidden": "true" }),
    h("span", {}, "far from them"));
}
