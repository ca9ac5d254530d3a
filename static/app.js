// Parts of every page that htmx attributes cannot express: failed requests, invalid controls, and
// details that stay open while the state box is replaced.
"use strict";

const live = () => document.getElementById("live");

function complain(text) {
  const complaint = live().querySelector(".complaint");
  if (complaint && complaint.textContent === text) return;
  const line = document.createElement("p");
  line.className = "complaint";
  line.textContent = text;
  live().replaceChildren(line);
}

document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  complain(
    status === 403 || status === 404
      ? "You may no longer do this, or your session has ended: nothing was changed. Reload the page."
      : `The portal reports an error (${status}): this page may be outdated. Reload the page.`,
  );
});

for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, () =>
    complain("The portal does not answer: this page may be outdated, and the last entry was not saved."),
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

// A poll replaces the state box while the user reads it. Open details stay open until the user closes
// them, also if a replacement in between does not have them, and the scroll position stays.
const stateBox = () => document.getElementById("state");
const openDetails = new Set();
let scrollTop = 0;

// The event `toggle` does not bubble: the listener captures it.
document.addEventListener(
  "toggle",
  ({ target }) => {
    if (!target.open) openDetails.delete(target.id);
  },
  true,
);

for (const name of ["htmx:beforeSwap", "htmx:oobBeforeSwap"]) {
  document.addEventListener(name, () => {
    for (const details of document.querySelectorAll("details[id][open]")) openDetails.add(details.id);
    scrollTop = stateBox()?.scrollTop ?? 0;
  });
}

for (const name of ["htmx:afterSwap", "htmx:oobAfterSwap"]) {
  document.addEventListener(name, () => {
    for (const id of openDetails) document.getElementById(id)?.setAttribute("open", "");
    if (stateBox()) stateBox().scrollTop = scrollTop;
  });
}

// The answer of Apply replaces the state box. A poll that ends after it would find no element to swap,
// and a poll during it would show for a moment that the tunnel is locked.
document.addEventListener("htmx:beforeRequest", (event) => {
  const isPoll = event.detail.elt === stateBox();
  if (isPoll && document.querySelector("#apply-now.htmx-request")) event.preventDefault();
});

document.addEventListener("htmx:oobBeforeSwap", ({ detail: { target } }) => {
  if (target.id === "state") htmx.trigger(target, "htmx:abort");
});

// Enter in the fields of the health check clicks Apply. The first button of their form saves the
// translations instead.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.target.matches("#trial input")) return;
  event.preventDefault();
  document.getElementById("apply-now").click();
});
