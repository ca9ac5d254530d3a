"""The list as a person works with it: find, order, apply two, cancel; keys, narrow and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.running_portal import RunningPortal

# Two tunnels that can be applied, and one that nothing was entered for.
ORDERED = """
def ordered(name):
    found = Tunnel.objects.filter(friendly_name=name, cancelled_at=None).first()
    return found or services.order(tunnel.account, tunnel.concentrator.datacenter, user)
names = []
hosted, _ = Subnet.objects.get_or_create(
    account=tunnel.account, kind="hosted", network=IPv4Network("10.7.0.0/24")
)
for number, name in enumerate(("Lima", "Oslo", "Rome"), 71):
    one = ordered(name)
    services.edit(one, "friendly_name", name, user)
    if name != "Rome":
        one.subnets.add(hosted)
        services.edit(one, "remote_peer", f"198.51.100.{number}", user)
        services.set_preshared_key(one, "a key of the tests", user)
        network = IPv4Network(f"172.23.{number}.0/24")
        if network not in one.networks("customer"):
            services.add_remote_subnet(one, network, user)
    names.append(one.name)
say(names)
"""


@pytest.fixture(scope="module")
def names(portal: RunningPortal, draft_url: str) -> Iterator[list[str]]:
    """Lima and Oslo are ready to be applied, Rome is not."""
    yield portal.do(ORDERED)


@pytest.fixture
def tunnels(page: Page, names: list[str], portal: RunningPortal) -> Page:
    page.goto(portal.printed("URL") + "tunnels/")
    return page


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def tab_to(page: Page, target: Locator) -> None:
    """With the keyboard alone, as somebody who cannot use a mouse."""
    for _ in range(80):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("the keyboard does not lead there")


def test_a_tunnel_is_found_by_an_address_behind_it(tunnels: Page, names: list[str]):
    search = tunnels.get_by_label("Search")
    search.fill("172.23.72.9")
    search.press("Enter")

    expect(row(tunnels, names[1])).to_be_visible()
    expect(tunnels.get_by_text("1 to 1 of 1 tunnel")).to_be_visible()
    expect(search).to_have_value("172.23.72.9")
    tunnels.get_by_role("link", name="Clear the search").click()
    expect(row(tunnels, names[0])).to_be_visible()


def test_a_search_without_a_match_leads_back(tunnels: Page, names: list[str]):
    tunnels.get_by_label("Search").fill("nowhere at all")
    tunnels.get_by_role("button", name="Search").click()

    expect(tunnels.get_by_text("No tunnel matches.")).to_be_visible()
    tunnels.get_by_role("main").get_by_role("link", name="Clear the search").last.click()
    expect(row(tunnels, names[0])).to_be_visible()


def test_two_are_applied_at_once_with_the_keyboard_and_a_third_says_what_is_missing(
    tunnels: Page, names: list[str]
):
    for name in names:
        tab_to(tunnels, tunnels.get_by_role("checkbox", name=f"Select {name}"))
        tunnels.keyboard.press("Space")
    button = tunnels.get_by_role("button", name="Apply Configurations")
    tab_to(tunnels, button)
    tunnels.keyboard.press("Enter")

    results = tunnels.get_by_role("region", name="Apply Configurations: 2 of 3 done")
    expect(results).to_be_focused()
    expect(results.get_by_text(f"{names[0]} (Lima)")).to_contain_text("is on its way")
    expect(results.get_by_text(f"{names[2]} (Rome)")).to_contain_text("refused.")
    assert Axe().run(tunnels).response["violations"] == []
    # The page follows by itself.
    expect(row(tunnels, names[0])).not_to_contain_text("Never applied", timeout=20_000)
    expect(row(tunnels, names[0])).not_to_contain_text("Queued", timeout=20_000)
    expect(row(tunnels, names[0])).to_contain_text("admin, ", timeout=20_000)
    results.get_by_role("link", name="Remote Peer Address").click()
    expect(tunnels).to_have_url(re.compile("#id_remote_peer$"))


def test_the_list_follows_what_others_do_and_keeps_what_is_selected(
    tunnels: Page, names: list[str], portal: RunningPortal
):
    rome = tunnels.get_by_role("checkbox", name=f"Select {names[2]}")
    rome.check()
    rome.focus()
    before = re.search(r"(\d+) changes", row(tunnels, names[2]).inner_text())
    with tunnels.expect_response(lambda answer: "/news/" in answer.url) as quiet:
        pass

    portal.do(
        f'one = Tunnel.objects.get(name="{names[2]}")\n'
        'services.edit(one, "remote_peer", "198.51.100.99", user)'
    )

    assert quiet.value.status == 204
    assert before
    expect(row(tunnels, names[2])).to_contain_text(f"{int(before[1]) + 1} changes")
    expect(rome).to_be_checked()
    expect(rome).to_be_focused()


def test_all_on_the_page_are_selected_and_none_again(tunnels: Page):
    everything = tunnels.get_by_role("link", name="Select all on this page")
    boxes = tunnels.get_by_role("checkbox")
    everything.click()
    ticked = [box.is_checked() for box in boxes.all()]
    everything.press("Enter")

    assert ticked == [True] * len(ticked) != []
    assert not any(box.is_checked() for box in boxes.all())


def test_a_narrow_screen_shows_name_and_state_first_and_the_rest_by_scrolling_the_table(
    tunnels: Page, names: list[str]
):
    tunnels.set_viewport_size({"width": 390, "height": 800})
    region = tunnels.get_by_role("region", name=re.compile("tunnels?$"))

    assert tunnels.evaluate("document.documentElement.scrollWidth") == 390
    for heading in ("Name", "Tunnel Name", "State"):
        box = tunnels.get_by_role("columnheader", name=heading, exact=True).bounding_box()
        assert box and box["x"] + box["width"] <= 390, heading
    last = tunnels.get_by_role("columnheader", name="Last applied")
    last.scroll_into_view_if_needed()
    assert region.evaluate("region => region.scrollLeft") > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_tunnel_is_ordered_and_cancelled_with_the_keyboard_on_a_narrow_screen(
    tunnels: Page, scheme: str
):
    tunnels.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    tunnels.set_viewport_size({"width": 390, "height": 800})
    tab_to(tunnels, tunnels.get_by_role("link", name="Order a tunnel"))
    tunnels.keyboard.press("Enter")
    tab_to(tunnels, tunnels.get_by_role("radio", name="Houston 2"))
    tunnels.keyboard.press("Space")
    tab_to(tunnels, tunnels.get_by_role("button", name="Order a tunnel"))
    tunnels.keyboard.press("Enter")

    said = tunnels.get_by_role("status").get_by_text("was ordered for")
    expect(said).to_contain_text("Enter the Remote Peer Address and a Preshared Key next.")
    name = said.inner_text().split()[0]
    tab_to(tunnels, tunnels.get_by_role("link", name="Cancel this tunnel"))
    tunnels.keyboard.press("Enter")
    typed = tunnels.get_by_label(f"Enter {name} to cancel it")
    tab_to(tunnels, typed)
    tunnels.keyboard.insert_text("ipsec")
    tunnels.keyboard.press("Enter")
    expect(typed).to_be_focused()
    expect(tunnels.get_by_text(f"Enter {name}, exactly so.")).to_be_visible()
    assert Axe().run(tunnels).response["violations"] == []
    typed.fill("")
    tunnels.keyboard.insert_text(name)
    tunnels.keyboard.press("Enter")

    expect(tunnels.get_by_role("status")).to_contain_text(f"{name} was cancelled.")
    expect(row(tunnels, name)).to_have_count(0)
    tunnels.get_by_role("link", name=re.compile("^cancelled")).click()
    row(tunnels, name).get_by_role("link").click()
    expect(tunnels.get_by_text("This tunnel was cancelled: you may look at it")).to_be_visible()
