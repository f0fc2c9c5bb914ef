// Drawing a region on a stage with a pointer: a click is a corner, a corner can be dragged.

import { fill, svg } from "../dom.js";
import { pointsOf } from "./overlay.js";
import { MIN_CORNERS } from "./shape.js";

const CORNER_PX = 6;
const NEAR_PX = 10;

/** Let `stage` draw `shape`; `hint(text)` says what is amiss. */
export function listenToDrawing(stage, shape, hint) {
  const { element } = stage;
  const corners = svg("g", {});
  const line = svg("polyline", { class: "region-open" });
  const drawing = svg("g", { class: "region-drawing" }, line, corners);
  let dragged = null;
  let pointer = null;

  stage.addDrawing(drawing, ({ width, height }, px) => {
    element.classList.toggle("is-drawing", shape.open !== null);
    const shown = shape.open ?? shape.polygons[shape.chosen] ?? [];
    const reach = shape.open?.length && pointer ? [...shape.open, pointer] : shape.open ?? [];
    line.setAttribute("points", pointsOf(reach, width, height));
    fill(corners, shown.map(([x, y], number) => svg("circle", { class: "region-corner", cx: x * width, cy: y * height,
      r: CORNER_PX * px, "data-number": number })));
  });
  shape.addEventListener("change", () => stage.view && stage.changed());

  const shareAt = ({ x, y }) => {
    const [across, down] = stage.view.at(x, y);
    return [across / stage.view.width, down / stage.view.height];
  };
  const pointOf = (event) => {
    const { left, top } = element.getBoundingClientRect();
    return { x: event.clientX - left - element.clientLeft, y: event.clientY - top - element.clientTop };
  };

  element.addEventListener("tap", (event) => {
    const { x, y, times } = event.detail;
    const at = shareAt({ x, y });
    if (shape.open === null) {
      const index = shape.polygons.findLastIndex((polygon) => contains(polygon, at));
      if (index < 0 && shape.chosen === null) return;
      if (index >= 0) event.preventDefault();
      shape.choose(index < 0 ? null : index);
      return;
    }
    event.preventDefault();
    // The second click of two adds no corner: the first did.
    if (times > 1 || isAtFirst({ x, y })) {
      end();
      return;
    }
    hint("");
    shape.addCorner(at);
  });

  function end() {
    if (!shape.close()) hint(`A polygon has at least ${MIN_CORNERS} corners: click where the next one is.`);
    else hint("");
  }

  function isAtFirst({ x, y }) {
    if (shape.open.length < MIN_CORNERS) return false;
    const { view } = stage;
    const [u, v] = shape.open[0];
    return Math.hypot((u * view.width - view.x) * view.scale - x, (v * view.height - view.y) * view.scale - y) < NEAR_PX;
  }

  // Before the gestures hear of it: a corner is dragged, not the photograph.
  element.addEventListener("pointerdown", (event) => {
    const number = event.target.dataset?.number;
    if (number === undefined || shape.open !== null || event.button !== 0) return;
    event.stopImmediatePropagation();
    event.preventDefault();
    element.focus({ preventScroll: true });
    element.setPointerCapture(event.pointerId);
    const index = shape.chosen;
    shape.moveCorner(index, Number(number), shape.polygons[index][number]);
    dragged = { index, number: Number(number), pointerId: event.pointerId };
  }, { capture: true });
  element.addEventListener("pointermove", (event) => {
    if (dragged?.pointerId === event.pointerId) {
      shape.dragCorner(dragged.index, dragged.number, shareAt(pointOf(event)));
    } else if (shape.open?.length) {
      pointer = shareAt(pointOf(event));
      stage.changed();
    }
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    element.addEventListener(kind, (event) => {
      if (dragged?.pointerId === event.pointerId) dragged = null;
    });
  }
  element.addEventListener("pointerleave", () => {
    pointer = null;
  });

  element.addEventListener("keydown", (event) => {
    const isUndo = event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey);
    if (isUndo || (event.key === "Backspace" && shape.open?.length)) shape.undo();
    else if (event.key === "Enter" && shape.open) end();
    else if (event.key === "Escape" && shape.open) shape.giveUp();
    else if (event.key === "Escape" && shape.chosen !== null) shape.choose(null);
    else if (event.key === "Delete" && shape.chosen !== null) shape.removePolygon(shape.chosen);
    else return;
    event.preventDefault();
  });
}

/** Whether a point lies in a polygon: whether a ray from it crosses an odd number of sides. */
function contains(corners, [x, y]) {
  let isInside = false;
  for (let i = 0, j = corners.length - 1; i < corners.length; j = i, i += 1) {
    const [[a, b], [c, d]] = [corners[i], corners[j]];
    if (b > y !== d > y && x < ((c - a) * (y - b)) / (d - b) + a) isInside = !isInside;
  }
  return isInside;
}
