// Changing a domain's settings, and deleting it.

import { domainPath, json, sendJson } from "./api.js";
import { ask, field } from "./dialogs.js";
import { h } from "./dom.js";
import { count } from "./format.js";
import { complain, tell } from "./notices.js";
import { forget } from "./session.js";
import { settingsFields } from "./settings_form.js";

export function settingsTab(context) {
  const fields = settingsFields(context.domain.settings, { withMore: true });
  const trouble = h("p", { class: "form-error", role: "alert" });
  const button = h("button", { type: "submit", class: "primary" }, "Save settings");
  const form = h("form", { class: "panel", novalidate: true, onsubmit: save }, h("h2", {}, "Settings"), fields.element, trouble,
    h("div", { class: "actions" }, button));

  async function save(event) {
    event.preventDefault();
    trouble.textContent = "";
    button.disabled = true;
    button.textContent = "Saving and calibrating…";
    try {
      await sendJson("PUT", domainPath(context.name), fields.read());
      await context.refresh();
      tell("The settings are saved.");
    } catch (error) {
      trouble.textContent = error.message;
    } finally {
      button.disabled = false;
      button.textContent = "Save settings";
      button.focus();
    }
  }

  async function remove() {
    const name = h("input", { type: "text", autocomplete: "off", autocapitalize: "none", spellcheck: "false", autofocus: true });
    const isDeleted = await ask({
      title: `Delete ${context.name}`,
      isDangerous: true,
      submit: "Delete the domain",
      content: [h("p", {}, `This deletes ${count(context.domain.num_references, "reference")} and every version for good.`
        + " Only the log of who did what stays."), field(`Type “${context.name}” to confirm`, name)],
      onsubmit: async () => {
        if (name.value.trim() !== context.name) throw new Error(`Type “${context.name}” exactly.`);
        await json("DELETE", domainPath(context.name));
        return true;
      },
    });
    if (!isDeleted) return;
    forget(context.name);
    window.location.hash = "#/";
    tell(`${context.name} is deleted.`);
  }

  return h("div", { class: "settings" }, form,
    h("section", { class: "panel" }, h("h2", {}, "Delete"), h("p", { class: "hint" },
      "Removes the domain with all its photographs and versions. This cannot be undone."),
    h("div", { class: "actions" }, h("button", { type: "button", class: "danger-quiet",
      onclick: () => remove().catch(complain) }, "Delete this domain…"))));
}
