// Select or deselect all tunnels on the page without a request.
"use strict";

document.getElementById("select-all")?.addEventListener("click", (event) => {
  event.preventDefault();
  const boxes = [...document.querySelectorAll("input[name='tunnel']")];
  const select = boxes.some((box) => !box.checked);
  for (const box of boxes) box.checked = select;
});
