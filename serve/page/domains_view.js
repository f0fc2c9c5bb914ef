// The list of domains: each with a picture, what it holds, and its state.

import { domainPath, json, sendJson } from "./api.js";
import { ask, field } from "./dialogs.js";
import { badge, emptyState, errorState, fill, h, loadingState } from "./dom.js";
import { ago, count, promise, score } from "./format.js";
import { announce } from "./notices.js";
import { endpointOf, thumbnail } from "./pictures.js";
import { settingsFields } from "./settings_form.js";

const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;
const SHOWN_AT_ONCE = 100;
const FILTER_FROM = 8;
const DEFAULTS = { false_alarm_rate: null, calibration: "leave_one_out", coreset: null, note: "", bit_depth: null, scale: null };

export function domainsView({ signal }) {
  const heading = h("h1", { tabindex: "-1" }, "Domains");
  const newButton = () => h("button", { type: "button", class: "primary", onclick: makeDomain }, "New domain");
  const filter = h("input", { type: "search", placeholder: "Filter by name", "aria-label": "Filter by name",
    autocomplete: "off", hidden: true, oninput: () => list() });
  const actions = h("div", { class: "actions" }, filter, newButton());
  const body = h("div", { class: "domains" }, loadingState("Loading domains…"));
  const element = h("div", { class: "page" }, h("div", { class: "page-head" }, h("div", {}, heading,
    h("p", { class: "hint" }, "A domain is one inspected surface, known by photographs of good parts.")), actions), body);
  const states = stateLoader(signal);
  let domains = [];
  let numShown = SHOWN_AT_ONCE;

  async function load() {
    fill(body, loadingState("Loading domains…"));
    try {
      ({ domains } = await json("GET", "domains", { signal }));
      filter.hidden = domains.length < FILTER_FROM;
      list();
    } catch (error) {
      if (!signal.aborted) fill(body, errorState(error, load));
    }
  }

  function list() {
    const wanted = filter.value.trim().toLowerCase();
    const found = domains.filter(({ name }) => name.includes(wanted));
    actions.lastElementChild.hidden = domains.length === 0;
    if (!domains.length) {
      fill(body, emptyState("No domain yet", "Make one for the surface that you inspect, enrol photographs of good"
        + " parts, and score the next part a minute later.", newButton()));
    } else if (!found.length) {
      fill(body, emptyState(`No domain has “${wanted}” in its name`));
    } else {
      const rest = found.length - numShown;
      fill(body, h("ul", { class: "rows", "aria-label": "Domains" }, found.slice(0, numShown).map(row)),
        rest > 0 ? h("button", { type: "button", onclick: () => {
          numShown += SHOWN_AT_ONCE;
          list();
        } }, `Show ${Math.min(rest, SHOWN_AT_ONCE)} more of ${rest.toLocaleString("en")}`) : null);
    }
    if (wanted) announce(`${count(found.length, "domain")}`);
  }

  function row(domain) {
    const state = h("span", { class: "row-state" });
    if (domain.num_references === 0) fill(state, h("span", { class: "muted" }, "Enrol photographs to begin"));
    else states.into(state, domain.name);
    return h("li", {}, h("a", { class: "row", href: `#/d/${encodeURIComponent(domain.name)}` },
      domain.thumbnail ? thumbnail(endpointOf(domain.thumbnail), "") : h("span", { class: "thumbnail is-empty" }),
      h("span", { class: "row-name" }, domain.name,
        domain.settings.note ? h("span", { class: "row-note" }, domain.settings.note) : null),
      h("span", { class: "row-count" }, domain.num_references ? count(domain.num_references, "reference") : "No references",
        h("span", { class: "muted" }, domain.version ? `version ${domain.version}` : "")),
      state,
      h("time", { class: "row-when muted", datetime: domain.updated_at }, ago(domain.updated_at))));
  }

  load();
  return { element, heading };
}

/** Thresholds and drift cost the service a look into each domain, so only rows in view ask, four at a time. */
function stateLoader(signal) {
  const waiting = [];
  const names = new WeakMap();
  let numRunning = 0;
  const watcher = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      waiting.push(target);
    }
    next();
  }, { rootMargin: "100px" });
  signal.addEventListener("abort", () => watcher.disconnect());

  async function next() {
    while (waiting.length && numRunning < 4) {
      numRunning += 1;
      show(waiting.shift()).finally(() => {
        numRunning -= 1;
        next();
      });
    }
  }

  async function show(element) {
    try {
      const domain = await json("GET", domainPath(names.get(element)), { signal });
      fill(element, stateOf(domain));
    } catch (error) {
      if (!signal.aborted) fill(element, h("span", { class: "muted", title: error.message }, "State not known"));
    }
  }

  return { into(element, name) {
    names.set(element, name);
    fill(element, h("span", { class: "muted" }, "…"));
    watcher.observe(element);
  } };
}

function stateOf({ threshold, recent }) {
  const isCalibrated = threshold && threshold.value !== null;
  return [
    isCalibrated ? h("span", {}, `Threshold ${score(threshold.value)}`, h("span", { class: "muted" }, promise(threshold)))
      : badge("uncalibrated", "Uncalibrated"),
    recent?.is_drifting ? badge("warning", "Drifting") : null,
  ];
}

async function makeDomain() {
  const name = h("input", { type: "text", name: "name", autocomplete: "off", autocapitalize: "none",
    spellcheck: "false", maxlength: 64, autofocus: true });
  const fields = settingsFields(DEFAULTS, { withMore: false });
  const made = await ask({
    title: "New domain",
    submit: "Make domain",
    content: [field("Name", name, "Small letters, digits, - and _, such as “bracket-left”."), fields.element],
    onsubmit: async () => {
      const wanted = name.value.trim();
      if (!NAME.test(wanted)) {
        throw new Error("The name must be 1 to 64 of a-z, 0-9, - and _, and begin with a letter or digit.");
      }
      const settings = fields.read();
      const { domains } = await json("GET", "domains");
      if (domains.some((domain) => domain.name === wanted)) {
        throw new Error(`There is a domain “${wanted}” already; choose another name.`);
      }
      await sendJson("PUT", domainPath(wanted), settings);
      return wanted;
    },
  });
  if (made) window.location.hash = `#/d/${encodeURIComponent(made)}/references`;
}
