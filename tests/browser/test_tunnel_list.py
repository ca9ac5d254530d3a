"""The tunnel list in the browser: search, bulk apply, order, delete, keyboard, narrow screens."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.running_portal import RunningPortal

# Two tunnels that can be applied, and an incomplete tunnel.
ORDER_TUNNELS = """
def ordered(name):
    tunnels = Tunnel.objects.filter(friendly_name=name, cancelled_at=None)
    return tunnels.first() or services.order(tunnel.account, tunnel.concentrator.datacenter, user)
names = []
hosted, _ = Subnet.objects.get_or_create(
    account=tunnel.account, kind="hosted", network=IPv4Network("10.7.0.0/24")
)
for number, name in enumerate(("Lima", "Oslo", "Rome"), 71):
    ordered_tunnel = ordered(name)
    services.edit(ordered_tunnel, "friendly_name", name, user)
    if name != "Rome":
        ordered_tunnel.subnets.add(hosted)
        services.edit(ordered_tunnel, "remote_peer", f"198.51.100.{number}", user)
        services.set_preshared_key(ordered_tunnel, "a key of the tests", user)
        network = IPv4Network(f"172.23.{number}.0/24")
        if network not in ordered_tunnel.networks("customer"):
            services.add_remote_subnet(ordered_tunnel, network, user)
    names.append(ordered_tunnel.name)
say(names)
"""


@pytest.fixture(scope="module")
def names(portal: RunningPortal, draft_url: str) -> Iterator[list[str]]:
    """Yield the IDs of Lima and Oslo, which can be applied, and of Rome, which is incomplete."""
    yield portal.do(ORDER_TUNNELS)


@pytest.fixture
def tunnels(page: Page, names: list[str], portal: RunningPortal) -> Page:
    page.goto(portal.printed("URL") + "tunnels/")
    return page


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the target has the focus."""
    for _ in range(80):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("the Tab key does not reach the target")


def test_a_tunnel_is_found_by_an_address_behind_it(tunnels: Page, names: list[str]):
    search = tunnels.get_by_label("Search")
    search.fill("172.23.72.9")
    search.press("Enter")

    expect(row(tunnels, names[1])).to_be_visible()
    expect(tunnels.get_by_text("1 to 1 of 1 tunnel")).to_be_visible()
    expect(search).to_have_value("172.23.72.9")
    tunnels.get_by_role("link", name="Clear the search").click()
    expect(row(tunnels, names[0])).to_be_visible()


def test_a_search_without_matches_links_to_all_tunnels(tunnels: Page, names: list[str]):
    tunnels.get_by_label("Search").fill("nowhere at all")
    tunnels.get_by_role("button", name="Search").click()

    expect(tunnels.get_by_text("No tunnel matches.")).to_be_visible()
    tunnels.get_by_role("main").get_by_role("link", name="Clear the search").last.click()
    expect(row(tunnels, names[0])).to_be_visible()


def test_a_bulk_apply_with_the_keyboard_applies_two_tunnels_and_refuses_an_incomplete_tunnel(
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
    expect(results.get_by_text(f"{names[0]} (Lima)")).to_contain_text("submitted.")
    expect(results.get_by_text(f"{names[2]} (Rome)")).to_contain_text("refused.")
    assert Axe().run(tunnels).response["violations"] == []
    # The poll updates the rows.
    expect(row(tunnels, names[0])).not_to_contain_text("Never applied", timeout=20_000)
    expect(row(tunnels, names[0])).not_to_contain_text("Queued", timeout=20_000)
    expect(row(tunnels, names[0])).to_contain_text("admin, ", timeout=20_000)
    results.get_by_role("link", name="Remote Peer Address").click()
    expect(tunnels).to_have_url(re.compile("#id_remote_peer$"))


def test_a_poll_updates_the_rows_and_keeps_the_selection(
    tunnels: Page, names: list[str], portal: RunningPortal
):
    rome = tunnels.get_by_role("checkbox", name=f"Select {names[2]}")
    rome.check()
    rome.focus()
    before = re.search(r"(\d+) changes", row(tunnels, names[2]).inner_text())
    with tunnels.expect_response(lambda response: "/news/" in response.url) as poll:
        pass

    portal.do(
        f'rome = Tunnel.objects.get(name="{names[2]}")\n'
        'services.edit(rome, "remote_peer", "198.51.100.99", user)'
    )

    assert poll.value.status == 204
    assert before
    expect(row(tunnels, names[2])).to_contain_text(f"{int(before[1]) + 1} changes")
    expect(rome).to_be_checked()
    expect(rome).to_be_focused()


def test_a_link_selects_and_deselects_all_tunnels_of_the_page(tunnels: Page):
    select_all = tunnels.get_by_role("link", name="Select all on this page")
    boxes = tunnels.get_by_role("checkbox")
    select_all.click()
    checked = [box.is_checked() for box in boxes.all()]
    select_all.press("Enter")

    assert checked == [True] * len(checked) != []
    assert not any(box.is_checked() for box in boxes.all())


def test_a_narrow_screen_shows_id_name_and_state_and_scrolls_to_the_other_columns(
    tunnels: Page, names: list[str]
):
    tunnels.set_viewport_size({"width": 390, "height": 800})
    region = tunnels.get_by_role("region", name=re.compile("tunnels?$"))

    assert tunnels.evaluate("document.documentElement.scrollWidth") == 390
    for heading in ("Tunnel ID", "Tunnel Name", "State"):
        box = tunnels.get_by_role("columnheader", name=heading, exact=True).bounding_box()
        assert box and box["x"] + box["width"] <= 390, heading
    last = tunnels.get_by_role("columnheader", name="Last applied")
    last.scroll_into_view_if_needed()
    assert region.evaluate("region => region.scrollLeft") > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_tunnel_is_ordered_and_deleted_with_the_keyboard_on_a_narrow_screen(
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

    message = tunnels.get_by_role("status").get_by_text("Ordered ipsec")
    expect(message).to_contain_text("Enter the Remote Peer Address and a Preshared Key next.")
    name = message.inner_text().split()[1]
    tab_to(tunnels, tunnels.get_by_role("link", name="Delete tunnel"))
    tunnels.keyboard.press("Enter")
    confirmation = tunnels.get_by_label(f"Enter {name} to delete it")
    tab_to(tunnels, confirmation)
    tunnels.keyboard.insert_text("ipsec")
    tunnels.keyboard.press("Enter")
    expect(confirmation).to_be_focused()
    expect(tunnels.get_by_text(f"Enter {name} exactly.")).to_be_visible()
    assert Axe().run(tunnels).response["violations"] == []
    confirmation.fill("")
    tunnels.keyboard.insert_text(name)
    tunnels.keyboard.press("Enter")

    expect(tunnels.get_by_role("status")).to_contain_text(f"{name} was deleted.")
    expect(row(tunnels, name)).to_have_count(0)
    tunnels.get_by_role("link", name=re.compile("^Deleted")).click()
    row(tunnels, name).get_by_role("link").click()
    expect(
        tunnels.get_by_text("This tunnel was deleted. It can be viewed, but not changed.")
    ).to_be_visible()
