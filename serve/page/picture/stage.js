// A photograph that can be zoomed to its pixels, with a heatmap and drawings above it.

import { fill, h, newId, svg } from "../dom.js";
import { Decoder } from "./decoder.js";
import { listenToGestures, zoomIn, zoomOut } from "./gestures.js";
import { Layer } from "./layer.js";
import { View } from "./view.js";

const BASE_PX = 2048;
const HEAT_BASE_PX = 1024;
const MAX_PIXEL_RATIO = 2;
const HELP = "The wheel, two fingers, + and - zoom; dragging and arrow keys move; 0 shows all, 1 the own pixels.";

/**
 * A stage for `source` (a Blob, or a PNG as a data URI), called `name`, with the map of scores `heat` (a data URI).
 * Its `element`, `controls` and `help` are there at once; `ready` resolves once the photograph is shown and rejects where
 * the browser cannot. What is added with `addDrawing` is drawn above, in the photograph's pixels.
 */
export class Stage {
  constructor({ source, name, heat = null }) {
    this.decoder = new Decoder();
    this.view = null;
    this.drawings = [];
    this.layers = [];
    this.photo = h("canvas", { class: "stage-photo", role: "img", "aria-label": name });
    this.heat = heat ? h("canvas", { class: "stage-heat", "aria-hidden": "true" }) : null;
    this.overlay = svg("svg", { class: "stage-overlay", preserveAspectRatio: "none", "aria-hidden": "true" });
    this.help = h("p", { class: "fine", id: newId("help") }, HELP);
    this.element = h("div", { class: "stage is-loading", tabindex: "0", role: "application",
      "aria-label": `Photograph ${name}`, "aria-describedby": this.help.id }, this.photo, this.heat, this.overlay);
    this.shownScale = h("output", { class: "zoom-scale", "aria-label": "Zoom" });
    this.controls = this.makeControls();
    this.watcher = new ResizeObserver(() => this.resize());
    this.frame = 0;
    this.ready = this.open(source, heat);
  }

  async open(source, heat) {
    const { width, height, base } = await this.decoder.ask("openPhoto", { source, maxPx: BASE_PX });
    this.view = new View(width, height);
    this.element.style.setProperty("--aspect", String(width / height));
    this.element.classList.remove("is-loading");
    this.layers.push(this.makeLayer("photo", this.photo, base, 1));
    listenToGestures(this.element, this.view, () => this.changed());
    this.watcher.observe(this.element);
    for (const button of this.controls.querySelectorAll("button")) button.disabled = false;
    if (heat) this.openHeat(heat).catch((error) => error.name === "AbortError" || console.error(error));
  }

  async openHeat(source) {
    const { width, height } = this.view;
    await this.decoder.ask("openHeat", { source });
    const scale = HEAT_BASE_PX / Math.max(width, height);
    const base = await this.decoder.ask("part", { layer: "heat", rect: [0, 0, width, height],
      size: [width * scale, height * scale] });
    this.layers.push(this.makeLayer("heat", this.heat, base, Infinity));
    this.draw();
    this.heat.dataset.drawn = "true";
  }

  makeLayer(kind, canvas, base, maxDetail) {
    return new Layer({ kind, canvas, decoder: this.decoder, base, maxDetail, redraw: () => this.changed() });
  }

  makeControls() {
    const button = (text, label, move) => h("button", { type: "button", class: "zoom", "aria-label": label, title: label,
      disabled: true, onclick: () => {
        move(this.view);
        this.changed();
      } }, text);
    return h("div", { class: "zooms", role: "group", "aria-label": "Zoom" }, button("−", "Zoom out", zoomOut),
      this.shownScale, button("+", "Zoom in", zoomIn), button("Fit", "Show all of the photograph", (view) => view.fit()),
      button("1:1", "Show the photograph's own pixels", (view) => view.zoom(1 / view.scale)));
  }

  /** `draw(view, px)` follows each move; `px` is one pixel of the screen in the photograph's. */
  addDrawing(element, draw) {
    this.overlay.append(element);
    this.drawings.push(draw);
    if (this.view) this.changed();
  }

  /** Move to a region {x, y, width, height} of the photograph. */
  show(region) {
    this.view.show(region);
    this.changed();
  }

  resize() {
    const { clientWidth, clientHeight } = this.element;
    if (!clientWidth || !clientHeight) return;
    this.view.resize(clientWidth, clientHeight);
    for (const canvas of [this.photo, this.heat].filter(Boolean)) {
      canvas.width = Math.round(clientWidth * pixelRatio());
      canvas.height = Math.round(clientHeight * pixelRatio());
    }
    this.draw();
  }

  /** Draw before the browser next shows anything, however many moves there are until then. */
  changed() {
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = 0;
    const { view, element } = this;
    for (const layer of this.layers) layer.draw(view, pixelRatio());
    const [width, height] = [view.stageWidth / view.scale, view.stageHeight / view.scale];
    this.overlay.setAttribute("viewBox", `${view.x} ${view.y} ${width} ${height}`);
    for (const draw of this.drawings) draw(view, 1 / view.scale);
    element.classList.toggle("is-zoomed", !view.isFit);
    element.dataset.visible = view.visible().join(" ");
    const percent = `${view.scale < 0.1 ? (100 * view.scale).toFixed(1) : Math.round(100 * view.scale)}%`;
    if (this.shownScale.textContent !== percent) fill(this.shownScale, percent);
  }

  close() {
    cancelAnimationFrame(this.frame);
    this.watcher.disconnect();
    this.decoder.close();
  }
}

function pixelRatio() {
  return Math.min(MAX_PIXEL_RATIO, window.devicePixelRatio || 1);
}
