"""The page Concentrators after a restore: operators choose a side for each held tunnel."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.browser.person import sign_in

HELD = """
concentrator = Concentrator.objects.get(name="hou02-vpn01")
for number, kind in ((901, "removed"), (902, "unknown")):
    HeldTunnel.objects.get_or_create(
        concentrator=concentrator, tunnel_id=number, kind=kind, number=1, name=f"ipsec{number}"
    )
HeldTunnel.objects.get_or_create(
    concentrator=concentrator, tunnel_id=tunnel.pk, kind="changed", number=2, name=tunnel.name,
    account_id=tunnel.account_id,
)
"""
CHOICES = (
    *(("Keep the gateway's", "ipsec001"), ("Take the backup's", "ipsec001")),
    *(("Keep it removed", "ipsec901"), ("Load it again", "ipsec901")),
    *(("Keep the gateway's", "ipsec902"), ("Remove it", "ipsec902")),
)


# Not with the fixture `page`: axe adds styles, and the browser logs errors for them.
@pytest.fixture
def concentrators(chromium: Browser, portal) -> Page:
    """Return the page Concentrators with three held tunnels, on a narrow screen."""
    portal.do(HELD)
    page = chromium.new_context(viewport={"width": 390, "height": 800}).new_page()
    sign_in(page, portal)
    page.goto(portal.printed("URL") + "concentrators/")
    yield page
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_choices_of_a_held_tunnel_are_in_sight_on_a_narrow_screen(concentrators, scheme):
    concentrators.emulate_media(color_scheme=scheme)

    for choice, tunnel in CHOICES:
        name = re.compile(rf"^{choice} ?: {tunnel}$")
        box = concentrators.get_by_role("button", name=name).bounding_box()
        assert box, name
        is_inside = box["x"] >= 0 and box["x"] + box["width"] <= 390
        assert (is_inside, box["height"] >= 24) == (True, True), name
    table = concentrators.get_by_role("table", name="Tunnels that differ from the backup")
    assert table.get_by_role("row").count() == 4
    assert table.get_by_role("columnheader").count() == 7
    region = concentrators.get_by_role("region", name="Tunnels that differ from the backup")
    assert region.evaluate("it => it.scrollWidth <= it.clientWidth")
    assert concentrators.evaluate("document.documentElement.scrollWidth") == 390
    assert Axe().run(concentrators).response["violations"] == []
