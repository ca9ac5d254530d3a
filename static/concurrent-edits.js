// Several users on the page of one tunnel: edits by others appear in fields that are not in use, and
// an apply locks all controls without taking away the focus or the typed text.
"use strict";

const settings = document.querySelector(".settings");
const CONTROLS = "input:not([type=hidden]), select, textarea, button:not(.arrow)";

function valueOf(control) {
  return control.type === "checkbox" ? (control.checked ? "True" : "False") : control.value;
}

const lastSeenValue = (part) => part.querySelector("input[type=hidden]")?.value;

document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { target: field, fragment } = event.detail;
  if (!fragment.querySelector("[data-concurrent-edit]")) return;
  const control = field.querySelector(CONTROLS);
  // The hidden input of a preshared key has its version, not its value.
  const saved = control.type === "password" ? "" : lastSeenValue(field);
  const isInUse = field.contains(document.activeElement) || valueOf(control) !== saved;
  if (isInUse || lastSeenValue(field) === lastSeenValue(fragment)) event.detail.shouldSwap = false;
});

// Screen readers read every new line of the list once: present lines stay, only new ones are added.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { target, fragment } = event.detail;
  if (target.id !== "others") return;
  const [present, received] = [target, fragment].map((part) => part.querySelector("ul"));
  event.detail.shouldSwap = !present && received !== null;
  if (!present || !received) return;
  const lines = [...received.children];
  for (const line of [...present.children]) {
    if (!lines.some((other) => other.textContent === line.textContent)) line.remove();
  }
  lines.forEach((line, index) => {
    const next = present.children[index];
    if (next?.textContent !== line.textContent) present.insertBefore(line, next ?? null);
  });
});

// A read-only text control keeps the focus; a disabled control would lose it.
function lock(control) {
  if (control.disabled || control.readOnly) return;
  const isText = control.matches("textarea, input:not([type=checkbox])");
  if (!isText && control === document.activeElement) return;
  control[isText ? "readOnly" : "disabled"] = true;
  control.dataset.locked = "";
}

function unlock(control) {
  if (!("locked" in control.dataset)) return;
  control.readOnly = control.disabled = false;
  delete control.dataset.locked;
}

function updateLocks() {
  settings.disabled = false;
  const isLocked = document.querySelector("#locked p") !== null;
  for (const control of settings.querySelectorAll(CONTROLS)) (isLocked ? lock : unlock)(control);
}

updateLocks();
for (const name of ["htmx:afterSwap", "htmx:oobAfterSwap", "focusout"]) {
  document.addEventListener(name, updateLocks);
}
