// Sending photographs to be enrolled: one job a domain, which goes on while the user looks elsewhere.

import { ApiError, domainPath, newIdempotencyKey } from "./api.js";
import { h } from "./dom.js";
import { bytes, count } from "./format.js";
import { upload } from "./upload.js";

// Below the service's limits for one request; more becomes several requests, each with its own version.
const MAX_FILES = 200;
const MAX_BYTES = 200 * 1024 ** 2;

/** Fires "change" as it goes; `phase` is uploading, waiting, embedding, done, failed or stopped. */
export class EnrolmentJob extends EventTarget {
  constructor(domain, files) {
    super();
    this.domain = domain;
    this.numFiles = files.length;
    // The keys stay with their parts, so that another try never enrols twice.
    this.parts = inParts(files).map((part) => ({ files: part, key: newIdempotencyKey(), answer: null }));
    this.phase = "uploading";
    this.phaseBegan = Date.now();
    this.fraction = 0;
    this.error = null;
    this.stopper = new AbortController();
  }

  get isRunning() {
    return ["uploading", "waiting", "embedding"].includes(this.phase);
  }

  get answers() {
    return this.parts.map((part) => part.answer).filter(Boolean);
  }

  async run() {
    this.stopper = new AbortController();
    this.error = null;
    try {
      for (const part of this.parts) {
        if (part.answer) continue;
        this.turn("uploading", 0);
        part.answer = await upload(domainPath(this.domain, "/references"), part.files, {
          headers: { "Idempotency-Key": part.key },
          signal: this.stopper.signal,
          onprogress: (fraction) => this.turn(fraction < 1 ? "uploading" : "embedding", fraction),
          onwait: () => this.turn("waiting", 0),
        });
      }
      this.turn("done", 1);
    } catch (error) {
      this.error = error instanceof ApiError || error.name === "AbortError" ? error
        : new ApiError("The answer of the service could not be read; look at the references before trying again.");
      this.turn(error.name === "AbortError" ? "stopped" : "failed", 0);
    }
  }

  stop() {
    this.stopper.abort(new DOMException("stopped", "AbortError"));
  }

  turn(phase, fraction) {
    if (phase !== this.phase) this.phaseBegan = Date.now();
    this.phase = phase;
    this.fraction = fraction;
    this.dispatchEvent(new Event("change"));
  }
}

function inParts(files) {
  const parts = [];
  let size = 0;
  for (const file of files) {
    const last = parts.at(-1);
    if (!last || last.length >= MAX_FILES || size + file.size > MAX_BYTES) {
      parts.push([file]);
      size = file.size;
    } else {
      last.push(file);
      size += file.size;
    }
  }
  return parts;
}

/** The running job: a sentence, a bar, and a button while there is something to stop; `update()` redraws. */
export function progressView(job) {
  const total = job.parts.reduce((sum, part) => sum + part.files.reduce((s, file) => s + file.size, 0), 0);
  const text = h("p", {});
  const bar = h("progress", { max: 1 });
  const stop = h("button", { type: "button", class: "quiet", onclick: () => job.stop() }, "Stop");
  const update = () => {
    const part = job.parts.length > 1 ? `, part ${job.answers.length + 1} of ${job.parts.length}` : "";
    const seconds = Math.floor((Date.now() - job.phaseBegan) / 1000);
    text.textContent = {
      uploading: `Sending ${count(job.numFiles, "photograph")} (${bytes(total)})${part}: ${Math.floor(job.fraction * 100)}%`,
      embedding: `Embedding and calibrating ${count(job.numFiles, "photograph")}${part}…`
        + (seconds > 2 ? ` ${seconds} s so far; you may look elsewhere meanwhile.` : ""),
      waiting: "The service is busy; trying again in a moment…",
    }[job.phase];
    if (job.phase === "uploading") bar.value = job.fraction;
    else bar.removeAttribute("value");
    bar.setAttribute("aria-label", job.phase === "uploading" ? "Sent" : "Embedding");
    // What the service has whole, it carries out.
    stop.hidden = job.phase === "embedding";
  };
  update();
  return { element: h("div", { class: "job" }, h("div", { class: "job-head" }, text, stop), bar), update };
}
