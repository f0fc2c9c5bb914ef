// Wheel, pointers, fingers and keys that move a view.

const STEP = 1.4;
const PAN_SHARE = 0.15;
const TAP_PX = 5;

const KEYS = {
  "+": (view) => view.zoom(STEP),
  "=": (view) => view.zoom(STEP),
  "-": (view) => view.zoom(1 / STEP),
  "_": (view) => view.zoom(1 / STEP),
  0: (view) => view.fit(),
  1: (view) => view.zoom(1 / view.scale),
  ArrowLeft: (view) => view.pan(-PAN_SHARE * view.stageWidth, 0),
  ArrowRight: (view) => view.pan(PAN_SHARE * view.stageWidth, 0),
  ArrowUp: (view) => view.pan(0, -PAN_SHARE * view.stageHeight),
  ArrowDown: (view) => view.pan(0, PAN_SHARE * view.stageHeight),
};

export function zoomIn(view) {
  view.zoom(STEP);
}

export function zoomOut(view) {
  view.zoom(1 / STEP);
}

/**
 * Let `element` move `view`; `changed()` follows each move. A press that does not move is an event "tap" of the
 * element, whose detail has the stage's point {x, y} and how many there were, `times`.
 */
export function listenToGestures(element, view, changed) {
  const pointers = new Map();
  let pressed = null;
  let lastTap = { x: 0, y: 0, at: 0, times: 0 };

  const pointOf = (event) => {
    const { left, top } = element.getBoundingClientRect();
    return { x: event.clientX - left - element.clientLeft, y: event.clientY - top - element.clientTop };
  };

  element.addEventListener("wheel", (event) => {
    // At its smallest a photograph lets the page scroll on.
    if (event.deltaY > 0 && view.isFit && !event.ctrlKey) return;
    event.preventDefault();
    const px = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 32 * event.deltaY : event.deltaY;
    // A touch pad's pinch comes as a wheel with the control key, in small steps.
    const factor = Math.exp(-Math.max(-300, Math.min(300, px)) * (event.ctrlKey ? 0.01 : 0.0025));
    const { x, y } = pointOf(event);
    view.zoom(factor, x, y);
    changed();
  }, { passive: false });

  element.addEventListener("keydown", (event) => {
    if (event.target !== element || event.ctrlKey || event.metaKey || event.altKey) return;
    const move = KEYS[event.key];
    if (!move) return;
    event.preventDefault();
    move(view);
    changed();
  });

  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pointers.set(event.pointerId, pointOf(event));
    pressed = pointers.size === 1 ? pointOf(event) : null;
  });

  element.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = pointOf(event);
    if (pressed && Math.hypot(now.x - pressed.x, now.y - pressed.y) < TAP_PX) return;
    pressed = null;
    if (!element.hasPointerCapture(event.pointerId)) element.setPointerCapture(event.pointerId);
    if (pointers.size === 1) {
      view.pan(before.x - now.x, before.y - now.y);
    } else {
      const [, other] = [...pointers].find(([id]) => id !== event.pointerId);
      const [was, is] = [before, now].map((point) => Math.hypot(point.x - other.x, point.y - other.y));
      view.pan((before.x - now.x) / 2, (before.y - now.y) / 2);
      if (was > 0 && is > 0) view.zoom(is / was, (now.x + other.x) / 2, (now.y + other.y) / 2);
    }
    pointers.set(event.pointerId, now);
    element.classList.add("is-moving");
    changed();
  });

  for (const kind of ["pointerup", "pointercancel"]) {
    element.addEventListener(kind, (event) => {
      if (!pointers.delete(event.pointerId)) return;
      if (!pointers.size) element.classList.remove("is-moving");
      if (kind === "pointerup" && pressed) tap(pressed);
      pressed = null;
    });
  }

  function tap({ x, y }) {
    const isAgain = performance.now() - lastTap.at < 400 && Math.hypot(x - lastTap.x, y - lastTap.y) < 3 * TAP_PX;
    lastTap = { x, y, at: performance.now(), times: isAgain ? lastTap.times + 1 : 1 };
    const isFree = element.dispatchEvent(new CustomEvent("tap", { cancelable: true,
      detail: { x, y, times: lastTap.times } }));
    if (!isFree || lastTap.times !== 2) return;
    view.zoom(STEP * STEP, x, y);
    changed();
  }

  // Two fingers are ours; one moves the page while all of the photograph can be seen (`touch-action` in views.css).
  element.addEventListener("touchstart", (event) => {
    if (event.touches.length > 1) event.preventDefault();
  }, { passive: false });
}
