"""Corrections, keyboard, accessibility, and narrow and dark screens on all pages."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.person import enter, note_of, sign_in

FAILED_APPLY = """
draft = Tunnel.objects.get(name="ipsec002")
steps = [{"at": "2026-01-01T10:00:00", "text": "Asked", "ok": True},
         {"at": "2026-01-01T10:00:01", "text": "Was refused", "ok": False}]
if not draft.revisions.exists():
    services.set_preshared_key(draft, "k", user)
    services.edit(draft, "remote_peer", "198.51.100.7", user)
    draft = Tunnel.objects.get(pk=draft.pk)
    revision = Revision.next_for(draft, draft.draft(), user)
    revision.outcome, revision.reason, revision.steps = "failed", "It was refused.", steps
    revision.save()
    draft.concentrator.repairs.create(tunnel=draft, text="Loaded the connection again")
    Concentrator.objects.update(foreign_connections=["office"])
    long_name = User.objects.create(username="maria.fernandez-gonzalez@branch.example.com")
    Membership.objects.create(account=draft.account, user=long_name, role="viewer")
    services.create_api_key(draft.account, user, "a script", None, ["192.0.2.0/24"])
"""


def test_an_invalid_value_is_explained_beside_its_field_and_a_valid_value_is_saved(draft: Page):
    phase_one = draft.get_by_role("group", name="Phase One")

    control = enter(phase_one, "Remote Peer Address", "10.1.255.999")
    expect(note_of(control)).to_have_text("Enter an IPv4 address such as 192.168.10.15.")
    expect(control).to_have_value("10.1.255.999")
    expect(control).to_have_attribute("aria-invalid", "true")

    enter(phase_one, "Remote Peer Address", "198.51.100.7")
    expect(note_of(control)).to_have_text("Saved")
    expect(control).to_have_attribute("aria-invalid", "false")


def test_the_number_of_pending_changes_follows_every_edit(draft: Page):
    pending = draft.locator("#pending")
    before = pending.inner_text()

    life = enter(draft.get_by_role("group", name="Phase Two"), "Key Life (in seconds)", "7200")

    expect(note_of(life)).to_have_text("Saved")
    expect(pending.get_by_text("pending change")).to_be_visible()
    draft.reload()
    assert "pending change" in before
    expect(draft.get_by_role("group", name="Phase Two").get_by_label("Key Life")).to_have_value(
        "7200"
    )


def test_translated_access_only_saves_itself_and_is_a_pending_change(draft: Page):
    box = draft.get_by_role("checkbox", name="Translated access only")
    expect(draft.locator("#access")).to_contain_text(
        "Hosts without a translation cannot reach servers, and servers cannot reach them."
    )

    box.check()
    expect(note_of(box)).to_have_text("Saved")
    expect(draft.locator("#review")).to_contain_text("Translated access only")

    draft.reload()
    expect(box).to_be_checked()
    box.uncheck()
    expect(note_of(box)).to_have_text("Saved")


def test_the_enter_key_saves_a_field(draft: Page):
    name = draft.get_by_label("Tunnel Name")
    name.fill(text := f"Dallas {draft.evaluate('Date.now()')}")
    with draft.expect_response(lambda response: "hx-trigger-name" not in response.request.headers):
        name.press("Enter")

    expect(note_of(name)).to_have_text("Saved")
    expect(name).to_be_focused()
    draft.reload()
    expect(name).to_have_value(text)


def test_a_translation_is_entered_with_the_keyboard_alone(draft: Page):
    button = draft.get_by_role("button", name="10.1.254.0/30")
    button.focus()
    draft.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(button).to_be_focused()

    draft.keyboard.press("Tab")
    draft.keyboard.press("Tab")
    draft.keyboard.press("Tab")
    expect(draft.get_by_label("Customer IP for 10.1.254.1")).to_be_focused()
    draft.keyboard.insert_text("192.168.20.15")
    draft.keyboard.press("Tab")
    draft.keyboard.insert_text("mail")
    draft.keyboard.press("Enter")

    expect(note_of(draft.get_by_label("Name for 10.1.254.1"))).to_have_text("Saved")
    expect(draft.get_by_label("Name for 10.1.254.1")).to_be_focused()
    button.focus()
    draft.keyboard.press("Space")
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(draft.get_by_label("Customer IP for 10.1.254.1")).to_have_count(0)
    expect(button).to_be_focused()


PRESS_AFTER_SWAP = """() => {
  const press = () => setTimeout(() => document.activeElement.click());
  document.addEventListener("htmx:afterSwap", press, {once: true});
}"""


def test_a_key_press_right_after_a_swap_does_not_reload_the_page(draft: Page):
    url, button = draft.url, draft.get_by_role("button", name="10.1.254.0/30")
    button.focus()
    draft.evaluate(PRESS_AFTER_SWAP)

    with draft.expect_response(lambda response: "show=0" in (response.request.post_data or "")):
        draft.keyboard.press("Enter")

    expect(button).to_have_attribute("aria-expanded", "false")
    expect(button).to_be_focused()
    assert draft.url == url


def test_an_invalid_row_is_explained_and_the_other_rows_keep_their_input(draft: Page):
    draft.get_by_role("button", name="10.1.254.0/30").click()
    draft.get_by_label("Customer IP for 10.1.254.2").fill("192.168.20.16")
    draft.get_by_label("Customer IP for 10.1.254.3").fill("10.9.9.9")
    draft.get_by_role("button", name="Add/Modify Context Address Translations").click()

    expect(note_of(draft.get_by_label("Customer IP for 10.1.254.3"))).to_contain_text(
        "is not a host address"
    )
    expect(draft.get_by_label("Customer IP for 10.1.254.2")).to_have_value("192.168.20.16")
    draft.reload()
    draft.get_by_role("button", name="10.1.254.0/30").click()
    expect(draft.get_by_label("Customer IP for 10.1.254.2")).to_have_value("")


def test_apply_warns_about_an_unsaved_row(draft: Page):
    draft.get_by_role("button", name="10.1.254.0/30").click()
    row = draft.get_by_label("Customer IP for 10.1.254.2")
    row.fill("192.168.20.16")
    draft.get_by_role("button", name="Apply Configurations").click()

    draft.get_by_role("link", name="Customer IP for 10.1.254.2").click()
    expect(row).to_be_focused()
    expect(row).to_have_value("192.168.20.16")


def test_a_remote_subnet_is_added_and_removed(draft: Page):
    draft.get_by_label("IP address").fill("192.168.30.15")
    draft.get_by_label("CIDR").fill("24")
    draft.get_by_role("button", name="Add", exact=True).click()
    expect(draft.get_by_text("Did you mean 192.168.30.0/24?").first).to_be_visible()
    expect(draft.get_by_label("IP address")).to_have_value("192.168.30.15")

    draft.get_by_label("IP address").fill("192.168.30.0")
    draft.get_by_label("CIDR").press("Enter")
    draft.get_by_role("button", name="Remove 192.168.30.0/24").click()

    expect(draft.get_by_role("row", name=re.compile("192.168.30"))).to_have_count(0)
    expect(draft.get_by_label("IP address")).to_be_focused()


def test_apply_lists_missing_fields_with_links(draft: Page):
    enter(draft.get_by_role("group", name="Phase One"), "Remote Peer Address", "")
    draft.get_by_role("button", name="Apply Configurations").click()

    problems = draft.locator("#problems")
    expect(problems).to_contain_text("Not applied.")
    problems.get_by_role("link", name="Remote Peer Address").click()
    expect(draft).to_have_url(re.compile("#id_remote_peer$"))


def test_a_lost_request_is_announced(draft: Page):
    draft.route("**/edit/", lambda route: route.abort())
    draft.get_by_label("Tunnel Name").fill("lost")
    draft.get_by_label("Tunnel Name").blur()

    expect(draft.get_by_role("status")).to_contain_text("The portal does not answer")


PAGES = (
    "sign-in/",
    "tunnels/",
    "tunnels/?q=nothing+of+this&sort=-state",
    "tunnels/order/",
    "tunnels/2/cancel/",
    "tunnels/1/?open=2",
    "tunnels/2/?open=4",
    "tunnels/2/history/",
    "tunnels/2/history/1/",
    "tunnels/1/other-end/",
    "tunnels/2/hand-over/",
    "accounts/",
    "profile/",
    "profile/password/",
    "concentrators/",
    "nothing-here/",
)
# Pages of the Django admin, with sizes of their own for touch targets and narrow screens.
ADMIN = (
    "operators/",
    "operators/vpnportal/subnet/",
    "operators/vpnportal/concentrator/1/change/",
    "operators/vpnportal/tunnel/1/move/",
)


@pytest.fixture(scope="module")
def failed_apply(portal, draft_url):
    """Add a failed apply to the draft's tunnel."""
    portal.do(FAILED_APPLY)


