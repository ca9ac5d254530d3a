"""Review, discard, restore, undo, and concurrent edits by two users."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Error, Locator, Page, Route, expect

from tests.browser.conftest import signed_in_page
from tests.browser.person import enter, note_of, state_box
from tests.running_portal import RunningPortal, wait_for

TRANSLATE = """
row = services.TranslationRow(IPv4Address("10.1.255.92"), IPv4Address("192.168.10.15"), "database")
services.set_translations(tunnel, [row], user)
"""
BOB = """
if not User.objects.filter(username="bob").exists():
    bob = User.objects.create_user("bob", password=PASSWORD)
    Membership.objects.create(account=tunnel.account, user=bob, role="operator")
"""
PASSWORD = "a password for the tests"
# Records the text of every node that is added to the element from now on.
RECORD_ADDED_NODES = """(element) => {
  window.addedTexts = [];
  const record = (mutations) => mutations.forEach((mutation) =>
    mutation.addedNodes.forEach((node) => window.addedTexts.push(node.textContent)));
  new MutationObserver(record).observe(element, { childList: true, subtree: true });
}"""
DISCARD = "if services.state_of(tunnel).pending: services.discard(tunnel, user)"


@pytest.fixture
def applied_example(portal: RunningPortal) -> None:
    """Apply the example unless it is live, and discard pending changes."""
    if not portal.do("say(tunnel.revisions.filter(outcome='live').exists())"):
        portal.fill_in()
        portal.apply(TRANSLATE)
    portal.do(DISCARD)
    wait_for(portal.ping, 30)


@pytest.fixture
def mine(page: Page, applied_example: None) -> Page:
    """Open the page of the example's tunnel."""
    return open_tunnel(page)


@pytest.fixture
def bobs(chromium: Browser, portal: RunningPortal, mine: Page) -> Iterator[Page]:
    """Open the page of the example's tunnel in the browser of a second user."""
    portal.do(BOB, PASSWORD=PASSWORD)
    context = chromium.new_context()
    page = context.new_page()
    page.goto(portal.printed("URL"))
    page.get_by_label("User name").fill("bob")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    yield open_tunnel(page)
    context.close()


def open_tunnel(page: Page) -> Page:
    """Open the example's tunnel and wait for its scripts, which save the edits."""
    page.get_by_role("link", name="ipsec001").click()
    page.wait_for_url("**/tunnels/1/")
    page.wait_for_load_state()
    return page


def phase(page: Page, number: str) -> Locator:
    return page.get_by_role("group", name=f"Phase {number}")


def review(page: Page) -> Locator:
    return page.locator("#review")


def row(page: Page, name: str) -> Locator:
    return review(page).get_by_role("row", name=name)


def expect_saved(control: Locator) -> None:
    expect(note_of(control)).to_have_text("Saved")


def test_the_review_lists_interruptions_and_discard_reverts_all_changes(mine: Page):
    phase_one, phase_two = phase(mine, "One"), phase(mine, "Two")
    expect_saved(enter(phase_two, "Encryption", "AES128"))
    expect(review(mine)).to_contain_text("1 change. No interruption (make-before-break).")
    expect_saved(enter(phase_one, "Remote Peer Address", "203.0.113.77"))
    expect(review(mine)).to_contain_text("2 changes. Interrupts the tunnel for less than")
    interruption = (
        "Remote Peer Address 203.0.113.2 203.0.113.77 Interrupts the tunnel for less than 1 second"
    )
    expect(row(mine, interruption)).to_be_visible()
    expect(mine.locator("#pending")).to_contain_text("2 pending changes.")

    row(mine, "Phase Two Encryption").get_by_role("button", name="Revert").click()
    expect(phase_two.get_by_label("Encryption")).to_have_value("AES256")
    review(mine).get_by_text("Discard all changes").click()
    review(mine).get_by_role("button", name="Discard 1 change").click()

    expect(mine.get_by_role("status")).to_contain_text("Discarded: Remote Peer Address")
    expect(phase_one.get_by_label("Remote Peer Address")).to_have_value("203.0.113.2")
    expect(review(mine)).to_contain_text("No pending changes")
    review(mine).get_by_role("button", name="Undo").click()
    expect(phase_one.get_by_label("Remote Peer Address")).to_have_value("203.0.113.77")


