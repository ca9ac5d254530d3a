"""People come and go: an owner invites, somebody joins, gets another role, and chooses a zone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.running_portal import RunningPortal

PASSWORD = "a long password for somebody new"


@pytest.fixture
def newcomer(chromium: Browser) -> Iterator[Page]:
    """Somebody else's browser, in which nobody has signed in."""
    context = chromium.new_context()
    yield context.new_page()
    context.close()


def link(page: Page, portal: RunningPortal, name: str, role: str) -> str:
    page.goto(f"{portal.printed('URL')}accounts/")
    page.get_by_label("For whom").fill(name)
    page.get_by_role("combobox", name="Role", exact=True).select_option(role)
    page.get_by_role("button", name="Make a link").click()
    return page.locator(".quoted").inner_text().strip()


def join(newcomer: Page, url: str, name: str) -> None:
    newcomer.goto(url)
    newcomer.get_by_label("User name").fill(name)
    newcomer.get_by_label("Password", exact=True).fill(PASSWORD)
    newcomer.get_by_label("Password again").fill(PASSWORD)
    newcomer.get_by_role("button", name="Make this user and join").click()


def test_an_invited_person_works_with_the_tunnels_until_their_role_is_changed(
    page: Page, newcomer: Page, portal: RunningPortal
):
    join(newcomer, link(page, portal, "Bob in Dallas", "operator"), "robert")
    expect(newcomer.get_by_role("heading", name="IPSec VPN tunnels")).to_be_visible()
    newcomer.get_by_role("link", name="ipsec001", exact=True).click()
    expect(newcomer.get_by_role("button", name="Apply Configurations")).to_be_visible()

    page.goto(f"{portal.printed('URL')}accounts/")
    page.get_by_label("Role of robert").select_option("Viewer")
    page.get_by_role("button", name="Change role of robert").click()
    expect(page.get_by_text("robert is viewer now")).to_be_visible()
    newcomer.reload()

    expect(newcomer.get_by_role("button", name="Apply Configurations")).to_have_count(0)
    page.get_by_role("button", name="Remove robert").click()
    newcomer.reload()
    expect(newcomer.get_by_role("heading", level=1)).not_to_have_text("IPSec VPN Settings Summary")


def test_the_invitation_is_read_in_the_dark_and_on_a_narrow_screen(
    page: Page, newcomer: Page, portal: RunningPortal
):
    newcomer.set_viewport_size({"width": 390, "height": 800})
    url = link(page, portal, "Eve", "viewer")
    for scheme in ("light", "dark"):
        newcomer.emulate_media(color_scheme=scheme)
        newcomer.goto(url)
        assert Axe().run(newcomer).response["violations"] == []
        assert newcomer.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_role("button", name="Withdraw").first.click()


def test_a_person_chooses_a_zone_and_reads_times_in_it(page: Page, portal: RunningPortal):
    page.get_by_role("link", name="admin", exact=True).click()
    page.get_by_label("Time zone").select_option("Asia/Tokyo")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("JST there")).to_be_visible()
    page.get_by_label("Time zone").select_option("UTC")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("UTC there")).to_be_visible()
