"""Second factors and passwordless sign-in in a real browser, with a virtual passkey of Chromium."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.browser.person import sign_in
from tests.running_portal import RunningPortal

# A key in the computer that asks for a finger (Web Authentication, 11.3).
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture
def own_page(chromium: Browser, portal: RunningPortal) -> Iterator[Page]:
    """Sign in at localhost: an IP address cannot have passkeys. Fail on errors of the console."""
    context, errors = chromium.new_context(), []
    page = context.new_page()

    def note(line: ConsoleMessage) -> None:
        if line.type == "error" and "status of 4" not in line.text:
            errors.append(line.text)

    page.on("console", note)
    page.goto(f"{home(portal)}sign-in/")
    fill_in(page, portal)
    expect(page.get_by_role("heading", name="IPSec VPN tunnels")).to_be_visible()
    yield page
    context.close()
    assert errors == []


def home(portal: RunningPortal) -> str:
    return portal.printed("URL").replace("127.0.0.1", "localhost")


def fill_in(page: Page, portal: RunningPortal) -> None:
    page.get_by_label("User name").fill(portal.printed("User name"))
    page.get_by_label("Password").fill(portal.printed("Password"))
    page.get_by_role("button", name="Sign in", exact=True).click()


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def code_of(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


def is_accessible(page: Page) -> None:
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def test_an_app_and_a_recovery_code_are_second_factors(own_page: Page, portal: RunningPortal):
    page = own_page
    page.get_by_role("link", name=portal.printed("User name"), exact=True).click()
    page.get_by_role("link", name="Second factors").click()
    page.get_by_role("link", name="Add an app").click()
    is_accessible(page)
    secret = page.locator("#totp-key").inner_text().strip()
    page.get_by_label("Authenticator code").fill(code_of(secret))
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    codes = page.locator("li.quoted").all_inner_texts()
    sign_out(page)

    fill_in(page, portal)
    expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
    is_accessible(page)
    page.get_by_label("Code").fill("123")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("The code is wrong")).to_be_visible()
    page.get_by_label("Code").fill(code_of(secret))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="IPSec VPN tunnels")).to_be_visible()
    sign_out(page)
    fill_in(page, portal)
    page.get_by_label("Code").fill(codes[0])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="IPSec VPN tunnels")).to_be_visible()

    page.goto(f"{home(portal)}profile/factors/totp/remove/")
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("Authenticator app removed.")).to_be_visible()


def test_a_passkey_signs_in_alone_and_is_a_second_factor(own_page: Page, portal: RunningPortal):
    page = own_page
    devices = page.context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    devices.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    page.goto(f"{home(portal)}profile/factors/passkeys/add/")
    is_accessible(page)
    page.get_by_label("Sign in with it alone").check()
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_text("Passkey added.")).to_be_visible()
    sign_out(page)

    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", name="IPSec VPN tunnels")).to_be_visible()
    sign_out(page)
    fill_in(page, portal)
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", name="IPSec VPN tunnels")).to_be_visible()
    page.goto(f"{home(portal)}profile/factors/passkeys/")
    is_accessible(page)
    page.get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Remove").click()

    expect(page.get_by_text("Passkey removed.")).to_be_visible()


def test_sign_in_works_without_javascript(page_without_javascript: Page):
    page = page_without_javascript
    sign_out(page)

    expect(page.get_by_role("button", name="Use a passkey")).to_be_hidden()


def test_the_pages_of_a_profile_are_accessible(page: Page, portal: RunningPortal):
    for path in (
        "profile/",
        "profile/sessions/",
        "profile/factors/",
        "profile/password/",
        "profile/confirm/",
        "profile/factors/codes/new/",
    ):
        page.goto(f"{portal.printed('URL')}{path}")
        is_accessible(page)
    sign_out(page)
    is_accessible(page)
    page.get_by_role("link", name="Forgotten password").click()
    is_accessible(page)
    sign_in(page, portal)
