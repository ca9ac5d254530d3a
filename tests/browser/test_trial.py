"""An apply with a health check that fails, and its automatic rollback."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.person import enter, note_of, state_box, state_heading
from tests.running_portal import RunningPortal, wait_for

TRANSLATE = """
row = services.TranslationRow(IPv4Address("10.1.255.92"), IPv4Address("192.168.10.15"), "database")
services.set_translations(tunnel, [row], user)
"""
ABSENT_PEER = "203.0.113.9"


@pytest.fixture
def applied_example(portal: RunningPortal) -> None:
    """Apply the example, unless a test of this module has done it."""
    if not portal.ping():
        portal.fill_in()
        portal.apply(TRANSLATE)
        wait_for(portal.ping, 30)


def test_a_wrong_peer_address_is_rolled_back_and_the_customer_host_answers_again(
    page: Page, portal: RunningPortal, applied_example: None
):
    page.get_by_role("link", name="ipsec001").click()
    peer = enter(page.get_by_role("group", name="Phase One"), "Remote Peer Address", ABSENT_PEER)
    expect(note_of(peer)).to_have_text("Saved")
    page.locator("summary", has_text="Roll back automatically if not healthy").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Roll back automatically if not healthy").check()
    seconds = page.get_by_label("Health check timeout (seconds)")
    seconds.fill("2")
    seconds.press("Enter")
    expect(note_of(seconds)).to_have_text("Enter a time from 5 to 3600 seconds.")
    seconds.fill("8")
    seconds.press("Enter")

    expect(state_box(page)).to_contain_text("Health check until", timeout=30_000)
    expect(state_box(page)).to_contain_text("revision 1 is restored automatically.")
    assert not portal.ping()
    page.locator("summary", has_text="Apply log").click()
    expect(state_box(page)).to_contain_text("Rolled back after", timeout=40_000)

    expect(state_box(page)).to_contain_text("(automatic rollback). Restores revision 1.")
    expect(page.locator("#done")).to_have_attribute("open", "")
    expect(state_heading(page)).to_have_text("State Up", timeout=30_000)
    wait_for(portal.ping, 10)
    expect(peer).to_have_value(ABSENT_PEER)
    expect(page.locator("#pending")).to_contain_text("pending change")
