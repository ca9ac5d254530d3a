// Passkeys: a form with data-passkey asks the browser for one, and sends its answer. Without
// JavaScript, or in a browser without passkeys, the form stays hidden.
"use strict";

async function optionsOf(form) {
  if (form.dataset.options) return JSON.parse(form.dataset.options);
  const response = await fetch(form.dataset.optionsFrom, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error("The portal does not answer. Try again in a minute.");
  return (await response.json()).request_options.publicKey;
}

async function credentialOf(form) {
  const options = await optionsOf(form);
  if (form.dataset.passkey === "get") {
    return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
  }
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  // Only a resident key signs in alone, without a name.
  const alone = form.querySelector("[name=passwordless]")?.checked;
  const needed = alone ? "required" : "discouraged";
  publicKey.authenticatorSelection = {
    ...publicKey.authenticatorSelection,
    residentKey: needed,
    requireResidentKey: Boolean(alone),
    userVerification: alone ? "required" : "preferred",
  };
  return navigator.credentials.create({ publicKey });
}

function note(form, text) {
  form.querySelector("[role=status]").textContent = text;
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON) continue;
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    note(form, "");
    try {
      const credential = await credentialOf(form);
      form.querySelector("[name=credential]").value = JSON.stringify(credential);
      form.submit();
    } catch (error) {
      note(form, error.name === "NotAllowedError" ? "No passkey was used. Try again." : error.message);
    }
  });
}