def test_an_earlier_revision_is_restored_with_the_keyboard_and_undone(
    mine: Page, portal: RunningPortal
):
    number = portal.do("say(tunnel.latest().number)")
    keylife = portal.do("say(tunnel.phase_two_keylife)")
    portal.apply('services.edit(tunnel, "phase_two_keylife", 3210, user)')
    mine.reload()
    phase_two = phase(mine, "Two")
    expect(phase_two.get_by_label("Key Life")).to_have_value("3210")

    mine.get_by_role("link", name=f"Revision {number}", exact=True).press("Enter")
    expect(mine.get_by_role("heading", name=f"Revision {number}")).to_be_visible()
    mine.get_by_role("button", name=f"Restore revision {number}").press("Enter")

    expect(mine.get_by_role("status")).to_contain_text("Nothing is applied yet.")
    expect(phase_two.get_by_label("Key Life")).to_have_value(str(keylife))
    expect(row(mine, "Phase Two Key Life")).to_contain_text("No interruption (make-before-break)")
    review(mine).get_by_role("button", name="Undo").press("Enter")
    expect(phase_two.get_by_label("Key Life")).to_have_value("3210")
    mine.get_by_role("link", name="View all").click()
    mine.get_by_label("Revision", exact=True).fill(str(number))
    mine.get_by_label("and revision").fill(str(number + 1))
    mine.get_by_role("button", name="Compare").press("Enter")
    expect(mine.get_by_role("row", name="Phase Two Key Life")).to_contain_text("3210")


def test_two_users_change_two_fields_and_each_page_shows_both_changes(mine: Page, bobs: Page):
    phase(mine, "Two").get_by_label("Key Life").focus()
    expect_saved(enter(phase(bobs, "One"), "Key Life", "20000"))

    expect(mine.locator("#others")).to_contain_text("bob changed Phase One Key Life")
    expect(phase(mine, "One").get_by_label("Key Life")).to_have_value("20000")
    expect(phase(mine, "Two").get_by_label("Key Life")).to_be_focused()
    expect_saved(enter(phase(mine, "Two"), "Key Life", "4000"))

    expect(phase(bobs, "Two").get_by_label("Key Life")).to_have_value("4000")
    expect(row(bobs, "Phase One Key Life")).to_contain_text("20000")
    expect(row(bobs, "Phase Two Key Life")).to_contain_text("4000")


def test_a_screen_reader_announces_each_concurrent_edit_once(mine: Page, bobs: Page):
    edits = mine.locator("#others")
    expect_saved(enter(phase(bobs, "One"), "Key Life", "21000"))
    expect(edits).to_contain_text("bob changed Phase One Key Life")
    expect(edits).to_have_attribute("aria-live", "polite")
    edits.evaluate(RECORD_ADDED_NODES)

    expect_saved(enter(phase(bobs, "Two"), "Key Life", "4100"))

    expect(edits.get_by_role("listitem")).to_have_count(2)
    (line,) = mine.evaluate("addedTexts")
    assert line.startswith("bob changed Phase Two Key Life")


def test_a_field_with_unsaved_input_keeps_it_and_saving_reports_the_conflict(
    mine: Page, bobs: Page
):
    keylife = phase(mine, "One").get_by_label("Key Life")
    keylife.fill("5000")
    expect_saved(enter(phase(bobs, "One"), "Key Life", "20000"))
    expect(mine.locator("#others")).to_contain_text("bob changed Phase One Key Life")
    expect(keylife).to_have_value("5000")
    expect(keylife).to_be_focused()

    keylife.blur()

    expect(note_of(keylife)).to_contain_text("bob changed this to 20000 at ")
    expect(keylife).to_have_value("5000")
    assert Axe().run(mine).response["violations"] == []
    note_of(keylife).get_by_role("button", name="Overwrite").click()
    expect_saved(keylife)
    expect(row(mine, "Phase One Key Life")).to_contain_text("5000")


@contextmanager
def stopped_workers(portal: RunningPortal) -> Iterator[None]:
    """Stop the workers, so that an apply stays queued."""
    workers = portal.processes("worker", host="concentrator")
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGCONT)


