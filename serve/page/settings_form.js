// The fields of a domain's settings, for a new domain and for one that is there.

import { field } from "./dialogs.js";
import { h, newId } from "./dom.js";
import { count } from "./format.js";

const SCHEMES = {
  leave_one_out: ["Leave one out", "Every photograph is compared with and calibrates. Best for few photographs;"
    + " the false-alarm rate holds approximately."],
  split: ["Split", "Half of the photographs only calibrate. Needs twice as many; the rate is guaranteed exactly."],
};

/** `{element, read()}`: the fields, and what they say as JSON; `read` throws a sentence for what cannot be. */
export function settingsFields(settings, { withMore }) {
  const rate = h("input", { type: "text", inputmode: "decimal", autocomplete: "off", size: 6,
    value: settings.false_alarm_rate === null ? "" : String(Number((settings.false_alarm_rate * 100).toFixed(6))) });
  const group = newId("calibration");
  const schemes = Object.entries(SCHEMES).map(([value, [title, text]]) => {
    const input = h("input", { type: "radio", name: group, value, checked: settings.calibration === value,
      onchange: () => explain() });
    input.value = value;
    return h("label", { class: "choice" }, input, h("span", {}, h("strong", {}, title),
      h("span", { class: "hint" }, text)));
  });
  const hint = h("span", { "aria-live": "polite" });
  const coreset = h("input", { type: "text", inputmode: "numeric", autocomplete: "off", size: 6,
    value: settings.coreset === null ? "" : String(settings.coreset) });
  const note = h("textarea", { rows: 2, maxlength: 500, value: settings.note });
  const depth = h("input", { type: "text", inputmode: "numeric", autocomplete: "off", size: 6,
    value: settings.bit_depth ? String(settings.bit_depth) : "" });
  const scale = h("input", { type: "text", autocomplete: "off", autocapitalize: "none", spellcheck: "false", size: 12,
    value: settings.scale ?? "" });
  const scheme = () => element.querySelector("input[type=radio]:checked").value;
  const explain = () => {
    hint.textContent = rateHint(rate.value, scheme());
  };
  rate.addEventListener("input", explain);
  const element = h("div", { class: "fields" },
    field("False-alarm rate", h("span", { class: "with-unit" }, rate, "%"), hint),
    h("fieldset", {}, h("legend", {}, "Calibration"), schemes),
    withMore ? field("Coreset", h("span", { class: "with-unit" }, coreset, "photographs"),
      "Compare with at most this many, chosen to cover the rest: faster with many photographs. Empty: with all.") : null,
    withMore ? field("Bit depth", h("span", { class: "with-unit" }, depth, "bits"),
      "Of photographs with more than 8 bits: 12 for a camera that writes 12 bits into 16-bit files."
      + " Empty: the full range of the file.") : null,
    withMore ? field("Scale", scale, "At which its photographs are looked at, where its camera differs: native, a"
      + " factor such as 0.5, fit 1024 (px of the longer side), squash 256. Empty: the bundle's.") : null,
    withMore ? field("Note", note, "Shown with the domain, for the people who use it.") : null);
  labelInside(element);
  explain();
  return {
    element,
    read: () => ({ false_alarm_rate: readRate(rate.value), calibration: scheme(),
      coreset: readCoreset(coreset.value), note: note.value, bit_depth: readBitDepth(depth.value),
      scale: scale.value.trim() || null }),
  };
}

/** A field around a span labels the input inside of it. */
function labelInside(element) {
  for (const span of element.querySelectorAll(".with-unit")) {
    const input = span.querySelector("input");
    input.id = newId("field");
    input.setAttribute("aria-describedby", span.getAttribute("aria-describedby"));
    span.removeAttribute("aria-describedby");
    span.parentElement.querySelector("label").htmlFor = input.id;
  }
}

function readRate(text) {
  if (!text.trim()) return null;
  const percent = Number(text.trim().replace(",", ".").replace("%", ""));
  if (!(percent > 0 && percent < 100)) {
    throw new Error("The false-alarm rate must be above 0 and below 100%, or empty.");
  }
  return percent / 100;
}

function readCoreset(text) {
  if (!text.trim()) return null;
  const number = Number(text.trim());
  if (!Number.isInteger(number) || number < 2) throw new Error("The coreset must be a whole number from 2, or empty.");
  return number;
}

function readBitDepth(text) {
  if (!text.trim()) return null;
  const number = Number(text.trim());
  if (!Number.isInteger(number) || number < 8 || number > 32) {
    throw new Error("The bit depth must be a whole number from 8 to 32, or empty.");
  }
  return number;
}

/** How many photographs a rate needs: n calibration scores can promise 1 / (n + 1) at best. */
function rateHint(text, scheme) {
  let rate;
  try {
    rate = readRate(text);
  } catch (error) {
    return error.message;
  }
  const numBoth = scheme === "split" ? 2 : 1;
  if (rate === null) {
    return `Empty: the lowest that the photographs support, not below 1%.`
      + ` ${10 * numBoth} photographs support 9.1%, ${19 * numBoth} give 5%, ${99 * numBoth} give 1%.`;
  }
  const needed = (Math.ceil(1 / rate - 1e-9) - 1) * numBoth;
  return `The share of good parts that may be called abnormal. This needs at least`
    + ` ${count(Math.max(needed, numBoth), "photograph")}; with fewer the verdict is “uncalibrated”.`;
}
