// Keeps true what each row says of its translation, and touches nothing that somebody types into.
"use strict";

{
  const MINUTE = 60_000;
  const form = document.getElementById("translations");

  const shown = () =>
    [...form.elements]
      .filter((one) => /^(open|page-\d+|only-\d+)$/.test(one.name))
      .map((one) => [one.name, one.value]);

  const refresh = async () => {
    const query = new URLSearchParams(shown());
    if (document.hidden || !query.has("open")) return;
    const answer = await fetch(`${form.dataset.standing}?${query}`).catch(() => null);
    // Whoever is signed out is led to another page.
    if (!answer?.ok || answer.redirected) return;
    for (const [address, [slug, word, used]] of Object.entries(await answer.json())) {
      const cell = document.getElementById(`customer-${address}`)?.closest("tr").querySelector(".stands");
      if (!cell) continue;
      cell.className = `stands ${slug}`;
      cell.textContent = word;
      cell.nextElementSibling.textContent = used;
    }
  };

  // With every other state of the tunnel, such as the end of an apply, the rows may stand otherwise.
  let state = document.getElementById("state");
  const look = () => {
    if (state === document.getElementById("state")) return;
    state = document.getElementById("state");
    refresh();
  };
  document.addEventListener("htmx:afterSwap", look);
  document.addEventListener("htmx:oobAfterSwap", look);
  document.addEventListener("visibilitychange", refresh);
  setInterval(refresh, MINUTE);
}
