"""Preshared key, options and subnets on the page of a tunnel."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import signed_in_page
from tests.browser.person import enter, note_of
from tests.running_portal import RunningPortal

KEY = re.compile(r"[A-HJ-NP-Za-kmnp-z2-9]{24}")
# A second hosted subnet of the account, and a service subnet for all accounts.
MORE_SUBNETS = """
for kind, network, owner in (
    ("hosted", "10.4.0.0/24", tunnel.account), ("service", "10.100.0.0/24", None)
):
    Subnet.objects.get_or_create(kind=kind, network=IPv4Network(network), account=owner)
"""
REMOVE_CHACHA20 = """
concentrator = Concentrator.objects.get(pk=tunnel.concentrator_id)
say(concentrator.algorithms)
algorithms = {
    kind: [name for name in names if "CHACHA" not in name]
    for kind, names in concentrator.algorithms.items()
}
Concentrator.objects.filter(pk=concentrator.pk).update(algorithms=algorithms)
"""


@pytest.fixture
def draft_with_subnets(draft: Page, portal: RunningPortal) -> Page:
    portal.do(MORE_SUBNETS)
    draft.reload()
    return draft


@pytest.fixture
def without_javascript(chromium: Browser, portal: RunningPortal, draft_url: str) -> Iterator[Page]:
    for page in signed_in_page(chromium.new_context(java_script_enabled=False), portal):
        page.goto(draft_url)
        yield page


def generate(page: Page) -> str:
    page.get_by_role("button", name="Generate key").click()
    key = page.locator("code.key")
    expect(key).to_have_text(KEY)
    return key.inner_text()


def test_an_owner_generates_hides_and_shows_a_key(draft: Page):
    key = generate(draft)
    assert Axe().run(draft).response["violations"] == []
    expect(note_of(draft.get_by_label("Preshared Key"))).to_have_text("Saved")
    draft.get_by_role("button", name="Hide the key").click()
    expect(draft.locator("code.key")).to_have_count(0)
    assert key not in draft.content()

    draft.get_by_role("button", name="Show the key").click()

    expect(draft.locator("code.key")).to_have_text(key)
    draft.reload()
    expect(draft.locator("#key")).to_contain_text("Viewed by admin, ")
    assert key not in draft.content()


def test_a_key_is_generated_hidden_and_shown_without_javascript(
    without_javascript: Page, draft_url: str
):
    page = without_javascript
    key = generate(page)
    page.get_by_role("button", name="Hide the key").click()
    expect(page.locator("code.key")).to_have_count(0)

    page.get_by_role("button", name="Show the key").click()

    expect(page.locator("code.key")).to_have_text(key)
    page.goto(draft_url)
    assert key not in page.content()


def test_hosted_and_service_subnets_are_added_and_removed(draft_with_subnets: Page):
    for legend, kind, network in (
        ("Protected private (hosted) subnets", "hosted", "10.4.0.0/24"),
        ("Service subnets", "service", "10.100.0.0/24"),
    ):
        section = draft_with_subnets.get_by_role("group", name=legend)
        section.get_by_label(f"{kind.capitalize()} subnet", exact=True).select_option(network)
        section.get_by_role("button", name=f"Add {kind} subnet").click()
        expect(section.get_by_role("row", name=network)).to_be_visible()
        assert Axe().run(draft_with_subnets).response["violations"] == []

        section.get_by_role("button", name=f"Remove {network}").click()
        expect(section.get_by_role("row", name=network)).to_have_count(0)


def test_a_button_corrects_a_subnet_with_host_bits(draft: Page):
    draft.get_by_label("IP address").fill("192.168.40.5/24")
    draft.get_by_label("IP address").press("Enter")
    expect(draft.get_by_text("Did you mean 192.168.40.0/24?").first).to_be_visible()
    assert Axe().run(draft).response["violations"] == []

    draft.get_by_role("button", name="Use 192.168.40.0/24").click()

    draft.get_by_role("button", name="Remove 192.168.40.0/24").click()
    expect(draft.get_by_role("row", name="192.168.40")).to_have_count(0)


def test_an_algorithm_that_charon_lacks_is_disabled_with_the_reason(
    draft: Page, portal: RunningPortal
):
    algorithms = portal.do(REMOVE_CHACHA20)
    try:
        draft.reload()
        encryption = draft.get_by_role("group", name="Phase One").get_by_label("Encryption")
        missing = encryption.get_by_role("option", name=re.compile("^ChaCha20"))
        expect(missing).to_be_disabled()
        expect(missing).to_have_text(re.compile("this concentrator's charon cannot do it$"))
    finally:
        portal.do(f"Concentrator.objects.update(algorithms={algorithms!r})")


def test_more_options_are_saved_when_a_field_loses_the_focus(draft: Page):
    draft.locator("summary", has_text="More options").click()
    more = draft.get_by_role("group", name="More options")
    for label, text in (
        ("IKE version", "0"),
        ("Initiation", "other"),
        ("Dead Peer Detection (DPD), in seconds", "30"),
    ):
        expect(note_of(enter(more, label, text))).to_have_text("Saved")
    checkbox = more.get_by_label("One CHILD_SA per subnet pair")
    checkbox.check()
    expect(note_of(checkbox)).to_have_text("Saved")
    assert Axe().run(draft).response["violations"] == []

    dpd = enter(more, "Dead Peer Detection (DPD), in seconds", "4")
    expect(note_of(dpd)).to_have_text("Enter 0, or a time from 5 to 3600 seconds.")
    draft.reload()
    draft.locator("summary", has_text="More options").click()
    expect(dpd).to_have_value("30")
    draft.set_viewport_size({"width": 390, "height": 800})
    assert draft.evaluate("document.documentElement.scrollWidth") == 390
