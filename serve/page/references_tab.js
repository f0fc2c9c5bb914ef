// The references of the current version, and enrolling more.

import { blob, domainPath, json } from "./api.js";
import { ask } from "./dialogs.js";
import { badge, emptyState, errorState, fill, h, loadingState, mark } from "./dom.js";
import { dropZone } from "./dropzone.js";
import { EnrolmentJob, progressView } from "./enrolment.js";
import { bytes, count, when } from "./format.js";
import { announce, complain, tell } from "./notices.js";
import { thumbnail } from "./pictures.js";
import { session } from "./session.js";

export function referencesTab(context, signal) {
  const state = session(context.name);
  const status = h("div", { class: "job-place" });
  const grid = h("div", {}, loadingState("Loading references…"));
  let shownVersion = null;

  const zone = dropZone({
    title: "Drop photographs of good parts here",
    hint: "Anywhere on this page, folders too. JPEG, PNG, BMP or TIFF. Every photograph enrolled counts as normal.",
    button: "Choose photographs",
    onfiles: (files) => {
      if (state.job?.isRunning) {
        complain(new Error("Wait until the photographs before these are enrolled, then add more."));
        return;
      }
      state.job = new EnrolmentJob(context.name, files);
      follow(state.job);
      state.job.run();
    },
  });

  /** Redraws as the job goes; it is not stopped when the tab is left. */
  function follow(job) {
    let phase = null;
    const onchange = () => {
      if (phase !== job.phase && job.phase !== "waiting") announce(SPOKEN[job.phase]);
      phase = job.phase;
      showJob();
      if (!job.isRunning && job.answers.length) context.refresh().catch(complain);
    };
    job.addEventListener("change", onchange, { signal });
    onchange();
  }

  function showJob() {
    const { job } = state;
    if (!job) return;
    if (job.isRunning) showProgress(job);
    else if (job.phase === "done") fill(status, outcomeOf(job, context, dismiss));
    else fill(status, troubleOf(job, dismiss));
  }

  let progress = null;
  function showProgress(job) {
    if (!progress?.element.isConnected) {
      progress = progressView(job);
      fill(status, progress.element);
    }
    progress.update();
  }

  const clock = setInterval(() => state.job?.isRunning && progress?.update(), 1000);
  signal.addEventListener("abort", () => clearInterval(clock));

  function dismiss() {
    state.job = null;
    fill(status);
    zone.querySelector("button").focus();
  }

  async function load() {
    try {
      const answer = await json("GET", domainPath(context.name, "/references"), { signal });
      shownVersion = answer.version;
      showReferences(answer.references);
    } catch (error) {
      if (!signal.aborted) fill(grid, errorState(error, load));
    }
  }

  function showReferences(references) {
    if (!references.length) {
      fill(grid, emptyState("No references yet", "Ten photographs of good parts support a false-alarm rate of 9.1%,"
        + " nineteen 5%. Photograph different parts, in the light and position that you will inspect in."));
      return;
    }
    const byId = new Map(references.map((reference) => [reference.id, reference]));
    const numNear = references.filter((reference) => reference.near_duplicate_of).length;
    fill(grid,
      h("p", { class: "list-head" }, h("strong", {}, count(references.length, "reference")),
        ` in version ${shownVersion}`,
        numNear ? badge("warning", `${count(numNear, "near duplicate")}`) : null),
      h("ul", { class: "tiles" }, references.map((reference) => tile(reference, byId))));
  }

  function tile(reference, byId) {
    const near = reference.near_duplicate_of;
    return h("li", { class: "tile" },
      h("button", { type: "button", class: "tile-picture", "aria-label": `Look at ${reference.name}`,
        onclick: () => look(reference) },
      thumbnail(picturePath(reference, 192), ""),
      near ? h("span", { class: "tile-flag" }, mark("warning"), "Near duplicate") : null),
      h("p", { class: "tile-name", title: near && byId.has(near)
        ? `${reference.name}, nearly equal to ${byId.get(near).name}` : reference.name }, reference.name),
      h("span", { class: "tile-size fine" }, `${reference.width_px} × ${reference.height_px}`),
      h("button", { type: "button", class: "quiet tile-remove", "aria-label": `Remove ${reference.name}`,
        onclick: () => remove(reference) }, "Remove"));
  }

  function picturePath(reference, sizePx) {
    return domainPath(context.name, `/references/${reference.id}?thumbnail=${sizePx}`);
  }

  async function look(reference) {
    const picture = h("img", { class: "look", alt: reference.name });
    let url = null;
    blob(picturePath(reference, 512), { signal }).then((data) => {
      url = URL.createObjectURL(data);
      picture.src = url;
    }).catch(complain);
    const near = reference.near_duplicate_of;
    await ask({ title: reference.name, cancel: "Close", isWide: true, content: [picture, h("p", { class: "hint" },
      `${reference.width_px} × ${reference.height_px} px, ${bytes(reference.num_bytes)},`
      + ` added ${when(reference.added_at)}, ${reference.id.slice(0, 12)}`),
    near ? h("p", { class: "banner" }, mark("warning"), h("span", {}, "Nearly equal to an earlier reference"
        + ` (${near.slice(0, 12)}): such pairs make the threshold too tight.`)) : null] });
    if (url) URL.revokeObjectURL(url);
  }

  async function remove(reference) {
    const choice = (value, title, text, isChecked) => h("label", { class: "choice" },
      h("input", { type: "radio", name: "how", value, checked: isChecked, autofocus: isChecked,
        onchange: () => setDanger(value === "purge") }),
      h("span", {}, h("strong", {}, title), h("span", { class: "hint" }, text)));
    const sure = h("input", { type: "checkbox", name: "sure" });
    const confirm = h("label", { class: "choice choice-sure", hidden: true }, sure,
      h("span", {}, "Delete this photograph for good"));
    const content = h("div", {}, choice("remove", "Remove from the current version",
      "Makes a new version without it. A rollback brings it back.", true),
    choice("purge", "Purge from every version", "Deletes the photograph and what was computed with it. This cannot be undone.",
      false), confirm);
    const setDanger = (isPurge) => {
      confirm.hidden = !isPurge;
      const button = content.closest("form").querySelector("button[type=submit]");
      button.textContent = isPurge ? "Purge" : "Remove";
      button.className = isPurge ? "danger" : "primary";
    };
    const domain = await ask({
      title: `Remove ${reference.name}`,
      content,
      submit: "Remove",
      onsubmit: (data) => {
        const isPurge = data.get("how") === "purge";
        if (isPurge && !sure.checked) throw new Error("Tick the box to delete the photograph for good.");
        return json("DELETE", domainPath(context.name, `/references/${reference.id}${isPurge ? "?purge=true" : ""}`));
      },
    });
    if (!domain) return;
    tell(`${reference.name} is removed; version ${domain.version} is current.`);
    // The domain in this answer may lack its threshold, so it is asked for.
    await context.refresh().catch(complain);
    zone.querySelector("button").focus();
  }

  context.addEventListener("domain", () => {
    if (context.domain.version !== shownVersion) load();
  }, { signal });
  if (state.job) follow(state.job);
  load();
  return [zone, status, grid];
}

