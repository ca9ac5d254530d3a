"""A long import in the browser: its progress, its result, and the lock meanwhile."""

from __future__ import annotations

from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.person import enter, note_of
from tests.browser.test_translation_table import TABLE
from tests.running_portal import RunningPortal

CLEARED = """
from vpnportal.models import TranslationImport
TranslationImport.objects.all().delete()
"""
# An import whose worker is not at work on it: the task of each minute takes it after one.
HELD = """
from vpnportal.models import TranslationImport
table = Tunnel.objects.get(name="ipsec009")
held = TranslationImport.objects.create(
    tunnel=table, author=user, total=65_000, saved=SAVED, state="saving"
)
say(held.pk)
"""
CHANGE = """
from vpnportal.models import TranslationImport
TranslationImport.objects.filter(state="saving").update(**dict(CHANGES))
"""


def test_the_page_shows_the_progress_and_the_end_of_a_long_import(
    page: Page, portal: RunningPortal
):
    url = f"{portal.printed('URL')}tunnels/{portal.do(CLEARED + TABLE)}/"
    portal.do(HELD, SAVED=40_000)
    page.goto(url)
    text, bar = page.locator("#import"), page.get_by_role("progressbar")
    expect(text).to_contain_text("Importing 65,000 translations: 40,000 saved")
    expect(bar).to_have_attribute("value", "40000")
    assert Axe().run(page, "#import").violations_count == 0
    name = enter(page.get_by_role("group", name="General"), "Tunnel Name", "mine")
    expect(note_of(name)).to_contain_text("Locked while 65,000 translations are being imported.")
    page.get_by_role("button", name="Apply Configurations").click()
    expect(page.locator("#problems")).to_contain_text("Not applied. Locked while 65,000")

    portal.do(CHANGE, CHANGES=[("saved", 44_096)])
    expect(text).to_contain_text("44,096 saved")
    expect(bar).to_have_attribute("value", "44096")
    portal.do(CHANGE, CHANGES=[("state", "done"), ("finished_at", "2026-12-01T09:00:00Z")])
    expect(text).to_contain_text("65,000 rows imported. Reload to see them")
    expect(name).to_have_value("mine")


def test_a_file_that_is_too_long_for_one_request_is_imported_by_the_worker(
    page: Page, portal: RunningPortal, tmp_path: Path
):
    page.goto(f"{portal.printed('URL')}tunnels/{portal.do(CLEARED + TABLE)}/")
    numbers = [(n // 256, n % 256) for n in range(1, 4096)]
    large = [f"10.1.{192 + high}.{low},172.20.{high}.{low},h{low}" for high, low in numbers]
    small = [f"10.1.250.{n},172.20.99.{n},m{n}" for n in range(1, 101)]
    file = tmp_path / "table.csv"
    file.write_text("\n".join([*large, *small]))

    page.get_by_text("CSV file and pasted rows").click()
    page.get_by_label("CSV file to import").set_input_files(file)
    page.get_by_role("button", name="Preview changes").click()
    expect(page.get_by_role("heading", name="Added")).to_contain_text("4194")
    page.get_by_role("button", name="Import").click()

    expect(page.locator("#import")).to_contain_text("4,195 rows imported.", timeout=60_000)
    expect(page.get_by_text("4,095 of 4,096 translated")).to_be_visible()
    expect(page.get_by_text("100 of 256 translated")).to_be_visible()
