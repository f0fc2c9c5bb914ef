// Files by drag and drop anywhere on the page, or by a button for keyboards and phones.

import { h } from "./dom.js";
import { count } from "./format.js";
import { complain } from "./notices.js";

// The types by name, so that a phone turns its own format into JPEG.
const ACCEPT = "image/jpeg,image/png,image/bmp,image/tiff,.jpg,.jpeg,.png,.bmp,.tif,.tiff";
const EXTENSION = /\.(jpe?g|png|bmp|tiff?)$/i;

let current = null;
let depth = 0;

/** A zone that hands image files to `onfiles(files)`; while it is on the page, it takes every drop. */
export function dropZone({ title, hint, button, onfiles }) {
  const input = h("input", { type: "file", multiple: true, accept: ACCEPT, class: "sr-only", tabindex: "-1",
    "aria-hidden": "true", onchange: () => {
      const files = [...input.files];
      input.value = "";
      take(files, onfiles);
    } });
  const choose = h("button", { type: "button", class: "primary", onclick: () => input.click() }, button);
  const zone = h("div", { class: "drop" },
    h("div", { class: "drop-text" }, h("p", { class: "drop-title" }, title), h("p", { class: "hint" }, hint)),
    choose, input);
  zone.takeFiles = (files) => take(files, onfiles);
  current = zone;
  return zone;
}

function take(files, onfiles) {
  const images = files.filter((file) => EXTENSION.test(file.name) && !file.name.startsWith("."));
  const others = files.filter((file) => !images.includes(file) && !file.name.startsWith("."));
  if (others.length) {
    const names = others.slice(0, 3).map((file) => file.name).join(", ");
    complain(new Error(`${count(others.length, "file")} left out (${names}${others.length > 3 ? ", …" : ""}):`
      + " only JPEG, PNG, BMP and TIFF photographs can be used."));
  }
  if (images.length) onfiles(images);
}

/** Called once: without it a photograph dropped beside the zone would replace the page. */
export function listenForDrops() {
  const zone = () => (current?.isConnected && !document.querySelector("dialog[open]") ? current : null);
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  const highlight = (isOver) => current?.classList.toggle("is-over", isOver);
  document.addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    depth += 1;
    highlight(zone() !== null);
  });
  document.addEventListener("dragleave", (event) => {
    if (!carriesFiles(event)) return;
    depth = Math.max(0, depth - 1);
    if (depth === 0) highlight(false);
  });
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = zone() ? "copy" : "none";
  });
  document.addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth = 0;
    highlight(false);
    const target = zone();
    if (target) target.takeFiles(await filesOf(event.dataTransfer));
  });
}

/** The files of a drop, those inside of dropped folders too. */
async function filesOf(transfer) {
  // Both lists are emptied once the event is over, so they are read before anything is awaited.
  const found = [...transfer.items].filter((item) => item.kind === "file")
    .map((item) => ({ file: item.getAsFile(), entry: item.webkitGetAsEntry?.() }));
  const lists = await Promise.all(found.map(({ file, entry }) => (entry?.isDirectory ? walk(entry) : [file])));
  return lists.flat().filter(Boolean);
}

async function walk(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const files = [];
  for (;;) {
    // A reader hands out at most a hundred entries at a time.
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return files;
    for (const child of entries) files.push(...await walk(child));
  }
}
