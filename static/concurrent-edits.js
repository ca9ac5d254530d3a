// Several people at one tunnel: what others changed is shown where no hand is on it, and while a
// configuration is applied nothing can be entered, without taking away the focus or what was typed.
"use strict";

const settings = document.querySelector(".settings");
const EDITS = "input:not([type=hidden]), select, textarea, button:not(.arrow)";

function shown(control) {
  return control.type === "checkbox" ? (control.checked ? "True" : "False") : control.value;
}

const seen = (part) => part.querySelector("input[type=hidden]")?.value;

document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { target: field, fragment } = event.detail;
  if (!fragment.querySelector("[data-theirs]")) return;
  const control = field.querySelector(EDITS);
  const kept = control.type === "password" ? "" : seen(field);
  const touched = field.contains(document.activeElement) || shown(control) !== kept;
  if (touched || seen(field) === seen(fragment)) event.detail.shouldSwap = false;
});

// What others did is read out once: a line that is there stays, and only what is new is put in.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { target, fragment } = event.detail;
  if (target.id !== "others") return;
  const [shown, told] = [target, fragment].map((part) => part.querySelector("ul"));
  event.detail.shouldSwap = !shown && told !== null;
  if (!shown || !told) return;
  const lines = [...told.children];
  for (const line of [...shown.children]) {
    if (!lines.some((one) => one.textContent === line.textContent)) line.remove();
  }
  lines.forEach((line, at) => {
    const there = shown.children[at];
    if (there?.textContent !== line.textContent) shown.insertBefore(line, there ?? null);
  });
});

// A text that cannot be edited keeps the focus; a control that is disabled would lose it.
function lock(control) {
  if (control.disabled || control.readOnly) return;
  const text = control.matches("textarea, input:not([type=checkbox])");
  if (!text && control === document.activeElement) return;
  control[text ? "readOnly" : "disabled"] = true;
  control.dataset.locked = "";
}

function unlock(control) {
  if (!("locked" in control.dataset)) return;
  control.readOnly = control.disabled = false;
  delete control.dataset.locked;
}

function follow() {
  settings.disabled = false;
  const locked = document.querySelector("#locked p") !== null;
  for (const control of settings.querySelectorAll(EDITS)) (locked ? lock : unlock)(control);
}

follow();
for (const name of ["htmx:afterSwap", "htmx:oobAfterSwap", "focusout"]) {
  document.addEventListener(name, follow);
}
