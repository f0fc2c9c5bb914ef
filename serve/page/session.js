// What this tab remembers of each domain while it is open: a running enrolment, scored
// photographs, and a region that is drawn and not saved.

const domains = new Map();

export function session(name) {
  if (!domains.has(name)) domains.set(name, { job: null, results: [], chosen: null, regionDraft: null });
  return domains.get(name);
}

export function forget(name) {
  domains.get(name)?.job?.stop();
  domains.delete(name);
}

/** Whether closing the tab now would lose an upload or scores that are under way. */
export function isBusy() {
  return [...domains.values()].some(({ job, results }) => job?.isRunning
    || results.some((result) => result.state === "waiting" || result.state === "scoring"));
}
