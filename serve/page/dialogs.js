// Questions that hold the page: the browser's own dialog keeps focus inside, and Esc closes it.

import { h, newId } from "./dom.js";

/**
 * Show a dialog and resolve to what `onsubmit` returned, or to null where it was closed. `onsubmit` may be
 * asynchronous; an error that it throws is shown in the dialog, which stays.
 */
export function ask({ title, content, submit, isDangerous = false, onsubmit, cancel = "Cancel", isWide = false }) {
  const heading = newId("dialog");
  const trouble = h("p", { class: "form-error", role: "alert" });
  const button = h("button", { type: "submit", class: isDangerous ? "danger" : "primary" }, submit);
  const form = h("form", { method: "dialog", novalidate: true }, h("h2", { id: heading }, title), content, trouble,
    h("div", { class: "actions actions-end" },
      h("button", { type: "button", onclick: () => dialog.close() }, cancel), submit ? button : null));
  const dialog = h("dialog", { "aria-labelledby": heading, class: isWide ? "wide" : null }, form);
  let result = null;
  return new Promise((resolve) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      trouble.textContent = "";
      button.disabled = true;
      try {
        result = await onsubmit(new FormData(form));
        dialog.close();
      } catch (error) {
        trouble.textContent = error.message;
      } finally {
        button.disabled = false;
      }
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    // A click on the backdrop, which is the dialog's own area outside the form.
    dialog.addEventListener("mousedown", (event) => {
      if (event.target === dialog) dialog.close();
    });
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector("[autofocus]")?.focus();
  });
}

/** A labelled field: `field("Name", input, "hint")`. */
export function field(label, input, hint) {
  input.id ||= newId("field");
  const hintId = hint ? newId("hint") : null;
  if (hintId) input.setAttribute("aria-describedby", hintId);
  return h("div", { class: "field" }, h("label", { for: input.id }, label), input,
    hint ? h("p", { class: "hint", id: hintId }, hint) : null);
}

/** Ask for an API key; null where the user has none. */
export function askKey(wasRefused) {
  const input = h("input", { type: "password", name: "key", autocomplete: "off", spellcheck: "false",
    autofocus: true, placeholder: "dgad_…" });
  return ask({
    title: "API key",
    content: [
      h("p", {}, wasRefused ? "The service does not accept the key that was entered. It may have been revoked."
        : "This service answers only with a key. Whoever runs it makes one with dgad-serve."),
      field("Key", input, "Kept in this tab alone, and forgotten when it is closed."),
    ],
    submit: "Use this key",
    onsubmit: (data) => {
      const key = data.get("key").trim();
      if (!key) throw new Error("Enter a key.");
      if (!/^[\x21-\x7e]+$/.test(key)) throw new Error("A key has letters, digits, _ and - alone; copy it again.");
      return key;
    },
  });
}
