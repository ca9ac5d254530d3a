// Select all without loading the page anew, and select none again.
"use strict";

document.getElementById("select-all")?.addEventListener("click", (event) => {
  event.preventDefault();
  const boxes = [...document.querySelectorAll("input[name='tunnel']")];
  const select = boxes.some((box) => !box.checked);
  for (const box of boxes) box.checked = select;
});
