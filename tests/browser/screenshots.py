"""Screenshots of every page, for docs/screenshots: wide and light, narrow and dark.

bin/screenshots runs this module.
"""

from __future__ import annotations

import sys

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.person import EXAMPLE, enter, sign_in, state_heading
from tests.running_portal import ROOT, RunningPortal

FOLDER = ROOT / "docs" / "screenshots"
VARIANTS = {"wide-light": (1280, "light"), "narrow-dark": (390, "dark")}
PAGES = {
    "tunnels": "tunnels/",
    "tunnel": "tunnels/{pk}/",
    "history": "tunnels/{pk}/history/",
    "peer-config": "tunnels/{pk}/other-end/",
    "hand-over-sheet": "tunnels/{pk}/hand-over/",
    "order": "tunnels/order/",
    "delete": "tunnels/{pk}/cancel/",
    "accounts": "accounts/",
    "profile": "profile/",
    "concentrators": "concentrators/",
    "administration": "operators/",
}
MORE_ROWS = """
members = [("bob", "operator"), ("vic", "viewer")]
for name, role in members:
    member, _ = User.objects.get_or_create(username=name)
    Membership.objects.get_or_create(account=tunnel.account, user=member, defaults={"role": role})
paris, _ = Tunnel.objects.get_or_create(
    account=tunnel.account, concentrator=tunnel.concentrator, name="ipsec002",
    defaults={"hosted_peer": "203.0.113.17", "friendly_name": "Paris office"},
)
services.edit(paris, "remote_peer", "198.51.100.7", user)
say(tunnel.pk)
"""


def main() -> None:
    """Apply the example through the pages, then save the screenshots."""
    names = set(sys.argv[1:]) or set(PAGES)
    FOLDER.mkdir(exist_ok=True)
    portal = RunningPortal("s")
    try:
        portal.start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            sign_in(page, portal)
            apply_example(page, portal)
            pk = portal.do(MORE_ROWS)
            for variant in VARIANTS:
                save_screenshots(browser, portal, variant, pk, names)
    finally:
        portal.stop()


def apply_example(page: Page, portal: RunningPortal) -> None:
    page.get_by_role("link", name="ipsec001").click()
    enter(page.get_by_role("group", name="General"), "Tunnel Name", "Dallas office")
    for phase, fields in EXAMPLE.items():
        for label, text in fields.items():
            enter(page.get_by_role("group", name=phase), label, text)
    key = page.get_by_label("Preshared Key", exact=True)
    key.fill(portal.device_key())
    key.blur()
    page.get_by_label("IP address", exact=True).fill("192.168.10.0")
    page.get_by_label("CIDR").fill("24")
    page.get_by_role("group", name="Protected Customer").get_by_role("button", name="Add").click()
    expect(page.get_by_text("192.168.10.0/24").first).to_be_visible()
    page.get_by_role("button", name="10.1.255.92/30").click()
    page.get_by_label("Customer IP for 10.1.255.92").fill("192.168.10.15")
    page.get_by_label("Name for 10.1.255.92").fill("database")
    page.get_by_role("button", name="Add/Modify Context Address Translations").click()
    expect(page.locator("#static-nat").get_by_text("Saved")).to_be_visible()
    page.get_by_role("button", name="Apply Configurations").click()
    expect(state_heading(page)).to_contain_text("Up", timeout=30_000)
    portal.on("server", "ping", "-c", "5", "-i", "0.2", "-s", "1000", "10.1.255.92")
    enter(page.get_by_role("group", name="Phase Two"), "Key Life (in seconds)", "7200")


def save_screenshots(
    browser: Browser, portal: RunningPortal, variant: str, pk: int, names: set[str]
) -> None:
    width, scheme = VARIANTS[variant]
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    sign_in(page, portal)
    for name, path in PAGES.items():
        if name in names:
            page.goto(portal.printed("URL") + path.format(pk=pk))
            if name == "tunnel":
                page.get_by_role("button", name="10.1.255.92/30").click()
                expect(page.get_by_label("Customer IP for 10.1.255.92")).to_be_visible()
            page.evaluate("scrollTo(0, 0)")
            page.screenshot(path=FOLDER / f"{name}-{variant}.png", full_page=True)
    context.close()


if __name__ == "__main__":
    main()