@pytest.fixture(params=["light", "dark"])
def every_page(request, failed_apply, draft: Page, portal):
    """Return a function that visits all pages, among them a failed apply and an open table."""
    draft.emulate_media(color_scheme=request.param)

    def visit():
        for path in PAGES:
            if path == "sign-in/":
                cookies = draft.context.cookies()
                draft.context.clear_cookies()
            draft.goto(portal.printed("URL") + path)
            yield path
            if path == "sign-in/":
                draft.context.clear_cookies()
                draft.context.add_cookies(cookies)

    return visit


def test_axe_finds_nothing(draft: Page, every_page):
    violations = {path: axe_violations(draft) for path in every_page()}

    assert violations == {path: [] for path in PAGES}


def axe_violations(page: Page) -> list[tuple[str, list[str]]]:
    violations = Axe().run(page).response["violations"]
    return [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in violations]


def test_the_admin_works_under_the_content_security_policy(page: Page, portal):
    for path in ADMIN:
        assert page.goto(portal.printed("URL") + path).status == 200


def test_axe_finds_nothing_in_the_admin(chromium: Browser, portal):
    # Not with the fixture `page`: axe adds styles, and the browser logs errors for them.
    context, violations = chromium.new_context(), {}
    page = context.new_page()
    sign_in(page, portal)
    for path in ADMIN:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.goto(portal.printed("URL") + path)
            violations[path, scheme] = axe_violations(page)
    context.close()

    assert {key: rules for key, rules in violations.items() if rules} == {}


