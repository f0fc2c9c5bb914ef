// One picture of a stage: all of it coarsely, at once, and the visible part as sharp as the screen shows, soon after.

const MARGIN = 0.25;
const PIXELS_FROM = 2;

/** Draws `kind` ("photo" or "heat") onto `canvas`; `redraw` is called when a sharper part has come. */
export class Layer {
  constructor({ kind, canvas, decoder, base, maxDetail, redraw }) {
    Object.assign(this, { kind, canvas, decoder, base, maxDetail, redraw });
    this.part = null;
    this.isAsking = false;
    this.wanted = null;
  }

  draw(view, pixelRatio) {
    const { canvas } = this;
    const context = canvas.getContext("2d");
    const px = view.scale * pixelRatio;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.setTransform(px, 0, 0, px, -view.x * px, -view.y * px);
    context.imageSmoothingEnabled = this.kind === "heat" || px < PIXELS_FROM;
    const isCovered = covers(this.part, view.visible());
    if (!isCovered || this.part.detail < this.detailFor(view, pixelRatio) * 0.99) this.want(view, pixelRatio);
    // Of two clear pictures one above the other both would show.
    const isAlone = this.kind === "heat" && isCovered;
    if (!isAlone) context.drawImage(this.base, 0, 0, view.width, view.height);
    if (!isAlone && (!this.part || this.kind === "heat")) return;
    const [x, y, width, height] = this.part.rect;
    context.drawImage(this.part.bitmap, x, y, width, height);
  }

  /** Pixels of the picture for each of the photograph's that the view could use. */
  detailFor(view, pixelRatio) {
    return Math.min(view.scale * pixelRatio, this.maxDetail);
  }

  want(view, pixelRatio) {
    const detail = this.detailFor(view, pixelRatio);
    if (this.base.width / view.width >= detail * 0.99) return;
    this.wanted = { rect: widened(view.visible(), view), detail };
    this.askNext();
  }

  /** One question at a time, always the latest: what was wanted between is passed over. */
  async askNext() {
    if (this.isAsking || !this.wanted) return;
    const { rect, detail } = this.wanted;
    this.wanted = null;
    this.isAsking = true;
    try {
      const bitmap = await this.decoder.ask("part", { layer: this.kind, rect,
        size: [rect[2] * detail, rect[3] * detail] });
      this.part?.bitmap.close();
      this.part = { rect, detail, bitmap };
      this.canvas.dataset.part = rect.join(" ");
      this.redraw();
    } catch (error) {
      if (error.name === "AbortError") return;
      console.error(error);
    } finally {
      this.isAsking = false;
    }
    this.askNext();
  }
}

function covers(part, [x, y, width, height]) {
  if (!part) return false;
  const [left, top, across, down] = part.rect;
  return left <= x && top <= y && left + across >= x + width && top + down >= y + height;
}

/** Somewhat more than is seen, so that a small move needs nothing new. */
function widened([x, y, width, height], view) {
  const [right, down] = [Math.round(width * MARGIN), Math.round(height * MARGIN)];
  const [left, top] = [Math.max(0, x - right), Math.max(0, y - down)];
  return [left, top, Math.min(view.width, x + width + right) - left, Math.min(view.height, y + height + down) - top];
}
