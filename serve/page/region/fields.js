// A region's corners as numbers: for keyboards, and for who knows the numbers.

import { fill, h } from "../dom.js";

/** An element with the polygons of `shape`, each corner in percent of the photograph's width and height. */
export function cornerFields(shape) {
  const list = h("div", { class: "polygons" });
  let drawn = null;

  function draw() {
    // A number is drawn anew by others' changes only, so that whoever types keeps the place.
    const key = JSON.stringify(shape.polygons);
    if (key === drawn) return;
    const at = focusedAt();
    drawn = key;
    fill(list, shape.polygons.map(polygon));
    if (at) list.querySelectorAll("input, button")[at]?.focus();
  }

  function focusedAt() {
    return list.contains(document.activeElement)
      ? [...list.querySelectorAll("input, button")].indexOf(document.activeElement) : null;
  }

  function polygon(corners, index) {
    return h("fieldset", { class: "polygon" }, h("legend", {}, `Polygon ${index + 1}`),
      h("ol", {}, corners.map((corner, number) => h("li", {}, share(corner, index, number, 0),
        share(corner, index, number, 1),
        button("Split", `Polygon ${index + 1}: add a corner after corner ${number + 1}`,
          () => shape.splitSide(index, number)),
        button("Remove", `Polygon ${index + 1}: remove corner ${number + 1}`,
          () => shape.removeCorner(index, number))))),
      h("div", { class: "actions" }, button("Remove the polygon", `Remove polygon ${index + 1}`,
        () => shape.removePolygon(index))));
  }

  function share(corner, index, number, axis) {
    const of = ["from the left", "from the top"][axis];
    const input = h("input", { type: "number", min: 0, max: 100, step: "any", inputmode: "decimal",
      "aria-label": `Polygon ${index + 1}, corner ${number + 1}, percent ${of}`,
      value: String(Number((100 * corner[axis]).toFixed(4))), onchange: () => {
        const value = Number(input.value) / 100;
        const isNumber = input.value.trim() !== "" && Number.isFinite(value) && value >= 0 && value <= 1;
        input.setAttribute("aria-invalid", String(!isNumber));
        if (!isNumber) return;
        const moved = [...shape.polygons[index][number]];
        moved[axis] = value;
        shape.moveCorner(index, number, moved);
      } });
    return h("span", { class: "with-unit" }, input, "%");
  }

  function button(text, label, onclick) {
    return h("button", { type: "button", class: "quiet", "aria-label": label, onclick }, text);
  }

  shape.addEventListener("change", draw);
  draw();
  return list;
}
