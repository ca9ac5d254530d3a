"""The example tunnel through the pages, on a real concentrator."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.person import DEFAULT_VALUES, EXAMPLE, enter, note_of, state_box, state_heading
from tests.running_portal import wait_for

APPLIED = re.compile(r"Revision 1 applied .* by admin\.")
TRANSLATION = "10.1.255.92 → 192.168.10.15 (database)"


def test_the_customer_host_answers_after_the_apply_and_not_before(page, portal):
    assert not portal.ping("10.1.255.92")

    page.get_by_role("link", name="ipsec001").click()
    for phase, fields in EXAMPLE.items():
        fieldset = page.get_by_role("group", name=phase)
        for label, text in fields.items():
            control = enter(fieldset, label, text)
            if text not in DEFAULT_VALUES:
                expect(note_of(control)).to_have_text("Saved")
    key = enter(page.get_by_role("group", name="Phase One"), "Preshared Key", portal.device_key())
    expect(note_of(key)).to_have_text("Saved")
    page.get_by_label("IP address").fill("192.168.10.0")
    page.get_by_label("CIDR").fill("24")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("button", name="Remove 192.168.10.0/24")).to_be_visible()
    page.get_by_role("button", name="10.1.255.92/30").click()
    page.get_by_label("Customer IP for 10.1.255.92").fill("192.168.10.15")
    page.get_by_label("Name for 10.1.255.92").fill("database")
    page.get_by_role("button", name="Add/Modify Context Address Translations").click()
    expect(note_of(page.get_by_label("Name for 10.1.255.92"))).to_have_text("Saved")
    assert not portal.ping("10.1.255.92")

    page.get_by_role("button", name="Apply Configurations").click()

    expect(state_box(page)).to_contain_text(APPLIED, timeout=30_000)
    expect(state_heading(page)).to_have_text("State Up", timeout=30_000)
    expect(page.get_by_role("img", name="Applied tunnel: Up")).to_be_visible(timeout=2_000)
    expect(state_box(page).get_by_role("listitem").first).to_have_text(TRANSLATION)
    wait_for(lambda: portal.ping("10.1.255.92"), 5)


def test_the_example_works_without_javascript(page_without_javascript, fresh_portal):
    page, portal = page_without_javascript, fresh_portal
    assert not portal.ping("10.1.255.92")

    page.get_by_role("link", name="ipsec001").click()
    for phase, fields in EXAMPLE.items():
        fieldset = page.get_by_role("group", name=phase)
        for label, text in fields.items():
            enter(fieldset, label, text)
        if phase == "Phase One":
            enter(fieldset, "Preshared Key", portal.device_key())
        page.get_by_role("button", name=f"Save {phase}").click()
        expect(page.get_by_role("status")).to_contain_text("Saved: ")
    page.get_by_label("IP address").fill("192.168.10.0")
    page.get_by_label("CIDR").fill("24")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("button", name="Remove 192.168.10.0/24")).to_be_visible()
    page.get_by_role("button", name="10.1.255.92/30").click()
    page.get_by_label("Customer IP for 10.1.255.92").fill("192.168.10.15")
    page.get_by_label("Name for 10.1.255.92").fill("database")
    page.get_by_role("button", name="Add/Modify Context Address Translations").click()
    expect(page.get_by_role("status")).to_have_text("1 address translation saved.")
    assert not portal.ping("10.1.255.92")

    page.get_by_role("button", name="Apply Configurations").click()

    # The page reloads itself while the tunnel is locked; after that the user reloads it.
    expect(state_box(page)).to_contain_text(APPLIED, timeout=30_000)
    wait_for(lambda: page.reload() and "Up" in state_heading(page).inner_text(), 30)
    expect(state_box(page).get_by_role("listitem").first).to_have_text(TRANSLATION)
    wait_for(lambda: portal.ping("10.1.255.92"), 5)
