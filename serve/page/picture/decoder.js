// The page's end of a thread that decodes: questions and their answers.

/** A thread that keeps one photograph with its heatmap; `close` frees both. */
export class Decoder {
  constructor() {
    this.worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.waiting = new Map();
    this.numAsked = 0;
    this.worker.addEventListener("message", ({ data: { id, value, error } }) => {
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      if (error === undefined) resolve(value);
      else reject(new Error(error));
    });
    // The thread did not begin at all.
    this.worker.addEventListener("error", (event) => this.giveUp(new Error(event.message || "no thread")));
  }

  /** The answer to a question that worker.js knows by `kind`; never one after `close`. */
  ask(kind, values) {
    return new Promise((resolve, reject) => {
      this.numAsked += 1;
      this.waiting.set(this.numAsked, { resolve, reject });
      this.worker.postMessage({ id: this.numAsked, kind, ...values });
    });
  }

  giveUp(error) {
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }

  close() {
    this.worker.terminate();
    this.giveUp(new DOMException("closed", "AbortError"));
  }
}

let shared = null;

/** A small square picture of a local file, drawn once; the whole photograph is not kept in memory. */
export async function drawSmall(canvas, file, sizePx) {
  shared ??= new Decoder();
  try {
    const bitmap = await shared.ask("small", { source: file, sizePx });
    canvas.width = sizePx;
    canvas.height = sizePx;
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    canvas.classList.remove("is-waiting");
  } catch {
    canvas.classList.add("is-missing");
  }
}
