// What htmx cannot say by itself: that the portal did not answer, and that a control is wrong.
"use strict";

const live = () => document.getElementById("live");

function complain(text) {
  const shown = live().querySelector(".complaint");
  if (shown && shown.textContent === text) return;
  const line = document.createElement("p");
  line.className = "complaint";
  line.textContent = text;
  live().replaceChildren(line);
}

document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  complain(
    status === 403 || status === 404
      ? "You may no longer do this, or your session is over: nothing was changed. Load the page again."
      : `The portal failed (${status}): what you see may be old. Load the page again.`,
  );
});

for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, () =>
    complain("The portal does not answer: what you see may be old, and the last entry was not saved."),
  );
}

document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful) live().querySelector(".complaint")?.remove();
});

document.addEventListener("htmx:afterSwap", (event) => {
  const control = event.detail.requestConfig?.elt;
  if (control?.matches(".field :is(input, select, textarea)")) {
    control.setAttribute("aria-invalid", String(event.detail.xhr.status >= 400));
  }
});

// The state is replaced while somebody reads it: what they opened in it is open whenever it is there,
// until they close it, and in its place.
const panel = () => document.getElementById("state");
const opened = new Set();
let scrolled = 0;

// It does not bubble.
document.addEventListener(
  "toggle",
  ({ target }) => {
    if (!target.open) opened.delete(target.id);
  },
  true,
);

for (const name of ["htmx:beforeSwap", "htmx:oobBeforeSwap"]) {
  document.addEventListener(name, () => {
    for (const one of document.querySelectorAll("details[id][open]")) opened.add(one.id);
    scrolled = panel()?.scrollTop ?? 0;
  });
}

for (const name of ["htmx:afterSwap", "htmx:oobAfterSwap"]) {
  document.addEventListener(name, () => {
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    if (panel()) panel().scrollTop = scrolled;
  });
}

// Enter in these fields means the button below them, not the first one of their form.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.target.matches("#trial input")) return;
  event.preventDefault();
  document.getElementById("apply-now").click();
});
