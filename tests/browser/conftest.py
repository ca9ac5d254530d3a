"""A running portal and a real Chromium, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from tests.browser.person import sign_in
from tests.running_portal import RunningPortal

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# A second tunnel that no test applies, for tests of the page that must not disturb the example.
DRAFT = """
account, concentrator = tunnel.account, tunnel.concentrator
draft, new = Tunnel.objects.get_or_create(
    account=account,
    name="ipsec002",
    defaults={"concentrator": concentrator, "hosted_peer": "203.0.113.102"},
)
if new:
    for kind, network in (("hosted", "10.3.0.0/24"), ("static-nat", "10.1.254.0/30")):
        draft.subnets.add(
            Subnet.objects.create(account=account, kind=kind, network=IPv4Network(network))
        )
    services.add_remote_subnet(draft, IPv4Network("192.168.20.0/24"), user)
say(draft.pk)
"""


def run_portal(name: str) -> Iterator[RunningPortal]:
    portal = RunningPortal(name)
    try:
        yield portal.start()
    finally:
        portal.stop()


# Each test module has a state folder of its own, so that no module sees the entries of another.
_numbers = count(1)


@pytest.fixture(scope="module")
def portal() -> Iterator[RunningPortal]:
    """Start the portal as `bin/run` does."""
    yield from run_portal(f"b{next(_numbers)}")


@pytest.fixture(scope="module")
def fresh_portal() -> Iterator[RunningPortal]:
    """Start a second portal, without entries of the tests that use `portal`."""
    yield from run_portal(f"n{next(_numbers)}")


# Not for the whole session: its event loop would keep Django's tests from their database.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no {CHROMIUM} here")
    expect.set_options(timeout=10_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, portal: RunningPortal) -> Iterator[Page]:
    """Sign in. An error in the browser's console fails the test."""
    yield from signed_in_page(chromium.new_context(), portal)


@pytest.fixture
def page_without_javascript(chromium: Browser, fresh_portal: RunningPortal) -> Iterator[Page]:
    yield from signed_in_page(chromium.new_context(java_script_enabled=False), fresh_portal)


def signed_in_page(context: BrowserContext, portal: RunningPortal) -> Iterator[Page]:
    """Yield a page after sign-in; then close the context, and fail on errors in its console."""
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if is_unexpected(line) else None)
    sign_in(page, portal)
    yield page
    context.close()
    assert errors == []


def is_unexpected(line: ConsoleMessage) -> bool:
    """Return True for an error other than refusals, and lost or aborted requests."""
    expected = (
        "status of 4",
        "net::ERR_FAILED",
        "htmx:afterRequest",
        "htmx:sendError",
        "htmx:sendAbort",
    )
    return line.type == "error" and not any(text in line.text for text in expected)


@pytest.fixture(scope="module")
def draft_url(portal: RunningPortal) -> str:
    return f"{portal.printed('URL')}tunnels/{portal.do(DRAFT)}/"


@pytest.fixture
def draft(page: Page, draft_url: str) -> Page:
    """Open the page of the tunnel that no test applies."""
    page.goto(draft_url)
    return page