def test_axe_finds_nothing_on_a_page_with_errors(draft: Page):
    phase_one = draft.get_by_role("group", name="Phase One")
    enter(phase_one, "Diffie-Hellman Group (DH)", "0")
    enter(phase_one, "Remote Peer Address", "10.1.255.999")
    draft.locator("#trial > summary").click()
    draft.get_by_label("Roll back automatically if not healthy").check()
    draft.get_by_label("Address that must answer a ping").fill("10.9.9.9")
    draft.get_by_role("button", name="Apply Configurations").click()
    expect(draft.get_by_role("link", name="Address that must answer a ping")).to_be_visible()
    expect(draft.get_by_role("link", name="Phase One Diffie-Hellman Group (DH)")).to_be_visible()

    assert Axe().run(draft).response["violations"] == []
    enter(phase_one, "Diffie-Hellman Group (DH)", "2")


def test_a_narrow_screen_needs_no_horizontal_scrolling(draft: Page, every_page):
    draft.set_viewport_size({"width": 390, "height": 800})

    widths = {path: draft.evaluate("document.documentElement.scrollWidth") for path in every_page()}

    assert widths == {path: 390 for path in PAGES}


def test_every_control_is_at_least_24_pixels_large(draft: Page, portal, every_page):
    measure = """() => [...document.querySelectorAll("a, button, input, select, summary")]
        .filter(e => e.checkVisibility() && !e.closest(".skip, p > a"))
        .map(e => [e.outerHTML.slice(0, 60), e.getBoundingClientRect()])
        .filter(([, box]) => box.width < 24 || box.height < 24).map(([html]) => html)"""
    small = {path: draft.evaluate(measure) for path in every_page()}

    assert {
        path: [html for html in controls if 'type="hidden"' not in html]
        for path, controls in small.items()
    } == {path: [] for path in PAGES}


def test_signing_out_ends_the_session(page: Page):
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    page.go_back()
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
