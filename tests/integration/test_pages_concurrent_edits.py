"""Two open pages: who was overtaken is told beside the field, and what others did is shown."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from django.urls import reverse

from tests.form_data import PHASE_ONE
from tests.html import part, read, typed, words
from vpnportal import services
from vpnportal.models import AddressPool, Concentrator, Revision, Subnet, Tunnel
from vpnportal.services import newest_edit
from vpnportal.web.tunnel.page import state_context

HTMX = {"HX-Request": "true"}
both = pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])


def url(name: str, tunnel: Tunnel, *more: int) -> str:
    return reverse(name, args=[tunnel.pk, *more])


def send(page, tunnel: Tunnel, headers, field: str, text: str, seen: str):
    form = {**PHASE_ONE, field: text, f"initial-{field}": seen}
    form["initial-remote_peer"] = form["remote_peer"] = "203.0.113.2"
    more = {**headers, "HX-Trigger-Name": field} if headers else {}
    return page.post(url("edit", tunnel), form, headers=more)


def hidden(answer, name: str) -> str | None:
    return typed(answer, name)


@both
def test_the_second_of_two_is_told_beside_the_field_and_the_next_attempt_goes_through(
    ready, page, bobs_page, headers
):
    send(bobs_page, ready, headers, "phase_one_encryption", "AES256", "3DES")

    answer = send(page, ready, headers, "phase_one_encryption", "AES128", "3DES")

    assert answer.status_code == 409
    note = words(answer, "note-phase_one_encryption")
    assert note.startswith("bob changed this to AES256 at ")
    assert note.endswith("Save again to overwrite it. Overwrite")
    assert Tunnel.objects.get().phase_one_encryption == "AES256"
    seen = hidden(answer, "initial-phase_one_encryption")
    assert send(page, ready, headers, "phase_one_encryption", "AES128", seen).status_code in (
        200,
        302,
    )
    assert Tunnel.objects.get().phase_one_encryption == "AES128"


def test_what_was_typed_and_overtaken_stays_typed(ready, page, bobs_page):
    send(bobs_page, ready, {}, "phase_one_keylife", "7200", "14400")

    answer = send(page, ready, {}, "phase_one_keylife", "3600", "14400")

    assert typed(answer, "phase_one_keylife") == "3600"


@both
def test_a_new_key_is_overtaken_by_one_that_was_saved_since_the_page_was_loaded(
    ready, page, bobs_page, headers
):
    before = hidden(page.get(url("tunnel", ready)), "initial-preshared_key")
    send(bobs_page, ready, headers, "preshared_key", "the key of bob", before)

    answer = send(page, ready, headers, "preshared_key", "the key of ada", before)

    assert answer.status_code == 409
    assert words(answer, "note-preshared_key").startswith("bob changed this at ")
    assert "the key of" not in answer.content.decode()
    seen = hidden(answer, "initial-preshared_key")
    send(page, ready, headers, "preshared_key", "the key of ada", seen)
    assert Tunnel.objects.get().draft().preshared_key == "the key of ada"


@both
def test_a_row_that_somebody_else_changed_is_told_of_beside_it_and_other_rows_are_not_undone(
    ready, page, bobs_page, headers
):
    def table(who, customer: str, name: str, seen: str, beside: str = ""):
        form = {
            "customer-10.1.255.92": customer,
            "name-10.1.255.92": name,
            "was": seen,
            "customer-10.1.255.93": beside,
        }
        return who.post(url("translations", ready), form, headers=headers)

    was = "10.1.255.92\t192.168.10.15\tdatabase"
    table(bobs_page, "192.168.10.16", "mail", was)
    # Not touched here: the row stays as bob left it, and the other one is saved.
    assert table(page, "192.168.10.15", "database", was, "192.168.10.20").status_code in (200, 302)
    answer = table(page, "192.168.10.17", "web", was, "192.168.10.20")

    assert answer.status_code == 409
    assert words(answer, "note-10.1.255.92").startswith("bob changed this to 192.168.10.16 mail")
    assert typed(answer, "customer-10.1.255.92") == "192.168.10.17"
    seen = hidden(answer, "was")
    table(page, "192.168.10.17", "web", seen, "192.168.10.20")
    kept = ready.translations.values_list("internal_address", "customer_address")
    assert sorted(kept) == [("10.1.255.92", "192.168.10.17"), ("10.1.255.93", "192.168.10.20")]


def test_a_row_somebody_else_changed_does_not_keep_a_page_that_shows_the_old_one_from_applying(
    ready, page, bob
):
    row = services.TranslationRow(*(ready.draft().translations[0].internal,), None)
    services.set_translations(ready, [row], bob)
    was = "10.1.255.92\t192.168.10.15\tdatabase"
    form = {"customer-10.1.255.92": "192.168.10.15", "name-10.1.255.92": "database"}

    assert page.post(url("apply", ready), form).status_code == 422
    assert page.post(url("apply", ready), {**form, "was": was}).status_code == 302


def test_a_row_that_is_wrong_in_itself_is_overtaken_at_the_next_attempt(ready, page, bob):
    rows = {"10.1.255.92": "192.168.10.16", "10.1.255.93": "192.168.10.17"}
    for at, customer in rows.items():
        row = services.TranslationRow(IPv4Address(at), IPv4Address(customer))
        services.set_translations(ready, [row], bob)
    form = {
        "customer-10.1.255.92": "192.168.10.18",
        "customer-10.1.255.93": "nonsense",
        "was": "10.1.255.92\t192.168.10.15\tdatabase",
    }

    answer = page.post(url("translations", ready), form, headers=HTMX)

    assert words(answer, "note-10.1.255.92").startswith("bob changed this to 192.168.10.16 at ")
    assert words(answer, "note-10.1.255.93").startswith("Enter an IPv4 address")
    assert hidden(answer, "was") == "10.1.255.92\t192.168.10.16\t"


def test_what_is_shown_is_never_older_than_the_version_that_stands_for_it(ready, bob):
    loaded_before = Tunnel.objects.get(pk=ready.pk)
    services.edit(ready, "phase_one_encryption", "AES256", bob)

    shown = state_context(loaded_before)

    assert shown["version"] == newest_edit(ready).isoformat()
    assert "AES256" in [change.after for change in shown["state"].pending]


def test_an_apply_of_what_was_not_reviewed_is_refused_and_the_review_is_shown_anew(
    ready, page, bobs_page
):
    reviewed = hidden(page.get(url("tunnel", ready)), "reviewed")
    send(bobs_page, ready, HTMX, "phase_one_encryption", "AES256", "3DES")

    answer = page.post(url("apply", ready), {"reviewed": reviewed}, headers=HTMX)

    assert answer.status_code == 409
    assert "bob changed this tunnel at " in words(answer, "problems")
    assert "AES256" in words(answer, "review")
    assert ready.latest() is None
    again = page.post(url("apply", ready), {"reviewed": hidden(answer, "reviewed")}, headers=HTMX)
    assert again.status_code == 200


def test_a_move_of_the_draft_is_told_before_it_is_applied(ready, page, bob, concentrator):
    reviewed = hidden(page.get(url("tunnel", ready)), "reviewed")
    other = Concentrator.objects.create(
        name="hou02-vpn02", datacenter=concentrator.datacenter, public_address="203.0.113.5"
    )
    AddressPool.objects.create(
        concentrator=other,
        kind=AddressPool.Kind.HOSTED_PEER,
        network=IPv4Network("203.0.113.32/28"),
    )
    services.move(ready, other, bob)

    answer = page.post(url("apply", ready), {"reviewed": reviewed}, headers=HTMX)

    assert answer.status_code == 409
    assert "bob changed Hosted Peer Address at " in words(poll(page, ready, reviewed), "others")


def poll(page, tunnel: Tunnel, since: str, seen: str = "old"):
    return page.get(url("state", tunnel), {"seen": seen, "since": since}, headers=HTMX)


def test_an_open_page_is_told_what_others_changed_and_its_fields_are_brought(
    ready, page, bobs_page, bob
):
    since = hidden(page.get(url("tunnel", ready)), "since")
    assert words(poll(page, ready, since), "others") == ""
    send(bobs_page, ready, HTMX, "phase_one_encryption", "AES256", "3DES")
    bobs_page.post(url("add-remote-subnet", ready), {"ip": "192.168.30.0", "cidr": "24"})
    bobs_page.post(url("edit", ready), {"fieldset": "general", "friendly_name": "Dallas"})

    answer = poll(page, ready, since)

    told = words(answer, "others")
    assert "bob changed Phase One Encryption at " in told
    assert "bob changed Protected Customer (Remote) Subnet at " in told
    brought = [e for e in read(answer).iter() if "data-theirs" in e.attrib]
    assert [e.get("id") for e in brought] == ["field-friendly_name", "field-phase_one_encryption"]
    assert typed(answer, "phase_one_encryption") == "AES256"
    assert hidden(answer, "initial-phase_one_encryption") == "AES256"
    assert words(answer, "note-phase_one_encryption").startswith("bob changed this to AES256 at ")
    assert words(poll(bobs_page, ready, since), "others") == ""


def test_a_poll_is_answered_when_somebody_edited_what_no_revision_has(ready, page, bob):
    token = read(page.get(url("state", ready), headers=HTMX)).find(".//section").get("hx-get")
    seen = token.partition("seen=")[2].partition("&")[0]
    assert poll(page, ready, "", seen).status_code == 204

    services.edit(ready, "friendly_name", "Dallas", bob)

    assert poll(page, ready, "", seen).status_code == 200


@pytest.mark.parametrize("text", ["yesterday", "2026-01-01", "'"])
def test_a_version_that_no_page_of_ours_has_is_a_bad_request(ready, page, text):
    assert poll(page, ready, text).status_code == 400
    assert page.post(url("discard", ready), {"seen": text}).status_code == 400
    assert page.post(url("apply", ready), {"reviewed": text}).status_code == 400


def test_while_a_configuration_is_applied_the_page_says_so_and_takes_nothing(ready, page, user):
    services.apply(ready, user)

    answer = page.get(url("tunnel", ready))

    (settings,) = [e for e in read(answer).iter("fieldset") if e.get("class") == "settings"]
    assert "disabled" in settings.attrib
    assert words(answer, "locked").startswith("Locked. Revision 1 is being applied.")
    Revision.objects.update(outcome="live")
    answer = page.get(url("tunnel", ready))
    (settings,) = [e for e in read(answer).iter("fieldset") if e.get("class") == "settings"]
    assert "disabled" not in settings.attrib
    assert words(answer, "locked") == words(poll(page, ready, ""), "locked") == ""


def test_the_poll_tells_an_open_page_of_the_lock_and_of_its_end(ready, page, user):
    services.apply(ready, user)
    assert words(poll(page, ready, ""), "locked").startswith("Locked.")

    Revision.objects.update(outcome="failed")

    assert part(poll(page, ready, ""), "locked").get("hx-swap-oob") == "true"
    assert words(poll(page, ready, ""), "locked") == ""


def test_a_viewer_is_not_told_of_a_lock_that_is_none_of_theirs(ready, viewer, user):
    services.apply(ready, user)
    subnet = Subnet.objects.get(network="10.1.255.92/30").pk

    answer = viewer.get(url("tunnel", ready), {"open": subnet})

    assert words(answer, "locked") == ""
