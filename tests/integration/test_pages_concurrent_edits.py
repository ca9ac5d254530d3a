"""Two open pages: edit conflicts are explained at the field, and edits by others are shown."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from django.urls import reverse

from tests.form_data import PHASE_ONE
from tests.html import part, read, typed, words
from vpnportal import services
from vpnportal.models import AddressPool, Concentrator, Revision, Subnet, Tunnel
from vpnportal.services import newest_edit
from vpnportal.web.tunnel.state_box import state_box_of

HTMX = {"HX-Request": "true"}
both = pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])


def url(name: str, tunnel: Tunnel, *more: int) -> str:
    return reverse(name, args=[tunnel.pk, *more])


def send(page, tunnel: Tunnel, headers, field: str, text: str, seen: str):
    form = {**PHASE_ONE, field: text, f"initial-{field}": seen}
    form["initial-remote_peer"] = form["remote_peer"] = "203.0.113.2"
    more = {**headers, "HX-Trigger-Name": field} if headers else {}
    return page.post(url("edit", tunnel), form, headers=more)


@both
def test_a_conflict_is_explained_at_the_field_and_the_next_attempt_overwrites(
    ready, page, bobs_page, headers
):
    send(bobs_page, ready, headers, "phase_one_encryption", "AES256", "3DES")

    response = send(page, ready, headers, "phase_one_encryption", "AES128", "3DES")

    assert response.status_code == 409
    note = words(response, "note-phase_one_encryption")
    assert note.startswith("bob changed this to AES256 at ")
    assert note.endswith("Save again to overwrite it. Overwrite")
    assert Tunnel.objects.get().phase_one_encryption == "AES256"
    seen = typed(response, "initial-phase_one_encryption")
    assert send(page, ready, headers, "phase_one_encryption", "AES128", seen).status_code in (
        200,
        302,
    )
    assert Tunnel.objects.get().phase_one_encryption == "AES128"


def test_a_value_with_a_conflict_stays_typed(ready, page, bobs_page):
    send(bobs_page, ready, {}, "phase_one_keylife", "7200", "14400")

    response = send(page, ready, {}, "phase_one_keylife", "3600", "14400")

    assert typed(response, "phase_one_keylife") == "3600"


@both
def test_a_key_that_was_saved_after_the_page_was_loaded_is_a_conflict(
    ready, page, bobs_page, headers
):
    before = typed(page.get(url("tunnel", ready)), "initial-preshared_key")
    send(bobs_page, ready, headers, "preshared_key", "the key of bob", before)

    response = send(page, ready, headers, "preshared_key", "the key of ada", before)

    assert response.status_code == 409
    assert words(response, "note-preshared_key").startswith("bob changed this at ")
    assert "the key of" not in response.content.decode()
    seen = typed(response, "initial-preshared_key")
    send(page, ready, headers, "preshared_key", "the key of ada", seen)
    assert Tunnel.objects.get().draft().preshared_key == "the key of ada"


@both
def test_a_conflict_of_a_row_is_explained_at_the_row_and_other_rows_are_not_reverted(
    ready, page, bobs_page, headers
):
    def save(browser, customer: str, name: str, seen: str, second_row: str = ""):
        form = {
            "customer-10.1.255.92": customer,
            "name-10.1.255.92": name,
            "was": seen,
            "customer-10.1.255.93": second_row,
        }
        return browser.post(url("translations", ready), form, headers=headers)

    was = "10.1.255.92\t192.168.10.15\tdatabase"
    save(bobs_page, "192.168.10.16", "mail", was)
    # An unchanged row stays as bob saved it, and the other row is saved.
    assert save(page, "192.168.10.15", "database", was, "192.168.10.20").status_code in (200, 302)
    response = save(page, "192.168.10.17", "web", was, "192.168.10.20")

    assert response.status_code == 409
    assert words(response, "note-10.1.255.92").startswith("bob changed this to 192.168.10.16 mail")
    assert typed(response, "customer-10.1.255.92") == "192.168.10.17"
    seen = typed(response, "was")
    save(page, "192.168.10.17", "web", seen, "192.168.10.20")
    saved = ready.translations.values_list("internal_address", "customer_address")
    assert sorted(saved) == [("10.1.255.92", "192.168.10.17"), ("10.1.255.93", "192.168.10.20")]


def test_a_page_with_an_outdated_row_can_be_applied(ready, page, bob):
    row = services.TranslationRow(*(ready.draft().translations[0].internal,), None)
    services.set_translations(ready, [row], bob)
    was = "10.1.255.92\t192.168.10.15\tdatabase"
    form = {"customer-10.1.255.92": "192.168.10.15", "name-10.1.255.92": "database"}

    assert page.post(url("apply", ready), form).status_code == 422
    assert page.post(url("apply", ready), {**form, "was": was}).status_code == 302


def test_a_malformed_row_keeps_its_conflict_for_the_next_attempt(ready, page, bob):
    rows = {"10.1.255.92": "192.168.10.16", "10.1.255.93": "192.168.10.17"}
    for at, customer in rows.items():
        row = services.TranslationRow(IPv4Address(at), IPv4Address(customer))
        services.set_translations(ready, [row], bob)
    form = {
        "customer-10.1.255.92": "192.168.10.18",
        "customer-10.1.255.93": "nonsense",
        "was": "10.1.255.92\t192.168.10.15\tdatabase",
    }

    response = page.post(url("translations", ready), form, headers=HTMX)

    assert words(response, "note-10.1.255.92").startswith("bob changed this to 192.168.10.16 at ")
    assert words(response, "note-10.1.255.93").startswith("Enter an IPv4 address")
    assert typed(response, "was") == "10.1.255.92\t192.168.10.16\t"


def test_a_shown_draft_is_never_older_than_its_version(ready, bob):
    loaded_before = Tunnel.objects.get(pk=ready.pk)
    services.edit(ready, "phase_one_encryption", "AES256", bob)

    state_box = state_box_of(loaded_before)

    assert state_box.version == newest_edit(ready).isoformat()
    assert "AES256" in [change.after for change in state_box.state.pending]


def test_an_apply_of_unreviewed_changes_is_refused_and_shows_the_new_review(ready, page, bobs_page):
    reviewed = typed(page.get(url("tunnel", ready)), "reviewed")
    send(bobs_page, ready, HTMX, "phase_one_encryption", "AES256", "3DES")

    response = page.post(url("apply", ready), {"reviewed": reviewed}, headers=HTMX)

    assert response.status_code == 409
    assert "bob changed this tunnel at " in words(response, "problems")
    assert "AES256" in words(response, "review")
    assert ready.latest() is None
    again = page.post(url("apply", ready), {"reviewed": typed(response, "reviewed")}, headers=HTMX)
    assert again.status_code == 200


def test_a_move_of_the_draft_must_be_reviewed_before_the_apply(ready, page, bob, concentrator):
    reviewed = typed(page.get(url("tunnel", ready)), "reviewed")
    other = Concentrator.objects.create(
        name="hou02-vpn02", datacenter=concentrator.datacenter, public_address="203.0.113.5"
    )
    AddressPool.objects.create(
        concentrator=other,
        kind=AddressPool.Kind.HOSTED_PEER,
        network=IPv4Network("203.0.113.32/28"),
    )
    services.move(ready, other, bob)

    response = page.post(url("apply", ready), {"reviewed": reviewed}, headers=HTMX)

    assert response.status_code == 409
    assert "bob changed Hosted Peer Address at " in words(poll(page, ready, reviewed), "others")


def poll(page, tunnel: Tunnel, since: str, seen: str = "old"):
    return page.get(url("state", tunnel), {"seen": seen, "since": since}, headers=HTMX)


def test_an_open_page_gets_the_edits_of_others_and_their_fields(ready, page, bobs_page, bob):
    since = typed(page.get(url("tunnel", ready)), "since")
    assert words(poll(page, ready, since), "others") == ""
    send(bobs_page, ready, HTMX, "phase_one_encryption", "AES256", "3DES")
    bobs_page.post(url("add-remote-subnet", ready), {"ip": "192.168.30.0", "cidr": "24"})
    bobs_page.post(url("edit", ready), {"fieldset": "general", "friendly_name": "Dallas"})

    response = poll(page, ready, since)

    edits = words(response, "others")
    assert "bob changed Phase One Encryption at " in edits
    assert "bob changed Protected Customer (Remote) Subnet at " in edits
    fields = [e for e in read(response).iter() if "data-concurrent-edit" in e.attrib]
    assert [field.get("id") for field in fields] == [
        "field-friendly_name",
        "field-phase_one_encryption",
    ]
    assert typed(response, "phase_one_encryption") == "AES256"
    assert typed(response, "initial-phase_one_encryption") == "AES256"
    assert words(response, "note-phase_one_encryption").startswith("bob changed this to AES256 at ")
    assert words(poll(bobs_page, ready, since), "others") == ""


def test_a_poll_gets_an_edit_of_a_field_that_is_in_no_revision(ready, page, bob):
    token = read(page.get(url("state", ready), headers=HTMX)).find(".//section").get("hx-get")
    seen = token.partition("seen=")[2].partition("&")[0]
    assert poll(page, ready, "", seen).status_code == 204

    services.edit(ready, "friendly_name", "Dallas", bob)

    assert poll(page, ready, "", seen).status_code == 200


@pytest.mark.parametrize("text", ["yesterday", "2026-01-01", "'"])
def test_a_malformed_version_is_a_bad_request(ready, page, text):
    assert poll(page, ready, text).status_code == 400
    assert page.post(url("discard", ready), {"seen": text}).status_code == 400
    assert page.post(url("apply", ready), {"reviewed": text}).status_code == 400


def test_during_an_apply_the_page_says_so_and_disables_its_controls(ready, page, user):
    services.apply(ready, user)

    response = page.get(url("tunnel", ready))

    (settings,) = [e for e in read(response).iter("fieldset") if e.get("class") == "settings"]
    assert "disabled" in settings.attrib
    assert words(response, "locked").startswith("Locked while revision 1 is being applied.")
    Revision.objects.update(outcome="live")
    response = page.get(url("tunnel", ready))
    (settings,) = [e for e in read(response).iter("fieldset") if e.get("class") == "settings"]
    assert "disabled" not in settings.attrib
    assert words(response, "locked") == words(poll(page, ready, ""), "locked") == ""


def test_a_poll_gets_the_lock_and_its_end(ready, page, user):
    services.apply(ready, user)
    assert words(poll(page, ready, ""), "locked").startswith("Locked ")

    Revision.objects.update(outcome="failed")

    assert part(poll(page, ready, ""), "locked").get("hx-swap-oob") == "true"
    assert words(poll(page, ready, ""), "locked") == ""


def test_a_viewer_does_not_see_the_lock(ready, viewer, user):
    services.apply(ready, user)
    subnet = Subnet.objects.get(network="10.1.255.92/30").pk

    response = viewer.get(url("tunnel", ready), {"open": subnet})

    assert words(response, "locked") == ""
