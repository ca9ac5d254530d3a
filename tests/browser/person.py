"""The steps of a network admin on the pages, by labels and buttons."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.running_portal import RunningPortal

EXAMPLE = {
    "Phase One": {
        "Remote Peer Address": "203.0.113.2",
        "Encryption": "AES256",
        "Authentication": "SHA256",
        "Diffie-Hellman Group (DH)": "5",
        "Key Life (in seconds)": "14400",
    },
    "Phase Two": {
        "Encryption": "AES256",
        "Authentication": "SHA256",
        "Diffie-Hellman Group (DH)": "5",
        "Key Life (in seconds)": "3600",
    },
}
# Entering a default value saves nothing.
DEFAULT_VALUES = ("14400", "3600")


def sign_in(page: Page, portal: RunningPortal) -> None:
    page.goto(portal.printed("URL"))
    page.get_by_label("User name").fill(portal.printed("User name"))
    page.get_by_label("Password").fill(portal.printed("Password"))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="IPSec VPN tunnels")).to_be_visible()


def enter(fieldset: Locator, label: str, text: str) -> Locator:
    """Fill one control and leave it."""
    control = fieldset.get_by_label(label)
    if control.evaluate("control => control.tagName") == "SELECT":
        control.select_option(text)
    else:
        control.fill(text)
        control.blur()
    return control


def note_of(control: Locator) -> Locator:
    """Return the note beside a control."""
    return control.page.locator(f'[id="{control.get_attribute("aria-describedby")}"]')


def state_box(page: Page) -> Locator:
    return page.get_by_role("region", name=re.compile("^State"))


def state_heading(page: Page) -> Locator:
    """Return the heading of the state box, which ends with the state label."""
    return page.get_by_role("heading", name=re.compile("^State"))
