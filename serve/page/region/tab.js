// The region of interest of a domain: drawn over one of its photographs, and kept by the service.

import { blob, domainPath, json, sendJson } from "../api.js";
import { emptyState, errorState, fill, h, loadingState } from "../dom.js";
import { field } from "../dialogs.js";
import { dropZone } from "../dropzone.js";
import { count } from "../format.js";
import { announce, complain, tell } from "../notices.js";
import { Stage } from "../picture/stage.js";
import { session } from "../session.js";
import { listenToDrawing } from "./drawing.js";
import { cornerFields } from "./fields.js";
import { addRegion } from "./overlay.js";
import { Shape } from "./shape.js";

const RECTANGLE = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]];

export function regionTab(context, signal) {
  const state = session(context.name);
  // What is drawn and not saved waits while the user looks elsewhere.
  const shape = state.regionDraft ?? new Shape(context.domain.region);
  let kept = JSON.stringify(context.domain.region ?? null);
  let stage = null;
  const place = h("div", { class: "viewer" });
  const hintText = h("p", { class: "hint", role: "status" });
  const trouble = h("p", { class: "form-error", role: "alert" });
  const choice = h("div", {});
  const hint = (text) => {
    hintText.textContent = text || sentence();
  };

  const button = (text, onclick, kind = null) => h("button", { type: "button", class: kind, onclick }, text);
  const draw = button("Draw a polygon", () => {
    if (shape.open) {
      if (!shape.close()) hint("A polygon has at least 3 corners: click where the next one is.");
      return;
    }
    shape.begin();
    stage?.element.focus();
  });
  const rectangle = button("Add a rectangle", () => {
    shape.addPolygon(RECTANGLE);
    announce("A rectangle is added; its corners are below as numbers.");
  });
  const undo = button("Undo", () => shape.undo());
  const remove = button("Remove the polygon", () => shape.removePolygon(shape.chosen));
  const clear = button("Remove all", () => shape.removeAll());
  const save = button("Save the region", () => keep(), "primary");
  const discard = button("Discard changes", () => shape.reset(context.domain.region));

  function sentence() {
    if (shape.open) {
      return "Click where the corners are. Enter, a double click or a click on the first corner ends the polygon;"
        + " Backspace takes the last corner back, Escape all of it.";
    }
    if (shape.toRegion()?.mask_png) {
      return "This domain has a mask for its region. What is drawn here replaces it when it is saved.";
    }
    if (!shape.polygons.length) return "No region: all of each photograph is looked at.";
    return `Only what lies inside ${count(shape.polygons.length, "polygon")} is looked at. Click into one to move its`
      + " corners; Delete removes it.";
  }

  const isChanged = () => JSON.stringify(shape.toRegion()) !== kept;

  function update() {
    draw.textContent = shape.open ? "End the polygon" : "Draw a polygon";
    draw.setAttribute("aria-pressed", String(Boolean(shape.open)));
    undo.disabled = !shape.canUndo;
    remove.hidden = shape.chosen === null;
    clear.disabled = !shape.toRegion() && !shape.open;
    save.disabled = !isChanged() || Boolean(shape.open);
    discard.hidden = !isChanged();
    state.regionDraft = isChanged() || shape.open ? shape : null;
    trouble.textContent = "";
    hint("");
  }

  async function keep() {
    const path = domainPath(context.name, "/region");
    save.disabled = true;
    save.textContent = "Saving and calibrating…";
    try {
      const region = shape.toRegion();
      if (region) await sendJson("PUT", path, region);
      else await json("DELETE", path);
      await context.refresh();
      tell(saved(Boolean(region), context.domain.version));
    } catch (error) {
      trouble.textContent = error.message;
    } finally {
      save.textContent = "Save the region";
      save.disabled = !isChanged();
      if (!trouble.textContent) draw.focus();
    }
  }

  /** Draw over another photograph: a file, or one that the service keeps. */
  function showPicture(source, name) {
    stage?.close();
    stage = new Stage({ source, name });
    addRegion(stage, () => shape.toRegion());
    listenToDrawing(stage, shape, hint);
    fill(place, stage.element, stage.controls, stage.help);
    const shown = stage;
    stage.ready.catch((error) => {
      if (error.name === "AbortError" || shown !== stage) return;
      fill(place, emptyState("This browser cannot show the photograph", "Corners can be given as numbers below."));
    });
  }

  async function showReference(reference) {
    fill(place, loadingState(`Loading ${reference.name}…`));
    try {
      const path = domainPath(context.name, `/references/${reference.id}`);
      let picture = await blob(path, { signal });
      // Browsers do not show TIFF.
      if (picture.type === "image/tiff") picture = await blob(`${path}?thumbnail=512`, { signal });
      showPicture(picture, reference.name);
    } catch (error) {
      if (!signal.aborted) fill(place, errorState(error, () => showReference(reference)));
    }
  }

  async function load() {
    try {
      const { references } = await json("GET", domainPath(context.name, "/references"), { signal });
      if (!references.length) {
        fill(place, emptyState("No photograph to draw on", "Drop one above; it is not kept by the service."));
        return;
      }
      const select = h("select", { onchange: () => showReference(references[select.selectedIndex]) },
        references.map((reference) => h("option", {}, reference.name)));
      fill(choice, field("Drawn over", select));
      await showReference(references[0]);
    } catch (error) {
      if (!signal.aborted) fill(place, errorState(error, load));
    }
  }

  const zone = dropZone({
    title: "Draw where to look",
    hint: "What lies outside of the region is neither enrolled nor scored. Drop a photograph to draw over another one.",
    button: "Choose a photograph",
    onfiles: ([file]) => showPicture(file, file.name),
  });
  shape.addEventListener("change", update);
  context.addEventListener("domain", () => {
    const now = JSON.stringify(context.domain.region ?? null);
    if (now === kept) return;
    const isDraft = isChanged() || shape.open;
    kept = now;
    if (isDraft) update();
    else shape.reset(context.domain.region);
  }, { signal });
  signal.addEventListener("abort", () => {
    shape.removeEventListener("change", update);
    stage?.close();
  });
  update();
  load().catch(complain);
  return [zone, h("section", { class: "region-editor", "aria-label": "Region of interest" },
    h("div", { class: "controls" }, draw, rectangle, undo, remove, clear, choice), hintText, place, trouble,
    h("div", { class: "actions" }, save, discard),
    h("details", { class: "corners" }, h("summary", {}, "Corners as numbers"),
      h("p", { class: "hint" }, "In percent of the photograph's width from the left, and of its height from the top."),
      cornerFields(shape)))];
}

function saved(isThere, version) {
  const what = isThere ? "The region is saved" : "The region is removed";
  if (!version) return `${what}.`;
  return `${what}; version ${version} looks ${isThere ? "nowhere else" : "at all of each photograph"}.`;
}
