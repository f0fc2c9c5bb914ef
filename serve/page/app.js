// The page: addresses to views, the header, and what holds for all of them.

import { allowAsking, json, onKeyNeeded, storeKey, storedKey } from "./api.js";
import { ask, askKey } from "./dialogs.js";
import { h } from "./dom.js";
import { domainView } from "./domain_view.js";
import { domainsView } from "./domains_view.js";
import { listenForDrops } from "./dropzone.js";
import { tell } from "./notices.js";
import { isBusy } from "./session.js";

const TABS = ["score", "references", "region", "history", "settings"];
const main = document.getElementById("main");

let leaving = new AbortController();
let open = null;
let isFirst = true;

/** `#/` is the list, `#/d/NAME[/TAB]` a domain; anything else is the list too. */
function route() {
  const [, kind, name, tab] = window.location.hash.split("/");
  return kind === "d" && name ? { name: decodeURIComponent(name), tab: TABS.includes(tab) ? tab : null } : {};
}

function show() {
  const { name, tab } = route();
  if (name && open?.name === name) {
    open.show(tab);
    return;
  }
  leaving.abort(new DOMException("left", "AbortError"));
  leaving = new AbortController();
  open = name ? domainView({ name, tab, signal: leaving.signal }) : domainsView({ signal: leaving.signal });
  document.title = name ? `${name} · dgad` : "dgad: domains";
  main.replaceChildren(open.element);
  window.scrollTo(0, 0);
  // A reader of screens hears where it is; at the very first the browser has said so itself.
  if (!isFirst) open.heading.focus();
  isFirst = false;
}

async function showBundle() {
  const about = await json("GET", "bundle").catch(() => null);
  if (!about) return;
  document.getElementById("bundle").replaceChildren(
    h("button", { type: "button", class: "quiet", onclick: () => showAbout(about) },
      `${about.title || about.method}`, h("span", { class: "fine" }, ` ${about.bundle_id.slice(0, 8)}`)));
}

function showAbout(about) {
  const rows = [["Method", about.title || about.method], ["Bundle", about.bundle_id], ["Device", about.device],
    ["Scale", about.scale || (about.image_size_px ? `${about.image_size_px} px` : null)], ["Made", about.created_at],
    ["Trained on", about.training_domains?.join(", ")]];
  ask({ title: "What scores here", cancel: "Close", content: h("dl", { class: "facts" },
    rows.filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])) });
}

async function changeKey() {
  if (storedKey()) {
    const isForgotten = await ask({ title: "API key", submit: "Forget the key",
      content: h("p", {}, "A key is in use. It is kept in this tab alone. Forget it to enter another."),
      onsubmit: () => true });
    if (!isForgotten) return;
    storeKey("");
    showKeyState();
  }
  const key = await askKey(false);
  if (!key) return;
  storeKey(key);
  showKeyState();
  tell("The key is kept until this tab is closed.");
  reload();
}

function showKeyState() {
  document.getElementById("key-button").textContent = storedKey() ? "API key: in use" : "API key";
}

function reload() {
  open = null;
  isFirst = true;
  showBundle();
  show();
}

onKeyNeeded(async (wasRefused) => {
  const key = await askKey(wasRefused);
  if (key) {
    storeKey(key);
    showKeyState();
    showBundle();
  }
  return key;
});
listenForDrops();
document.addEventListener("click", allowAsking, { capture: true });
document.getElementById("key-button").addEventListener("click", changeKey);
document.getElementById("skip").addEventListener("click", () => open.heading.focus());
window.addEventListener("hashchange", show);
window.addEventListener("beforeunload", (event) => {
  if (isBusy()) event.preventDefault();
});
showKeyState();
showBundle();
show();
