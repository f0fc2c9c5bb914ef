// The photograph of a result under its heatmap, with boxes around regions.

import { fill, h, newId, svg } from "./dom.js";

const MAX_HEAT_PX = 1024;

// Kept from one photograph to the next, so that a series is compared alike.
const view = { opacity: 0.7, hasBoxes: true };

/** The photograph with what was found; `place` gets the event "leave" before it shows something else. */
export function viewerOf(result, place) {
  const { answer, file } = result;
  if (result.isDrawnByService) return overlayOf(result);
  const url = URL.createObjectURL(file);
  place.addEventListener("leave", () => URL.revokeObjectURL(url), { once: true });
  const photo = h("img", { class: "stage-photo", alt: file.name, src: url });
  const heat = answer.heatmap ? h("canvas", { class: "stage-heat", "aria-hidden": "true" }) : null;
  if (heat) drawHeat(heat, answer.heatmap);
  const boxes = svg("svg", { class: "stage-boxes", preserveAspectRatio: "none", "aria-hidden": "true" });
  const stage = h("div", { class: "stage" }, photo, heat, boxes);
  const frame = h("div", { class: "frame", tabindex: "0", role: "group", "aria-label": "Photograph with its heatmap" }, stage);
  const controls = h("div", { class: "controls" });
  // Numbers keep their size on the screen however large the photograph is shown.
  const watcher = new ResizeObserver(() => photo.naturalWidth && photo.clientWidth && drawBoxes(boxes, answer.regions, photo));
  photo.addEventListener("load", () => {
    fit(stage, photo);
    watcher.observe(photo);
  });
  photo.addEventListener("error", () => {
    frame.hidden = true;
    fill(controls, h("p", { class: "hint" }, "This browser cannot show the file; its score stands."));
  });
  fill(controls, heat ? opacityControl(heat) : h("p", { class: "hint" }, "This method gives no heatmap."),
    answer.regions.length ? boxControl(boxes) : null, zoomControl({ frame, stage, photo, region: answer.regions[0] }));
  return h("div", { class: "viewer" }, frame, controls, heat ? legend() : null);
}

/** Tells the style sheet the shape of the photograph. */
function fit(stage, photo) {
  stage.style.setProperty("--aspect", String(photo.naturalWidth / photo.naturalHeight));
}

/** For types that browsers do not show: the service's own picture, heatmap and all. */
function overlayOf({ answer, file }) {
  const stage = h("div", { class: "stage" });
  const photo = h("img", { class: "stage-photo", alt: `${file.name} with its heatmap`, src: answer.heatmap,
    onload: () => fit(stage, photo) });
  stage.append(photo);
  return h("div", { class: "viewer" }, answer.heatmap ? h("div", { class: "frame" }, stage) : null,
  h("p", { class: "hint" }, answer.heatmap ? "Browsers do not show TIFF, so this is the service's picture of it."
    : "Browsers do not show TIFF, and this method gives no heatmap."), answer.heatmap ? legend() : null);
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

/** The heatmap's colours, the clearer the darker: what is as in good parts leaves the photograph as it is. */
async function drawHeat(canvas, url) {
  const picture = new Image();
  picture.src = url;
  await picture.decode();
  const scale = Math.min(1, MAX_HEAT_PX / Math.max(picture.naturalWidth, picture.naturalHeight));
  canvas.width = Math.max(1, Math.round(picture.naturalWidth * scale));
  canvas.height = Math.max(1, Math.round(picture.naturalHeight * scale));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  const { data } = pixels;
  for (let i = 0; i < data.length; i += 4) {
    // Along this scale of colours the strongest channel goes about as the square root of the value.
    data[i + 3] = Math.max(data[i], data[i + 1], data[i + 2]) * data[i + 3] / 255;
  }
  context.putImageData(pixels, 0, 0);
  canvas.dataset.drawn = "true";
}
