"""The peer probe in the browser: it fills in the form, and the tunnel comes up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import signed_in_page
from tests.browser.person import enter, note_of, state_heading


@pytest.fixture
def fresh_page(chromium, fresh_portal) -> Iterator[Page]:
    yield from signed_in_page(chromium.new_context(), fresh_portal)


def test_the_probe_fills_in_the_algorithms_that_the_peer_accepts(fresh_page, fresh_portal):
    page = fresh_page
    page.get_by_role("link", name="ipsec001").click()
    phase_one, phase_two = (
        page.get_by_role("group", name=f"Phase {number}") for number in ("One", "Two")
    )
    page.get_by_role("button", name="Detect peer algorithms").click()
    expect(page.locator("#ask")).to_contain_text("Enter the Remote Peer Address first")
    expect(note_of(enter(phase_one, "Remote Peer Address", "203.0.113.2"))).to_have_text("Saved")
    key = enter(phase_one, "Preshared Key", fresh_portal.device_key())
    expect(note_of(key)).to_have_text("Saved")
    page.get_by_label("IP address").fill("192.168.10.0")
    page.get_by_label("CIDR").fill("24")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("button", name="Remove 192.168.10.0/24")).to_be_visible()
    page.get_by_label("IP address").fill("192.168.20.0")

    page.get_by_role("button", name="Detect peer algorithms").click()
    expect(
        page.get_by_role(
            "row", name="Phase One Encryption 3DES — weak: 64-bit blocks AES256 — good"
        )
    ).to_be_visible(timeout=30_000)
    expect(phase_one.get_by_label("Encryption")).to_have_value("3DES")
    page.locator("#ask-steps summary").click()
    page.get_by_role("button", name="Use these values").click()
    expect(page.get_by_text("IKEv2, good algorithms: refused")).to_be_visible()

    for fieldset in (phase_one, phase_two):
        expect(fieldset.get_by_label("Encryption")).to_have_value("AES256")
        expect(fieldset.get_by_label("Authentication")).to_have_value("SHA256")
        expect(fieldset.get_by_label("Diffie-Hellman Group (DH)")).to_have_value("5")
        expect(note_of(fieldset.get_by_label("Encryption"))).to_have_text("Saved")
    expect(page.get_by_label("IP address")).to_have_value("192.168.20.0")
    expect(note_of(enter(phase_two, "Encryption", "AES128"))).to_have_text("Saved")
    page.get_by_role("button", name="Use these values").click()
    expect(phase_two.get_by_label("Encryption")).to_have_value("AES256")

    page.get_by_role("button", name="Apply Configurations").click()

    expect(state_heading(page)).to_have_text("State Up", timeout=30_000)
