"""The Status section of a tunnel that carries something, as somebody sees it who leaves it open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import opened
from tests.browser.person import word_of
from tests.running_portal import RunningPortal, wait_for
from tests.system.conftest import translate

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 800}


@pytest.fixture(scope="module")
def carrying(fresh_portal: RunningPortal) -> RunningPortal:
    """The example, applied and answering."""
    fresh_portal.fill_in()
    fresh_portal.apply(translate())
    wait_for(fresh_portal.ping, 30)
    return fresh_portal


@pytest.fixture
def watching(chromium: Browser, carrying: RunningPortal) -> Iterator[Page]:
    """Its page, open, with the counters on it."""
    for page in opened(chromium.new_context(viewport=WIDE), carrying):
        page.get_by_role("link", name="ipsec001").click()
        expect(cell(page, 2)).to_have_text("Up", timeout=30_000)
        expect(cell(page, 4)).to_contain_text("packet", timeout=30_000)
        yield page


def status(page: Page) -> Locator:
    return page.get_by_role("group", name="Status")


def cell(page: Page, number: int) -> Locator:
    """One of the cells of the only pair of subnets."""
    return status(page).get_by_role("table").get_by_role("cell").nth(number)


def test_the_numbers_move_by_themselves_and_disturb_nothing_that_is_typed(watching, carrying):
    incoming, outgoing = cell(watching, 4).inner_text(), cell(watching, 5).inner_text()
    name = watching.get_by_label("Tunnel Name")
    name.fill("half a na")

    carrying.on("server", "ping", "-q", "-i", "0.02", "-c", "50", "-s", "1000", "10.1.255.92")

    expect(cell(watching, 4)).not_to_have_text(incoming, timeout=25_000, use_inner_text=True)
    expect(cell(watching, 5)).not_to_have_text(outgoing, use_inner_text=True)
    expect(cell(watching, 4)).to_contain_text("kB")
    expect(status(watching).get_by_role("figure")).to_contain_text("In the last hour")
    expect(name).to_have_value("half a na")
    expect(name).to_be_focused()


def test_without_javascript_the_same_is_on_the_page(chromium: Browser, carrying: RunningPortal):
    context = chromium.new_context(java_script_enabled=False)
    for page in opened(context, carrying):
        page.get_by_role("link", name="ipsec001").click()
        expect(cell(page, 2)).to_have_text("Up")
        expect(status(page).get_by_role("img").first).to_be_visible()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing_wide_and_narrow(watching: Page, colours):
    watching.emulate_media(color_scheme=colours)
    for size in (WIDE, NARROW):
        watching.set_viewport_size(size)
        violations = Axe().run(watching).response["violations"]
        assert [(one["id"], [n["target"] for n in one["nodes"]]) for one in violations] == []


def test_a_narrow_screen_has_the_drawing_in_a_column_and_nothing_beside_it(watching: Page):
    drawings = status(watching).locator("svg.drawing")
    expect(drawings.nth(0)).to_be_visible()
    expect(drawings.nth(1)).to_be_hidden()

    watching.set_viewport_size(NARROW)

    expect(drawings.nth(0)).to_be_hidden()
    expect(drawings.nth(1)).to_be_visible()
    assert watching.evaluate("document.documentElement.scrollWidth") == NARROW["width"]


def test_somebody_disconnects_the_tunnel_and_connects_it_again(watching, carrying):
    watching.get_by_text("Reconnect or disconnect").click()
    watching.get_by_role("button", name="Disconnect", exact=True).click()
    expect(word_of(watching)).to_have_text("State Disconnected", timeout=20_000)
    expect(watching.get_by_text("admin disconnected it")).to_be_visible()
    assert not carrying.ping()

    watching.get_by_role("button", name="Connect", exact=True).focus()
    watching.keyboard.press("Enter")

    expect(word_of(watching)).to_have_text("State Up", timeout=20_000)
    wait_for(carrying.ping, 10)
    watching.get_by_role("button", name="Rekey", exact=True).click()
    expect(watching.get_by_text("Completed: the tunnel has new keys.")).to_be_visible(timeout=20_000)
