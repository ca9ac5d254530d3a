"""The Status section of a tunnel with traffic, on a page that stays open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import signed_in_page
from tests.browser.person import state_heading
from tests.running_portal import RunningPortal, wait_for
from tests.system.conftest import translate

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 800}


@pytest.fixture(scope="module")
def portal_with_traffic(fresh_portal: RunningPortal) -> RunningPortal:
    """Apply the example and wait until its customer host answers."""
    fresh_portal.fill_in()
    fresh_portal.apply(translate())
    wait_for(fresh_portal.ping, 30)
    return fresh_portal


@pytest.fixture
def status_page(chromium: Browser, portal_with_traffic: RunningPortal) -> Iterator[Page]:
    """Open the page of the example and wait for its traffic counters."""
    for page in signed_in_page(chromium.new_context(viewport=WIDE), portal_with_traffic):
        page.get_by_role("link", name="ipsec001").click()
        expect(cell(page, 2)).to_have_text("Up", timeout=30_000)
        expect(cell(page, 4)).to_contain_text("packet", timeout=30_000)
        yield page


def status(page: Page) -> Locator:
    return page.get_by_role("group", name="Status")


def cell(page: Page, number: int) -> Locator:
    """Return a cell of the only subnet pair."""
    return status(page).get_by_role("table").get_by_role("cell").nth(number)


def test_the_counters_update_and_unsaved_input_stays(status_page, portal_with_traffic):
    incoming, outgoing = cell(status_page, 4).inner_text(), cell(status_page, 5).inner_text()
    name = status_page.get_by_label("Tunnel Name")
    name.fill("half a na")

    portal_with_traffic.on(
        "server", "ping", "-q", "-i", "0.02", "-c", "50", "-s", "1000", "10.1.255.92"
    )

    expect(cell(status_page, 4)).not_to_have_text(incoming, timeout=25_000, use_inner_text=True)
    expect(cell(status_page, 5)).not_to_have_text(outgoing, use_inner_text=True)
    expect(cell(status_page, 4)).to_contain_text("kB")
    expect(status(status_page).get_by_role("figure")).to_contain_text("In the last hour")
    expect(name).to_have_value("half a na")
    expect(name).to_be_focused()


def test_the_page_shows_status_and_diagram_without_javascript(
    chromium: Browser, portal_with_traffic: RunningPortal
):
    context = chromium.new_context(java_script_enabled=False)
    for page in signed_in_page(context, portal_with_traffic):
        page.get_by_role("link", name="ipsec001").click()
        expect(cell(page, 2)).to_have_text("Up")
        expect(status(page).get_by_role("img").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_wide_and_narrow_screens(status_page: Page, scheme):
    status_page.emulate_media(color_scheme=scheme)
    for size in (WIDE, NARROW):
        status_page.set_viewport_size(size)
        violations = Axe().run(status_page).response["violations"]
        nodes = [(rule["id"], [n["target"] for n in rule["nodes"]]) for rule in violations]
        assert nodes == []


def test_a_narrow_screen_has_the_vertical_diagram(status_page: Page):
    diagrams = status(status_page).locator("svg.drawing")
    expect(diagrams.nth(0)).to_be_visible()
    expect(diagrams.nth(1)).to_be_hidden()

    status_page.set_viewport_size(NARROW)

    expect(diagrams.nth(0)).to_be_hidden()
    expect(diagrams.nth(1)).to_be_visible()
    assert status_page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]


def test_a_user_disconnects_connects_and_rekeys_the_tunnel(status_page, portal_with_traffic):
    status_page.get_by_text("Reconnect or disconnect").click()
    status_page.get_by_role("button", name="Disconnect", exact=True).click()
    expect(state_heading(status_page)).to_have_text("State Disconnected", timeout=20_000)
    expect(status_page.get_by_text("Disconnected by admin")).to_be_visible()
    assert not portal_with_traffic.ping()

    status_page.get_by_role("button", name="Connect", exact=True).focus()
    status_page.keyboard.press("Enter")

    expect(state_heading(status_page)).to_have_text("State Up", timeout=20_000)
    wait_for(portal_with_traffic.ping, 10)
    status_page.get_by_role("button", name="Rekey", exact=True).click()
    expect(status_page.get_by_text("Rekey: completed")).to_be_visible(timeout=20_000)
