// One domain: what it is at a glance, and its tabs.

import { domainPath, json } from "./api.js";
import { badge, errorState, fill, h, loadingState, mark } from "./dom.js";
import { GUARANTEES, count, promise, score, when } from "./format.js";
import { historyTab } from "./history_tab.js";
import { referencesTab } from "./references_tab.js";
import { regionTab } from "./region/tab.js";
import { scoreTab } from "./score_tab.js";
import { settingsTab } from "./settings_tab.js";

const TABS = {
  score: ["Score", scoreTab],
  references: ["References", referencesTab],
  region: ["Region", regionTab],
  history: ["History", historyTab],
  settings: ["Settings", settingsTab],
};

/** What tabs share: the domain as last heard of (`domain`), and the event "domain" when that changes. */
class Context extends EventTarget {
  constructor(name, signal) {
    super();
    this.name = name;
    this.signal = signal;
    this.domain = null;
  }

  async refresh() {
    this.set(await json("GET", domainPath(this.name), { signal: this.signal }));
    return this.domain;
  }

  set(domain) {
    this.domain = domain;
    this.dispatchEvent(new Event("domain"));
  }

  /** The address of a tab. */
  link(tab) {
    return `#/d/${encodeURIComponent(this.name)}/${tab}`;
  }
}

export function domainView({ name, tab, signal }) {
  const context = new Context(name, signal);
  const heading = h("h1", { tabindex: "-1" }, name);
  const note = h("p", { class: "hint note" });
  const summary = h("div", { class: "summary" });
  const body = h("div", { class: "tab-body" });
  const links = Object.entries(TABS).map(([key, [title]]) => [key, h("a", { href: context.link(key) }, title)]);
  const tabs = h("nav", { class: "tabs", "aria-label": `Views of ${name}` }, links.map(([, link]) => link));
  const rest = h("div", {}, loadingState("Loading the domain…"));
  const element = h("div", { class: "page" },
    h("div", { class: "crumbs" }, h("a", { href: "#/" }, "Domains"),
      h("span", { class: "muted", "aria-hidden": "true" }, "/"), heading), note, rest);
  let shown = null;
  let leavingTab = new AbortController();

  context.addEventListener("domain", () => {
    note.textContent = context.domain.settings.note;
    fill(summary, summaryOf(context.domain));
  });
  const onReturn = () => {
    // Others may have enrolled meanwhile.
    if (document.visibilityState === "visible" && context.domain) context.refresh().catch(() => {});
  };
  document.addEventListener("visibilitychange", onReturn);
  signal.addEventListener("abort", () => {
    document.removeEventListener("visibilitychange", onReturn);
    leavingTab.abort(signal.reason);
  });

  async function load() {
    fill(rest, loadingState("Loading the domain…"));
    try {
      await context.refresh();
    } catch (error) {
      if (!signal.aborted) fill(rest, errorState(error, load));
      return;
    }
    fill(rest, summary, tabs, body);
    show(tab);
  }

  function show(wanted) {
    tab = wanted;
    if (!context.domain) return;
    const key = wanted || (context.domain.num_references ? "score" : "references");
    if (key === shown) return;
    shown = key;
    element.dataset.tab = key;
    leavingTab.abort(new DOMException("left", "AbortError"));
    leavingTab = new AbortController();
    for (const [other, link] of links) {
      if (other === key) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = `${name}: ${TABS[key][0].toLowerCase()} · dgad`;
    fill(body, TABS[key][1](context, leavingTab.signal));
  }

  load();
  return { element, heading, name, show };
}

function summaryOf({ num_references: numReferences, version, threshold, recent, settings, updated_at: updatedAt }) {
  const isCalibrated = threshold && threshold.value !== null;
  return [
    h("dl", { class: "glance" },
      cell("References", String(numReferences), settings.coreset ? `coreset of ${settings.coreset}` : null),
      cell("Version", version ? String(version) : "–", version ? when(updatedAt) : "nothing enrolled"),
      cell("Threshold", isCalibrated ? score(threshold.value) : threshold ? badge("uncalibrated", "Uncalibrated") : "–",
        isCalibrated ? `${promise(threshold)}, ${GUARANTEES[threshold.guarantee]}` : null),
      cell("Recent scores", recent?.is_drifting ? badge("warning", "Drifting")
        : recent?.num_scores ? "Steady" : "None yet",
      recent?.num_scores ? `over ${count(recent.num_scores, "score")}` : null)),
    threshold ? h("p", { class: "sentence" }, h("span", { class: "tag" }, GUARANTEES[threshold.guarantee]), " ",
      threshold.sentence) : null,
    recent?.is_drifting ? h("p", { class: "banner" }, mark("warning"), h("span", {}, recent.reason)) : null,
  ];
}

function cell(name, value, more) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, h("span", { class: "glance-value" }, value),
    more ? h("span", { class: "muted" }, more) : null));
}