def test_the_page_is_locked_during_an_apply_and_unsaved_input_stays(
    mine: Page, portal: RunningPortal
):
    name = mine.get_by_label("Tunnel Name")
    name.fill(text := f"Dallas {mine.evaluate('Date.now()')}")
    with stopped_workers(portal):
        portal.do('services.edit(tunnel, "phase_two_keylife", 4100, user)')
        portal.do("services.apply(Tunnel.objects.get(pk=tunnel.pk), user)")
        expect(mine.locator("#locked")).to_contain_text("Locked while revision")
        expect(name).not_to_be_editable()
        expect(name).to_be_focused()
        expect(phase(mine, "One").get_by_label("Encryption")).to_be_disabled()
        mine.get_by_role("button", name="10.1.255.92/30").click()
        expect(mine.get_by_label("Customer IP for 10.1.255.92")).not_to_be_editable()
        name.focus()

    expect(mine.locator("#locked")).to_have_text("", timeout=30_000)
    expect(name).to_be_editable()
    expect(name).to_be_focused()
    expect(name).to_have_value(text)
    expect(phase(mine, "One").get_by_label("Encryption")).to_be_enabled()
    name.press("Enter")
    expect_saved(name)
    expect(state_box(mine)).to_contain_text(re.compile(r"Revision \d+ applied"))


def test_a_page_loaded_during_an_apply_unlocks_itself(mine: Page, portal: RunningPortal):
    with stopped_workers(portal):
        portal.do('services.edit(tunnel, "phase_two_keylife", 4200, user)')
        portal.do("services.apply(Tunnel.objects.get(pk=tunnel.pk), user)")
        mine.reload()
        expect(mine.get_by_label("Tunnel Name")).not_to_be_editable()
        assert Axe().run(mine).response["violations"] == []

    expect(mine.get_by_label("Tunnel Name")).to_be_editable(timeout=30_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_review_is_accessible_and_fits_a_narrow_screen(mine: Page, scheme: str):
    mine.emulate_media(color_scheme=scheme)
    mine.set_viewport_size({"width": 390, "height": 800})
    expect_saved(enter(phase(mine, "One"), "Remote Peer Address", "203.0.113.77"))
    review(mine).get_by_text("Discard all changes").click()

    assert Axe().run(mine).response["violations"] == []
    assert mine.evaluate("document.documentElement.scrollWidth") == 390


def test_changes_are_reviewed_discarded_and_restored_without_javascript(
    chromium: Browser, portal: RunningPortal, applied_example: None
):
    for page in signed_in_page(chromium.new_context(java_script_enabled=False), portal):
        page.get_by_role("link", name="ipsec001").click()
        enter(phase(page, "Two"), "Encryption", "AES128")
        page.get_by_role("button", name="Save Phase Two").click()
        expect(review(page)).to_contain_text("1 change. No interruption (make-before-break).")

        review(page).get_by_text("Discard all changes").click()
        review(page).get_by_role("button", name="Discard 1 change").click()

        expect(phase(page, "Two").get_by_label("Encryption")).to_have_value("AES256")
        review(page).get_by_role("button", name="Undo").click()
        expect(phase(page, "Two").get_by_label("Encryption")).to_have_value("AES128")


def test_a_poll_that_the_answer_of_an_apply_overtakes_changes_nothing(
    mine: Page, portal: RunningPortal
):
    number = portal.do("say(tunnel.latest().number)") + 1
    keylife = enter(phase(mine, "Two"), "Key Life", str(5_000 + number))
    expect_saved(keylife)
    held: list[Route] = []
    with mine.expect_request("**/state/?*"):
        mine.route("**/state/?*", lambda route: held.append(route))

    mine.get_by_role("button", name="Apply Configurations").click()

    expect(state_box(mine)).to_contain_text(f"Revision {number} applied", timeout=30_000)
    mine.unroute("**/state/?*")
    with mine.expect_request_finished(lambda request: "/state/" in request.url):
        for route in held:
            with suppress(Error):
                # Playwright may refuse to continue a request that the page has aborted.
                route.continue_()
    # The fixture of the page fails on an error in its console.
    expect(state_box(mine)).to_contain_text(f"Revision {number} applied")
