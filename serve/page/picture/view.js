// Which part of a photograph a stage shows: plain geometry.

const MAX_SCALE = 40;
const SHOWN_SCALE = 8;

/**
 * `scale` is screen pixels (CSS) for each of the photograph's, `x` and `y` the photograph's pixel at the stage's
 * upper left corner; both may lie outside of the photograph, which is in the middle where there is room.
 */
export class View {
  constructor(width, height) {
    Object.assign(this, { width, height, stageWidth: 1, stageHeight: 1, scale: 1, x: 0, y: 0 });
    this.fit();
  }

  get fitScale() {
    return Math.min(this.stageWidth / this.width, this.stageHeight / this.height);
  }

  get maxScale() {
    return Math.max(MAX_SCALE, 2 * this.fitScale);
  }

  get isFit() {
    return this.scale <= this.fitScale * 1.0001;
  }

  /** The stage has another size: the middle stays where it is. */
  resize(stageWidth, stageHeight) {
    const { isFit } = this;
    const [x, y] = this.at(this.stageWidth / 2, this.stageHeight / 2);
    Object.assign(this, { stageWidth, stageHeight });
    if (isFit) this.fit();
    else this.centre(x, y, this.scale);
  }

  fit() {
    this.centre(this.width / 2, this.height / 2, 0);
  }

  /** The photograph's pixel (x, y) in the middle; the scale is kept within what may be. */
  centre(x, y, scale) {
    this.scale = Math.min(Math.max(scale, this.fitScale), this.maxScale);
    this.x = clamped(x - this.stageWidth / 2 / this.scale, this.width, this.stageWidth / this.scale);
    this.y = clamped(y - this.stageHeight / 2 / this.scale, this.height, this.stageHeight / this.scale);
  }

  /** The photograph's point under a point of the stage. */
  at(stageX, stageY) {
    return [this.x + stageX / this.scale, this.y + stageY / this.scale];
  }

  /** Larger by `factor`, with what is under the point of the stage staying there. */
  zoom(factor, stageX = this.stageWidth / 2, stageY = this.stageHeight / 2) {
    const [x, y] = this.at(stageX, stageY);
    const scale = Math.min(Math.max(this.scale * factor, this.fitScale), this.maxScale);
    this.centre(x + (this.stageWidth / 2 - stageX) / scale, y + (this.stageHeight / 2 - stageY) / scale, scale);
  }

  /** Moved by pixels of the screen. */
  pan(right, down) {
    const [x, y] = this.at(this.stageWidth / 2 + right, this.stageHeight / 2 + down);
    this.centre(x, y, this.scale);
  }

  /** A region in the middle, with some of its surroundings, its pixels still small enough to make out what it is. */
  show({ x, y, width, height }) {
    const scale = 0.6 * Math.min(this.stageWidth / width, this.stageHeight / height);
    this.centre(x + width / 2, y + height / 2, Math.min(scale, SHOWN_SCALE));
  }

  /** The part of the photograph that can be seen, in whole pixels: [x, y, width, height]. */
  visible() {
    const left = Math.max(0, Math.floor(this.x));
    const top = Math.max(0, Math.floor(this.y));
    const right = Math.min(this.width, Math.ceil(this.x + this.stageWidth / this.scale));
    const bottom = Math.min(this.height, Math.ceil(this.y + this.stageHeight / this.scale));
    return [left, top, Math.max(1, right - left), Math.max(1, bottom - top)];
  }
}

function clamped(start, length, shown) {
  if (shown >= length) return (length - shown) / 2;
  return Math.min(Math.max(start, 0), length - shown);
}
