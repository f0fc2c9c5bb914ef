// A region of interest as it is drawn: polygons of corners in shares (0 to 1) of a photograph's width and height.

export const MIN_CORNERS = 3;
const MAX_UNDO = 200;

/** Fires "change"; `polygons` are closed, `open` is the one being drawn (null: none), `chosen` an index or null. */
export class Shape extends EventTarget {
  constructor(region) {
    super();
    this.before = [];
    this.take(region);
  }

  /** Begin with what the service keeps; a mask stays as long as no polygon is drawn. */
  take(region) {
    this.polygons = (region?.polygons ?? []).map((corners) => corners.map(([x, y]) => [x, y]));
    this.mask = region?.mask_png ?? null;
    this.keepsMask = this.mask !== null;
    this.open = null;
    this.chosen = null;
  }

  get canUndo() {
    return this.before.length > 0;
  }

  /** What the service keeps: null where there is nothing. */
  toRegion() {
    if (this.polygons.length) return { polygons: this.polygons };
    return this.keepsMask ? { mask_png: this.mask } : null;
  }

  begin() {
    this.change(() => {
      this.open = [];
      this.chosen = null;
    });
  }

  addCorner(corner) {
    this.change(() => this.open.push(inside(corner)));
  }

  /** End the polygon being drawn; false where it has too few corners. */
  close() {
    if (!this.open || this.open.length < MIN_CORNERS) return false;
    this.change(() => {
      this.polygons.push(this.open);
      this.chosen = this.polygons.length - 1;
      this.open = null;
    });
    return true;
  }

  giveUp() {
    this.change(() => {
      this.open = null;
    });
  }

  choose(index) {
    this.chosen = index;
    this.tell();
  }

  addPolygon(corners) {
    this.change(() => {
      this.polygons.push(corners.map(inside));
      this.chosen = this.polygons.length - 1;
    });
  }

  removePolygon(index) {
    this.change(() => {
      this.polygons.splice(index, 1);
      this.chosen = null;
    });
  }

  removeAll() {
    this.change(() => {
      this.polygons = [];
      this.keepsMask = false;
      this.open = null;
      this.chosen = null;
    });
  }

  /** Back to what the service keeps. */
  reset(region) {
    this.change(() => this.take(region));
  }

  moveCorner(index, number, corner) {
    this.change(() => {
      this.polygons[index][number] = inside(corner);
    });
  }

  /** The same while it is dragged: one undo takes all of the way back. */
  dragCorner(index, number, corner) {
    this.polygons[index][number] = inside(corner);
    this.tell();
  }

  /** A corner more, half-way to the next. */
  splitSide(index, number) {
    this.change(() => {
      const corners = this.polygons[index];
      const [x, y] = corners[number];
      const [u, v] = corners[(number + 1) % corners.length];
      corners.splice(number + 1, 0, inside([(x + u) / 2, (y + v) / 2]));
    });
  }

  /** A polygon that would have too few corners goes as a whole. */
  removeCorner(index, number) {
    if (this.polygons[index].length <= MIN_CORNERS) {
      this.removePolygon(index);
      return;
    }
    this.change(() => this.polygons[index].splice(number, 1));
  }

  undo() {
    const before = this.before.pop();
    if (!before) return;
    Object.assign(this, JSON.parse(before));
    this.tell();
  }

  change(act) {
    this.before.push(JSON.stringify({ polygons: this.polygons, keepsMask: this.keepsMask, open: this.open,
      chosen: this.chosen }));
    if (this.before.length > MAX_UNDO) this.before.shift();
    act();
    this.tell();
  }

  tell() {
    this.dispatchEvent(new Event("change"));
  }
}

/** Within the photograph, and no finer than a hundredth of a pixel of the largest. */
function inside(corner) {
  return corner.map((share) => Math.round(Math.min(1, Math.max(0, share)) * 1e6) / 1e6);
}
