// Columns copied from a spreadsheet fill the translation table downwards from the pasted-into row.
"use strict";

{
  // The inputs that the last paste filled, each with its value before; and if the user typed since.
  let filled = [];
  let hasTyped = false;

  const rowsBelow = (input) =>
    [...input.closest("table").querySelectorAll("tr")]
      .map((row) => [...row.querySelectorAll("input")])
      .filter((inputs) => inputs.length)
      .slice(rowIndex(input));

  const rowIndex = (input) =>
    [...input.closest("table").querySelectorAll("tr:has(input)")].indexOf(input.closest("tr"));

  const problemOf = (cells, rows, column) => {
    const columns = Math.max(...cells.map((row) => row.length));
    if (columns > 2 - column)
      return `${columns} columns were copied. Copy Customer IP and Name, or the one you paste into: nothing was filled in.`;
    if (cells.length > rows.length)
      return `${cells.length} rows were copied, but only ${rows.length} rows follow here: nothing was filled in. The box for pasted rows below the table takes any number.`;
    return "";
  };

  const fill = (start, cells) => {
    const rows = rowsBelow(start);
    const column = rows[0].indexOf(start);
    const problem = problemOf(cells, rows, column);
    forgetPaste();
    if (problem) return show(start, problem, "refusal");
    cells.forEach((row, down) =>
      row.forEach((text, across) => {
        const input = rows[down][column + across];
        filled.push([input, input.value]);
        input.value = text.trim();
        input.classList.add("filled");
      }),
    );
    hasTyped = false;
    const count = `${cells.length} row${cells.length === 1 ? "" : "s"}`;
    show(start, `${count} filled in, nothing saved yet. `, "notice").append(undoButton(start));
  };

  // Shows a text above the table, where it stays, and announces it in the live region.
  const show = (start, text, kind) => {
    const bar = document.createElement("p");
    bar.className = `${kind} pasted`;
    bar.append(text);
    start.closest("table").before(bar);
    const line = document.createElement("p");
    line.className = "visually-hidden";
    line.textContent = text;
    live().replaceChildren(line);
    return bar;
  };

  const undoButton = (start) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = "Undo paste";
    button.addEventListener("click", () => undo(start));
    return button;
  };

  // Only the last paste can be undone; the values of an earlier one stay.
  const forgetPaste = () => {
    filled = [];
    document.querySelectorAll(".pasted").forEach((bar) => bar.remove());
  };

  const undo = (focus) => {
    for (const [input, text] of filled) {
      input.value = text;
      input.classList.remove("filled");
    }
    forgetPaste();
    focus.focus();
  };

  document.addEventListener("paste", (event) => {
    if (!event.target.matches?.(".lines input:enabled")) return;
    const text = event.clipboardData.getData("text/plain").replace(/(\r\n|\r|\n)$/, "");
    const cells = text.split(/\r\n|\r|\n/).map((row) => row.split("\t"));
    // The browser pastes a single cell at the cursor.
    if (cells.length === 1 && cells[0].length === 1) return;
    event.preventDefault();
    fill(event.target, cells);
  });

  document.addEventListener("input", (event) => {
    if (event.target.matches(".lines input")) hasTyped = true;
  });

  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.key !== "z") return;
    // The browser's own undo takes back text that was typed after the paste.
    if (!filled.length || hasTyped || !filled[0][0].isConnected) return;
    event.preventDefault();
    undo(filled[0][0]);
  });
}
