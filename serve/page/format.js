// Numbers, dates and records as people read them.

/** A score or threshold: three digits after the point while it is small, a true minus sign. */
export function score(value) {
  if (value === null || value === undefined) return "–";
  const digits = Math.abs(value) < 10 ? 3 : Math.abs(value) < 100 ? 2 : 1;
  return value.toFixed(digits).replace("-", "\u2212");
}

export function percent(share) {
  const value = share * 100;
  const digits = value >= 10 ? 0 : value >= 1 ? 1 : 2;
  return `${Number(value.toFixed(digits))}%`;
}

export function pValue(value) {
  if (value === null || value === undefined) return "–";
  return value < 0.001 ? "< 0.001" : String(Number(value.toPrecision(2)));
}

export function bytes(count) {
  if (count < 1024) return `${count} B`;
  if (count < 1024 ** 2) return `${Math.round(count / 1024)} kB`;
  return `${(count / 1024 ** 2).toFixed(count < 10 * 1024 ** 2 ? 1 : 0)} MB`;
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

export function when(iso) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  const sameYear = date.getFullYear() === new Date().getFullYear();
  return date.toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit",
    ...(sameYear ? {} : { year: "numeric" }) });
}

export function ago(iso) {
  const seconds = (Date.now() - new Date(iso).getTime()) / 1000;
  if (Number.isNaN(seconds)) return iso;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return when(iso);
}

export const VERDICTS = { normal: "Normal", abnormal: "Abnormal", uncalibrated: "Uncalibrated" };

export const GUARANTEES = { exact: "guaranteed", approximate: "approximate", none: "no guarantee" };

/** "false alarms at most 9.1 %, approximate", or that there is no threshold. */
export function promise(threshold) {
  if (!threshold || threshold.value === null) return "uncalibrated";
  const about = threshold.guarantee === "exact" ? "at most" : "about";
  return `${about} ${percent(threshold.false_alarm_rate)} false alarms`;
}

/** What a p-value counts, in words. */
export function pSentence(result) {
  const n = result.threshold.num_calibration;
  if (result.p_value === null || !n) return "No calibration scores to compare with.";
  const higher = Math.max(0, Math.round(result.p_value * (n + 1)) - 1);
  return `${higher === 0 ? "None" : higher} of ${count(n, "calibration score")} from normal photographs`
    + ` ${higher === 1 ? "is" : "are"} as high.`;
}

const ACTIONS = {
  create: "Domain made",
  settings: "Settings changed",
  region: "Region of interest changed",
  enroll: "Photographs enrolled",
  remove: "Reference removed",
  purge: "Reference purged for good",
  rollback: "Rolled back",
  delete: "Domain deleted",
};

export function action(entry) {
  return ACTIONS[entry.action] || entry.action;
}

/** Ids that a log entry names, shortened, with how many there are. */
export function aboutEntry(entry) {
  const about = entry.about || {};
  const parts = [];
  for (const [name, value] of Object.entries(about)) {
    if (name === "body" || name === "idempotency_key") continue;
    if (Array.isArray(value)) {
      if (value.length) parts.push(`${words(name)} ${value.length === 1 ? short(value[0]) : value.length}`);
    } else if (value !== null && typeof value !== "object") {
      parts.push(`${words(name)} ${short(value)}`);
    }
  }
  return parts.join(", ");
}

export function short(value) {
  const text = String(value);
  return /^[0-9a-f]{16,}$/.test(text) ? text.slice(0, 8) : text;
}

function words(name) {
  return name.replaceAll("_", " ");
}
