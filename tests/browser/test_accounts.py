"""Invitations, roles and the time zone in the browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.running_portal import RunningPortal

PASSWORD = "a long password for a new user"


@pytest.fixture
def newcomer(chromium: Browser) -> Iterator[Page]:
    """Open a second browser, without a session."""
    context = chromium.new_context()
    yield context.new_page()
    context.close()


def create_invitation(page: Page, portal: RunningPortal, name: str, role: str) -> str:
    """Create an invitation and return its link."""
    page.goto(f"{portal.printed('URL')}accounts/")
    page.get_by_label("Name or note").fill(name)
    page.get_by_role("combobox", name="Role", exact=True).select_option(role)
    page.get_by_role("button", name="Create invitation link").click()
    return page.locator(".quoted").inner_text().strip()


def join(newcomer: Page, link: str, name: str) -> None:
    newcomer.goto(link)
    newcomer.get_by_label("User name").fill(name)
    newcomer.get_by_label("Password", exact=True).fill(PASSWORD)
    newcomer.get_by_label("Confirm password").fill(PASSWORD)
    newcomer.get_by_role("button", name="Create account").click()


def test_an_invited_user_edits_tunnels_until_an_owner_changes_the_role(
    page: Page, newcomer: Page, portal: RunningPortal
):
    join(newcomer, create_invitation(page, portal, "Bob in Dallas", "operator"), "robert")
    expect(newcomer.get_by_role("heading", name="IPSec VPN tunnels")).to_be_visible()
    newcomer.get_by_role("link", name="ipsec001", exact=True).click()
    expect(newcomer.get_by_role("button", name="Apply Configurations")).to_be_visible()

    page.goto(f"{portal.printed('URL')}accounts/")
    page.get_by_label("Role of robert").select_option("Viewer")
    page.get_by_role("button", name="Change role of robert").click()
    expect(page.get_by_text("robert is now viewer")).to_be_visible()
    newcomer.reload()

    expect(newcomer.get_by_role("button", name="Apply Configurations")).to_have_count(0)
    page.get_by_role("button", name="Remove robert").click()
    newcomer.reload()
    expect(newcomer.get_by_role("heading", level=1)).to_have_text("Page not found")


def test_the_invitation_page_is_accessible_in_both_colour_schemes_on_a_narrow_screen(
    page: Page, newcomer: Page, portal: RunningPortal
):
    newcomer.set_viewport_size({"width": 390, "height": 800})
    link = create_invitation(page, portal, "Eve", "viewer")
    for scheme in ("light", "dark"):
        newcomer.emulate_media(color_scheme=scheme)
        newcomer.goto(link)
        assert Axe().run(newcomer).response["violations"] == []
        assert newcomer.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_role("button", name="Revoke the invitation Eve").click()
    newcomer.reload()
    expect(newcomer.get_by_role("heading", level=1)).to_have_text("Page not found")


def test_a_user_chooses_a_time_zone_and_the_page_uses_it(page: Page, portal: RunningPortal):
    page.get_by_role("link", name="admin", exact=True).click()
    page.get_by_label("Time zone").select_option("Asia/Tokyo")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("Current time:")).to_contain_text("JST")
    page.get_by_label("Time zone").select_option("UTC")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Current time:")).to_contain_text("UTC")
