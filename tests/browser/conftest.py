"""A running product and a real Chromium, with and without JavaScript."""

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

# A second tunnel that no test applies, so that tests of the page disturb nothing.
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


def running(name: str) -> Iterator[RunningPortal]:
    product = RunningPortal(name)
    try:
        yield product.start()
    finally:
        product.stop()


# Each module's has a state folder of its own: what one enters is never there for another.
_numbers = count(1)


@pytest.fixture(scope="module")
def portal() -> Iterator[RunningPortal]:
    """The product as `bin/run` starts it."""
    yield from running(f"b{next(_numbers)}")


@pytest.fixture(scope="module")
def fresh_portal() -> Iterator[RunningPortal]:
    """Another one, on which nobody has entered anything yet."""
    yield from running(f"n{next(_numbers)}")


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
    """Somebody who has signed in. Whatever the browser complains of fails the test."""
    yield from opened(chromium.new_context(), portal)


@pytest.fixture
def page_without_javascript(chromium: Browser, fresh_portal: RunningPortal) -> Iterator[Page]:
    yield from opened(chromium.new_context(java_script_enabled=False), fresh_portal)


def opened(context: BrowserContext, portal: RunningPortal) -> Iterator[Page]:
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if unexpected(line) else None)
    sign_in(page, portal)
    yield page
    context.close()
    assert complaints == []


def unexpected(line: ConsoleMessage) -> bool:
    """Refusals and lost requests are logged as errors too; the page explains those itself."""
    expected = ("status of 4", "net::ERR_FAILED", "htmx:afterRequest", "htmx:sendError")
    return line.type == "error" and not any(text in line.text for text in expected)


@pytest.fixture(scope="module")
def draft_url(portal: RunningPortal) -> str:
    return f"{portal.printed('URL')}tunnels/{portal.do(DRAFT)}/"


@pytest.fixture
def draft(page: Page, draft_url: str) -> Page:
    """The page of a tunnel that nobody applies."""
    page.goto(draft_url)
    return page
