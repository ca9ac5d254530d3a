// Keeps the status of each translation row current, without touching the inputs.
"use strict";

{
  const MINUTE = 60_000;
  const form = document.getElementById("translations");

  const openSubnets = () =>
    [...form.elements]
      .filter((input) => /^(open|page-\d+|only-\d+)$/.test(input.name))
      .map((input) => [input.name, input.value]);

  const refresh = async () => {
    const query = new URLSearchParams(openSubnets());
    if (document.hidden || !query.has("open")) return;
    const response = await fetch(`${form.dataset.statusUrl}?${query}`).catch(() => null);
    // After the end of a session the response is a redirect to the sign-in page.
    if (!response?.ok || response.redirected) return;
    for (const [address, [slug, label, lastUse]] of Object.entries(await response.json())) {
      const row = document.getElementById(`customer-${address}`)?.closest("tr");
      const status = row?.querySelector(".row-status");
      if (!status) continue;
      status.className = `row-status ${slug}`;
      status.textContent = label;
      status.nextElementSibling.textContent = lastUse;
    }
  };

  // A new state of the tunnel, such as the end of an apply, may change the status of the rows.
  let stateBox = document.getElementById("state");
  const refreshAfterStateChange = () => {
    if (stateBox === document.getElementById("state")) return;
    stateBox = document.getElementById("state");
    refresh();
  };
  document.addEventListener("htmx:afterSwap", refreshAfterStateChange);
  document.addEventListener("htmx:oobAfterSwap", refreshAfterStateChange);
  document.addEventListener("visibilitychange", refresh);
  setInterval(refresh, MINUTE);
}
