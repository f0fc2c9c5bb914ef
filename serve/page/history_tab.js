// The versions of a domain, going back to one, and the log of who did what.

import { domainPath, json, sendJson } from "./api.js";
import { ask } from "./dialogs.js";
import { emptyState, errorState, fill, h, loadingState } from "./dom.js";
import { aboutEntry, action, count, when } from "./format.js";
import { complain, tell } from "./notices.js";
import { thumbnail } from "./pictures.js";

const MAX_PICTURES = 60;

export function historyTab(context, signal) {
  const body = h("div", {}, loadingState("Loading the history…"));
  let shownSequence = null;

  async function load() {
    try {
      show(await json("GET", domainPath(context.name, "/versions"), { signal }));
    } catch (error) {
      if (!signal.aborted) fill(body, errorState(error, load));
    }
  }

  function show({ versions, log }) {
    shownSequence = context.domain.sequence;
    const newest = [...versions].sort((a, b) => b.number - a.number);
    const before = new Map(newest.map((version, index) => [version.number, newest[index + 1]]));
    fill(body,
      h("section", {}, h("h2", {}, "Versions"), newest.length
        ? h("ol", { class: "versions", reversed: true }, newest.map((version) => versionRow(version, before.get(version.number))))
        : emptyState("No version yet", "The first enrolment makes version 1.")),
      h("section", {}, h("h2", {}, "Log"), h("ol", { class: "log" }, [...log].reverse().map(logRow))));
  }

  function versionRow(version, previous) {
    const pictures = h("div", { class: "strip-pictures" });
    const details = h("details", { ontoggle: () => {
      if (details.open && !pictures.childElementCount) fill(pictures, picturesOf(version));
    } }, h("summary", {}, "Photographs"), pictures);
    return h("li", { class: version.is_current ? "version is-current" : "version" },
      h("div", { class: "version-head" },
        h("strong", { class: "version-number" }, `Version ${version.number}`),
        version.is_current ? h("span", { class: "tag tag-strong" }, "current") : null,
        h("span", {}, count(version.num_references, "reference"),
          h("span", { class: "muted" }, changeOf(version, previous))),
        h("span", { class: "muted version-when" }, `${when(version.created_at)}, ${version.by}`),
        version.is_current ? null : h("button", { type: "button", onclick: () => rollBack(version),
          "aria-label": `Roll back to version ${version.number}` }, "Roll back")),
      version.references.length ? details : null);
  }

  function picturesOf(version) {
    const rest = version.references.length - MAX_PICTURES;
    return [version.references.slice(0, MAX_PICTURES).map((id) => thumbnail(domainPath(context.name,
      `/references/${id}?thumbnail=96`), `Reference ${id.slice(0, 8)}`)),
    rest > 0 ? h("span", { class: "muted" }, `and ${rest} more`) : null];
  }

  async function rollBack(version) {
    const done = await ask({
      title: `Roll back to version ${version.number}`,
      content: h("p", {}, `The next score is compared with the ${count(version.num_references, "reference")} of version`
        + ` ${version.number} instead of version ${context.domain.version}. Nothing is deleted; you can go back again.`),
      submit: "Roll back",
      onsubmit: () => sendJson("POST", domainPath(context.name, "/rollback"), { version: version.number }),
    });
    if (!done) return;
    tell(`Version ${version.number} is current.`);
    await context.refresh().catch(complain);
    body.querySelector("button, summary")?.focus();
  }

  context.addEventListener("domain", () => {
    if (context.domain.sequence !== shownSequence) load();
  }, { signal });
  load();
  return body;
}

/** ", 3 added, 1 removed" against the version before. */
function changeOf(version, previous) {
  const now = new Set(version.references);
  const then = new Set(previous ? previous.references : []);
  const numAdded = [...now].filter((id) => !then.has(id)).length;
  const numRemoved = [...then].filter((id) => !now.has(id)).length;
  return [numAdded ? `${numAdded} added` : "", numRemoved ? `${numRemoved} removed` : "",
    version.num_purged ? `${version.num_purged} purged since` : ""].filter(Boolean).map((part) => `, ${part}`).join("");
}

function logRow(entry) {
  const about = aboutEntry(entry);
  return h("li", {}, h("span", { class: "log-sequence muted" }, `${entry.sequence}`),
    h("span", { class: "log-what" }, h("strong", {}, action(entry)), about ? h("span", { class: "muted" }, ` ${about}`) : null),
    h("span", { class: "muted" }, entry.version ? `version ${entry.version}` : ""),
    h("span", { class: "muted" }, entry.by),
    h("time", { class: "muted", datetime: entry.at }, when(entry.at)));
}
