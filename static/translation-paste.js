// Columns copied from a spreadsheet fill the table downwards from the row they are pasted into.
"use strict";

{
  // Each input that was filled, with what it held before; and whether somebody typed since.
  let filled = [];
  let typed = false;

  const rowsBelow = (input) =>
    [...input.closest("table").querySelectorAll("tr")]
      .map((row) => [...row.querySelectorAll("input")])
      .filter((inputs) => inputs.length)
      .slice(placeOf(input));

  const placeOf = (input) =>
    [...input.closest("table").querySelectorAll("tr:has(input)")].indexOf(input.closest("tr"));

  const objection = (cells, rows, column) => {
    const widest = Math.max(...cells.map((row) => row.length));
    if (widest > 2 - column)
      return `${widest} columns were copied. Copy Customer IP and Name, or the one you paste into: nothing was filled in.`;
    if (cells.length > rows.length)
      return `${cells.length} rows were copied, and ${rows.length} are left from here on: nothing was filled in. The box for pasted rows below the table takes any number.`;
    return "";
  };

  const fill = (start, cells) => {
    const rows = rowsBelow(start);
    const column = rows[0].indexOf(start);
    const wrong = objection(cells, rows, column);
    forget();
    if (wrong) return tell(start, wrong, "refusal");
    cells.forEach((row, down) =>
      row.forEach((text, across) => {
        const input = rows[down][column + across];
        filled.push([input, input.value]);
        input.value = text.trim();
        input.classList.add("filled");
      }),
    );
    typed = false;
    const count = `${cells.length} row${cells.length === 1 ? "" : "s"}`;
    tell(start, `${count} filled in, nothing saved yet. `, "lock").append(undoButton(start));
  };

  // Above the table for eyes, where it stays; in the live region for ears.
  const tell = (start, text, kind) => {
    const bar = document.createElement("p");
    bar.className = `${kind} pasted`;
    bar.append(text);
    start.closest("table").before(bar);
    const line = document.createElement("p");
    line.className = "for-ears";
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

  // An earlier paste stays where it is; only the last one can be undone.
  const forget = () => {
    filled = [];
    document.querySelectorAll(".pasted").forEach((bar) => bar.remove());
  };

  const undo = (focus) => {
    for (const [input, text] of filled) {
      input.value = text;
      input.classList.remove("filled");
    }
    forget();
    focus.focus();
  };

  document.addEventListener("paste", (event) => {
    if (!event.target.matches?.(".lines input:enabled")) return;
    const text = event.clipboardData.getData("text/plain").replace(/(\r\n|\r|\n)$/, "");
    const cells = text.split(/\r\n|\r|\n/).map((row) => row.split("\t"));
    // One cell is pasted where the cursor is, as anywhere.
    if (cells.length === 1 && cells[0].length === 1) return;
    event.preventDefault();
    fill(event.target, cells);
  });

  document.addEventListener("input", (event) => {
    if (event.target.matches(".lines input")) typed = true;
  });

  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.shiftKey || event.key !== "z") return;
    // What was typed since is undone first, as the browser does it.
    if (!filled.length || typed || !filled[0][0].isConnected) return;
    event.preventDefault();
    undo(filled[0][0]);
  });
}