const SPOKEN = { uploading: "Sending photographs", embedding: "Sent; embedding", done: "Enrolled",
  failed: "Nothing was enrolled", stopped: "Stopped" };

function outcomeOf(job, context, dismiss) {
  const { answers } = job;
  const numAdded = answers.reduce((sum, answer) => sum + answer.added.length, 0);
  const numThere = answers.reduce((sum, answer) => sum + answer.already_there.length, 0);
  const last = answers.at(-1);
  const warnings = [...new Set(answers.flatMap((answer) => answer.warnings))];
  return h("div", { class: "outcome", role: "status" },
    h("div", { class: "outcome-head" }, mark("normal"), h("p", {},
      h("strong", {}, numAdded ? `${count(numAdded, "photograph")} enrolled` : "Nothing new to enrol"),
      `. Version ${last.version} is current.`,
      numThere ? ` ${count(numThere, "photograph was", "photographs were")} there already.` : null)),
    warnings.map((warning) => h("p", { class: "banner" }, mark("warning"), h("span", {}, warning))),
    h("div", { class: "actions" }, h("a", { class: "button primary", href: context.link("score") }, "Score parts"),
      h("button", { type: "button", class: "quiet", onclick: dismiss }, "Dismiss")));
}

function troubleOf(job, dismiss) {
  const numDone = job.answers.length;
  const saved = numDone ? ` ${count(numDone, "part")} of ${job.parts.length} had been enrolled before.` : "";
  return h("div", { class: "outcome outcome-bad", role: "alert" },
    h("div", { class: "outcome-head" }, mark("failed"), h("p", {},
      h("strong", {}, numDone ? "Not all was enrolled. " : "Nothing was enrolled. "),
      (job.phase === "stopped" ? "You stopped the upload." : job.error.message) + saved)),
    h("div", { class: "actions" }, h("button", { type: "button", onclick: () => job.run() }, "Try again"),
      h("button", { type: "button", class: "quiet", onclick: dismiss }, "Dismiss")));
}
