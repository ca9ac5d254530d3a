"""The translation table in the browser: input, paste from a spreadsheet, CSV files."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.browser.person import note_of
from tests.running_portal import RunningPortal

SAVE = "Add/Modify Context Address Translations"
# A tunnel with a /24 and a /20, which no other module changes.
TABLE = """
table, new = Tunnel.objects.get_or_create(
    account=tunnel.account,
    name="ipsec009",
    defaults={"concentrator": tunnel.concentrator, "hosted_peer": "203.0.113.109"},
)
if new:
    for network in ("10.1.250.0/24", "10.1.192.0/20"):
        table.subnets.add(
            Subnet.objects.create(
                account=table.account, kind="static-nat", network=IPv4Network(network)
            )
        )
    services.add_remote_subnet(table, IPv4Network("172.20.0.0/16"), user)
table.translations.all().delete()
rows = [services.TranslationRow(IPv4Address("10.1.250.1"), IPv4Address("172.20.0.1"), "mail")]
services.set_translations(table, rows, user)
say(table.pk)
"""
PASTE = """(input, text) => {
    const clipboardData = new DataTransfer()
    clipboardData.setData("text/plain", text)
    const options = { clipboardData, bubbles: true, cancelable: true }
    input.dispatchEvent(new ClipboardEvent("paste", options))
}"""


@pytest.fixture
def table(page: Page, portal: RunningPortal) -> Page:
    """Open a tunnel with one translation, and expand its /24."""
    page.goto(f"{portal.printed('URL')}tunnels/{portal.do(TABLE)}/")
    page.get_by_role("button", name="10.1.250.0/24").click()
    expect(customer(page, 1)).to_have_value("172.20.0.1")
    return page


def customer(page: Page, last: int) -> Locator:
    return page.get_by_label(f"Customer IP for 10.1.250.{last}", exact=True)


def name(page: Page, last: int) -> Locator:
    return page.get_by_label(f"Name for 10.1.250.{last}", exact=True)


def save(page: Page) -> None:
    page.get_by_role("button", name=SAVE).click()


def test_clearing_customer_ip_and_name_removes_the_translation(table: Page):
    customer(table, 1).fill("")
    name(table, 1).fill("")
    save(table)

    expect(note_of(customer(table, 1))).to_have_text("Removed")
    table.reload()
    expect(table.get_by_role("group", name="Assigned Static NAT subnets")).to_contain_text(
        "0 of 256 translated"
    )


def test_a_collapsed_subnet_keeps_unsaved_rows(table: Page):
    customer(table, 7).fill("172.20.0.7")
    button = table.get_by_role("button", name="10.1.250.0/24")
    button.press("Space")

    expect(button).to_have_attribute("aria-expanded", "false")
    expect(customer(table, 7)).to_have_value("172.20.0.7")
    expect(customer(table, 8)).to_have_count(0)
    button.press("Enter")
    expect(customer(table, 8)).to_be_visible()
    expect(customer(table, 7)).to_have_value("172.20.0.7")


def test_pasting_two_columns_fills_the_rows_below(table: Page):
    customer(table, 5).evaluate(PASTE, "172.20.0.5\tfive\r\n172.20.0.6\tsix\r\n172.20.0.7\t\r\n")

    expect(customer(table, 5)).to_have_value("172.20.0.5")
    expect(name(table, 6)).to_have_value("six")
    expect(customer(table, 7)).to_have_value("172.20.0.7")
    expect(table.get_by_role("status")).to_contain_text("3 rows filled in, nothing saved yet.")
    save(table)
    expect(note_of(customer(table, 6))).to_have_text("Saved")
    table.reload()
    table.get_by_role("button", name="10.1.250.0/24").click()
    expect(name(table, 5)).to_have_value("five")


def test_a_button_and_the_keyboard_undo_a_paste(table: Page):
    customer(table, 1).evaluate(PASTE, "172.20.0.5\n172.20.0.6")
    expect(customer(table, 1)).to_have_value("172.20.0.5")
    table.get_by_role("button", name="Undo paste").click()
    expect(customer(table, 1)).to_have_value("172.20.0.1")
    expect(customer(table, 2)).to_have_value("")

    name(table, 1).evaluate(PASTE, "one\ntwo")
    expect(name(table, 2)).to_have_value("two")
    expect(customer(table, 2)).to_have_value("")
    name(table, 2).press("Control+z")
    expect(name(table, 1)).to_have_value("mail")
    expect(name(table, 2)).to_have_value("")
    expect(table.get_by_role("button", name="Undo paste")).to_have_count(0)


@pytest.mark.parametrize(
    ("last", "text", "message"),
    [
        (
            254,
            "172.20.0.1\n172.20.0.2\n172.20.0.3",
            "3 rows were copied, but only 2 rows follow here",
        ),
        (5, "10.1.250.5\t172.20.0.1\tweb", "3 columns were copied."),
    ],
)
def test_a_paste_that_does_not_fit_is_explained_and_changes_nothing(
    table: Page, last: int, text: str, message: str
):
    customer(table, last).evaluate(PASTE, text)

    expect(table.get_by_role("status")).to_contain_text(message)
    expect(customer(table, last)).to_have_value("")


def test_a_large_subnet_has_pages_and_keeps_unsaved_rows(table: Page):
    table.get_by_role("button", name="10.1.192.0/20").click()
    first = table.get_by_label("Customer IP for 10.1.192.3", exact=True)
    first.fill("172.20.9.3")
    above = table.get_by_role("group", name="Pages of 10.1.192.0/20, above the rows")
    above.get_by_role("button", name="Next").click()

    expect(above).to_contain_text("Page 2 of 16")
    expect(table.get_by_label("Customer IP for 10.1.193.0", exact=True)).to_be_visible()
    expect(first).to_have_value("172.20.9.3")
    table.get_by_label("Go to address").fill("10.1.200.77")
    table.get_by_label("Go to address").press("Enter")
    expect(table.get_by_label("Customer IP for 10.1.200.77", exact=True)).to_be_focused()
    table.keyboard.insert_text("172.20.9.77")
    table.keyboard.press("Enter")
    expect(note_of(table.get_by_label("Customer IP for 10.1.200.77", exact=True))).to_have_text(
        "Saved"
    )
    table.get_by_role("button", name="Show only translated rows").click()
    expect(table.locator(".lines").first.get_by_role("rowheader")).to_have_text(
        ["10.1.192.3", "10.1.200.77"]
    )


def test_a_table_is_exported_changed_and_imported(table: Page, tmp_path: Path):
    table.get_by_text("CSV file and pasted rows").click()
    with table.expect_download() as download:
        table.get_by_role("link", name="the translated rows").click()
    file = tmp_path / "table.csv"
    download.value.save_as(file)
    assert file.read_bytes() == b"IP address,Customer IP,Name\r\n10.1.250.1,172.20.0.1,mail\r\n"
    file.write_text(file.read_text() + "10.1.250.9,172.20.0.9,=new\n")
    table.get_by_label("CSV file to import").set_input_files(file)
    table.get_by_role("button", name="Preview changes").click()

    expect(table.get_by_role("region", name="Added")).to_contain_text("172.20.0.9 =new")
    expect(table.get_by_text("1 row unchanged.")).to_be_visible()
    assert Axe().run(table).response["violations"] == []
    table.get_by_role("button", name="Import").click()
    expect(table.get_by_role("status")).to_have_text("1 row imported.")
    table.get_by_role("button", name="10.1.250.0/24").click()
    expect(name(table, 9)).to_have_value("=new")


def test_invalid_lines_are_explained_and_cannot_be_imported(table: Page):
    table.get_by_text("CSV file and pasted rows").click()
    table.get_by_label("Or paste rows").fill("172.20.0.5\tright\n10.9.9.9\twrong")
    table.get_by_label("First address").fill("10.1.250.20")
    table.get_by_role("button", name="Preview changes").click()

    expect(
        table.get_by_text("Line 2: 10.9.9.9 is not a host address in the remote subnets")
    ).to_be_visible()
    expect(table.get_by_role("button", name="Import", exact=True)).to_have_count(0)
    assert Axe().run(table).response["violations"] == []
    pasted = table.get_by_label("Or paste rows")
    expect(pasted).to_have_value("172.20.0.5\tright\n10.9.9.9\twrong")
    pasted.fill("172.20.0.5\tright\n172.20.0.6\tright too")
    table.get_by_role("button", name="Preview changes").click()
    expect(table.get_by_role("button", name="Import", exact=True)).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_an_open_table_is_accessible_and_fits_the_screen(table: Page, scheme: str, width: int):
    table.emulate_media(color_scheme=scheme)
    table.set_viewport_size({"width": width, "height": 900})
    table.get_by_role("button", name="10.1.192.0/20").click()
    customer(table, 3).fill("10.9.9.9")
    table.get_by_label("Customer IP for 10.1.192.3", exact=True).evaluate(
        PASTE, "172.20.9.3\tthree\n172.20.9.4\tfour"
    )
    table.get_by_text("CSV file and pasted rows").click()
    assert Axe().run(table).response["violations"] == []
    save(table)
    expect(note_of(customer(table, 3))).to_contain_text("is not a host address")
    expect(customer(table, 3)).to_be_focused()

    assert Axe().run(table).response["violations"] == []
    assert table.evaluate("document.documentElement.scrollWidth") == width
    small = """() => [...document.querySelectorAll("#static_nat :is(a, button, input, summary)")]
        .filter(e => e.checkVisibility() && !e.closest("p:has(> a)"))
        .map(e => [e.outerHTML.slice(0, 60), e.getBoundingClientRect()])
        .filter(([, box]) => box.width < 24 || box.height < 24).map(([html]) => html)"""
    assert table.evaluate(small) == []

    # The save button stays visible and never covers the focused control.
    customer(table, 40).focus()
    for _ in range(9):
        table.keyboard.press("Tab")
    save_button = table.get_by_role("button", name=SAVE)
    expect(save_button).to_be_in_viewport(ratio=1)
    covered = """save => document.activeElement.getBoundingClientRect().bottom
        > save.closest(".keep").getBoundingClientRect().top"""
    assert not save_button.evaluate(covered)


def test_row_states_update_without_a_reload(table: Page, portal: RunningPortal):
    state = table.locator("tr", has=customer(table, 1)).locator(".row-status")
    expect(state).to_have_text("Not applied yet")

    portal.do(
        """
