// Decodes and scales photographs and heatmaps in a thread of its own, so that the page never stands still for them.
//
// A message {id, kind, ...} is answered, in turn, by {id, value} or {id, error}.

import { heatColours } from "./colours.js";

const COLOURS = heatColours();
let photo = null;
let heat = null;

/** Decode a photograph (a Blob or a data URI) and keep it; answers its size and a picture of at most `maxPx` a side. */
async function openPhoto({ source, maxPx }) {
  photo = await decode(source);
  const { width, height } = photo;
  const scale = Math.min(1, maxPx / Math.max(width, height));
  const base = await scaled(photo, [0, 0, width, height], [width * scale, height * scale], "high");
  return { value: { width, height, base }, transfer: [base] };
}

/** Decode a map of scores, grey 8 bit and clear where nothing is scored, and keep it. */
async function openHeat({ source }) {
  const bitmap = await decode(source);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d", { willReadFrequently: true }).drawImage(bitmap, 0, 0);
  bitmap.close();
  heat = [canvas];
  while (Math.min(heat.at(-1).width, heat.at(-1).height) > 1) heat.push(halved(heat.at(-1)));
  return { value: null };
}

/** The part `rect` (x, y, width, height in the photograph's pixels) of what is kept, in `size`. */
async function part({ layer, rect, size }) {
  const bitmap = layer === "photo" ? await scaled(photo, rect, size, "medium") : colouredPart(rect, size);
  return { value: bitmap, transfer: [bitmap] };
}

/** The middle square of a photograph, `sizePx` a side; nothing is kept. */
async function small({ source, sizePx }) {
  const whole = await decode(source);
  const side = Math.min(whole.width, whole.height);
  const bitmap = await scaled(whole, [(whole.width - side) / 2, (whole.height - side) / 2, side, side],
    [sizePx, sizePx], "high");
  whole.close();
  return { value: bitmap, transfer: [bitmap] };
}

/** `fetch` of a data URI is not for pages of our policy, so its bytes are read here. */
async function decode(source) {
  if (typeof source !== "string") return createImageBitmap(source);
  const text = atob(source.slice(source.indexOf(",") + 1));
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
  return createImageBitmap(new Blob([bytes], { type: "image/png" }));
}

function scaled(bitmap, [x, y, width, height], size, resizeQuality) {
  const [resizeWidth, resizeHeight] = size.map((side) => Math.max(1, Math.round(side)));
  return createImageBitmap(bitmap, x, y, width, height, { resizeWidth, resizeHeight, resizeQuality });
}

/** A map of half the cells a side; each is the highest of four, so that no small place fades away. */
function halved(canvas) {
  const { width, height } = canvas;
  const from = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const result = new OffscreenCanvas(Math.max(1, width >> 1), Math.max(1, height >> 1));
  const context = result.getContext("2d", { willReadFrequently: true });
  const pixels = context.createImageData(result.width, result.height);
  for (let y = 0, to = 0; y < result.height; y += 1) {
    // The last row and column of an odd number join the one before.
    const bottom = y === result.height - 1 ? height : Math.min(height, 2 * y + 2);
    for (let x = 0; x < result.width; x += 1, to += 4) {
      const right = x === result.width - 1 ? width : Math.min(width, 2 * x + 2);
      for (let v = 2 * y; v < bottom; v += 1) {
        for (let u = 2 * x; u < right; u += 1) {
          const at = 4 * (v * width + u);
          if (from[at + 3] && from[at] >= pixels.data[to]) {
            pixels.data.fill(from[at], to, to + 3);
            pixels.data[to + 3] = 255;
          }
        }
      }
    }
  }
  context.putImageData(pixels, 0, 0);
  return result;
}

/** Scores between cells are interpolated before they are coloured: colours in between would be of no score. */
function colouredPart([x, y, width, height], size) {
  const canvas = new OffscreenCanvas(...size.map((side) => Math.max(1, Math.round(side))));
  // The coarsest map that still has a cell for each pixel.
  const cellsPerPixel = (heat[0].width * width) / photo.width / canvas.width;
  const level = heat[Math.min(heat.length - 1, Math.max(0, Math.floor(Math.log2(cellsPerPixel) + 0.01)))];
  const [across, down] = [level.width / photo.width, level.height / photo.height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "low";
  context.drawImage(level, x * across, y * down, width * across, height * down, 0, 0, canvas.width, canvas.height);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  const { data } = pixels;
  for (let i = 0; i < data.length; i += 4) {
    const at = 4 * data[i];
    data[i] = COLOURS[at];
    data[i + 1] = COLOURS[at + 1];
    data[i + 2] = COLOURS[at + 2];
    data[i + 3] = (COLOURS[at + 3] * data[i + 3]) / 255;
  }
  context.putImageData(pixels, 0, 0);
  return canvas.transferToImageBitmap();
}

const kinds = { openPhoto, openHeat, part, small };
let last = Promise.resolve();

self.addEventListener("message", ({ data: { id, kind, ...values } }) => {
  // One after the other, so that many photographs are never in memory at once.
  last = last.then(async () => {
    try {
      const { value, transfer = [] } = await kinds[kind](values);
      self.postMessage({ id, value }, transfer);
    } catch (error) {
      self.postMessage({ id, error: String(error?.message || error) });
    }
  });
});
