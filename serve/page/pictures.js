// Thumbnails behind an API key: an <img> cannot send one, so they are fetched when they come into view.

import { blob } from "./api.js";
import { h } from "./dom.js";

const MAX_KEPT = 600;
// Without a source a browser draws a frame.
const NOTHING = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
const kept = new Map();
const wanted = new WeakMap();

const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    load(target);
  }
}, { rootMargin: "300px" });

/** A picture of the endpoint `path` (below /v1/), a quiet placeholder until it is there. */
export function thumbnail(path, alt) {
  const image = h("img", { class: "thumbnail is-waiting", alt, src: NOTHING, decoding: "async", draggable: "false" });
  wanted.set(image, path);
  const before = kept.get(path);
  if (before) show(image, before);
  else watcher.observe(image);
  return image;
}

/** The endpoint in an address that the service gave, such as `/v1/domains/d/references/1?thumbnail=96`. */
export function endpointOf(url) {
  return url.slice(url.indexOf("/v1/") + 4);
}

async function load(image) {
  const path = wanted.get(image);
  try {
    let url = kept.get(path);
    if (!url) {
      url = URL.createObjectURL(await blob(path));
      kept.set(path, url);
      if (kept.size > MAX_KEPT) forgetOldest();
    }
    show(image, url);
  } catch (error) {
    // The list around it stays useful; why it failed is in the title.
    image.classList.replace("is-waiting", "is-missing");
    image.title = error.message;
  }
}

function show(image, url) {
  image.addEventListener("load", () => image.classList.remove("is-waiting"), { once: true });
  image.src = url;
}

function forgetOldest() {
  const [path, url] = kept.entries().next().value;
  kept.delete(path);
  URL.revokeObjectURL(url);
}
