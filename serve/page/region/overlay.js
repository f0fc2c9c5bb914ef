// A region of interest above a photograph: what lies outside is darkened.

import { fill, newId, svg } from "../dom.js";

/** Draw the region of `stage`, which `regionOf()` tells at any time, and return its element. */
export function addRegion(stage, regionOf) {
  const id = newId("region");
  const covered = svg("mask", { id, maskUnits: "userSpaceOnUse" });
  const shade = svg("rect", { class: "region-shade", mask: `url(#${id})` });
  const lines = svg("g", {});
  const element = svg("g", { class: "region" }, covered, shade, lines);
  let drawn;
  stage.addDrawing(element, ({ width, height }) => {
    const region = regionOf();
    const key = JSON.stringify(region);
    if (key === drawn) return;
    drawn = key;
    const all = { x: 0, y: 0, width, height };
    for (const [name, value] of Object.entries(all)) {
      for (const target of [covered, shade]) target.setAttribute(name, value);
    }
    const shapes = (kind) => (region?.polygons ?? []).map((corners) => svg("polygon", { class: kind,
      points: pointsOf(corners, width, height) }));
    element.classList.toggle("is-hidden", !region);
    if (region?.mask_png) {
      // The mask is white where it is looked at; it is turned around by the style sheet.
      fill(covered, svg("image", { ...all, class: "region-mask", preserveAspectRatio: "none",
        href: `data:image/png;base64,${region.mask_png}` }));
    } else {
      fill(covered, svg("rect", { ...all, fill: "white" }), shapes("region-hole"));
    }
    fill(lines, shapes("region-line-under"), shapes("region-line"));
  });
  return element;
}

/** Shares of width and height as the points of an SVG polygon. */
export function pointsOf(corners, width, height) {
  return corners.map(([x, y]) => `${x * width},${y * height}`).join(" ");
}