from django.utils import timezone
table = Tunnel.objects.get(name="ipsec009")
services.edit(table, "remote_peer", "198.51.100.9", user)
services.set_preshared_key(table, "k", user)
table = Tunnel.objects.get(pk=table.pk)
Revision.next_for(table, table.draft(), user).save()
table.revisions.update(outcome="live", finished_at=timezone.now())
"""
    )

    expect(state).to_have_text("Live", timeout=15_000)
    portal.do('Tunnel.objects.get(name="ipsec009").revisions.all().delete()')


def test_the_table_works_without_javascript(
    page_without_javascript: Page, fresh_portal: RunningPortal
):
    page = page_without_javascript
    page.goto(f"{fresh_portal.printed('URL')}tunnels/{fresh_portal.do(TABLE)}/")
    page.get_by_role("button", name="10.1.192.0/20").click()
    page.get_by_label("Customer IP for 10.1.192.3", exact=True).fill("172.20.9.3")
    page.get_by_role("button", name="Next").first.click()
    expect(page.get_by_label("Customer IP for 10.1.193.0", exact=True)).to_be_visible()
    page.get_by_role("button", name="10.1.250.0/24").click()
    customer(page, 5).fill("10.9.9.9")
    customer(page, 5).press("Enter")

    expect(note_of(customer(page, 5))).to_contain_text("is not a host address")
    customer(page, 5).fill("172.20.0.5")
    save(page)
    expect(page.get_by_role("status")).to_have_text("2 address translations saved.")
    page.get_by_text("CSV file and pasted rows").click()
    page.get_by_label("Or paste rows").fill("172.20.0.6\tsix\n172.20.0.7\tseven")
    page.get_by_label("First address").fill("10.1.250.6")
    page.get_by_role("button", name="Preview changes").click()
    expect(page.get_by_role("region", name="Added")).to_contain_text("172.20.0.7 seven")
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("status")).to_have_text("2 rows imported.")
