"""Autosave: each field is saved alone, and never reverts a value that another page saved."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.form_data import ACCESS, MORE, PHASE_ONE
from tests.html import focused, part, read, typed, words
from vpnportal import services
from vpnportal.models import LastEdit, Subnet, Tunnel

WRONG = {
    "an octet of 999": ("remote_peer", "10.1.255.999"),
    "a loopback address": ("remote_peer", "127.0.0.1"),
    "a line break after the address": ("remote_peer", "203.0.113.2\n"),
    "NUL in the key": ("preshared_key", "se\0cret"),
    "a line break in the key": ("preshared_key", "secret\n"),
    "a line separator in the key": ("preshared_key", "se\u2028cret"),
    "a key of 256 bytes": ("preshared_key", "ü" * 128),
    "119 seconds": ("phase_one_keylife", "119"),
    "172801 seconds": ("phase_one_keylife", "172801"),
    "no seconds": ("phase_one_keylife", ""),
    "five thousand digits": ("phase_one_keylife", "9" * 5000),
    "other digits": ("phase_one_keylife", "\u0661\u0662\u0663\u0664"),
    "an unknown cipher": ("phase_one_encryption", "ROT13"),
    "an unknown group": ("phase_one_group", "3"),
    "an unknown version": ("ike_version", "3"),
    "an unknown initiation": ("starts", "neither"),
    "a DPD interval of 4 seconds": ("dpd_seconds", "4"),
    "a DPD interval of 3601 seconds": ("dpd_seconds", "3601"),
}


def autosave(page, tunnel: Tunnel, field: str, form: dict[str, str]):
    """Send the request of htmx after a field has changed."""
    headers = {"HX-Request": "true", "HX-Trigger-Name": field}
    return page.post(reverse("edit", args=[tunnel.pk]), form, headers=headers)


def columns(tunnel: Tunnel) -> dict[str, object]:
    return Tunnel.objects.filter(pk=tunnel.pk).values()[0]


def test_autosave_writes_the_column_of_the_field_an_event_and_the_digest_only(tunnel, page):
    form = {**PHASE_ONE, "phase_one_encryption": "AES256", "phase_one_keylife": "nonsense"}
    before = columns(tunnel)

    with CaptureQueriesContext(connection) as queries:
        response = autosave(page, tunnel, "phase_one_encryption", form)

    statements = [query["sql"] for query in queries]
    writes = [sql for sql in statements if sql.startswith(("UPDATE", "INSERT", "DELETE"))]
    assert response.status_code == 200
    assert [sql.split()[:3] for sql in writes] == [
        ["UPDATE", '"vpnportal_tunnel"', "SET"],
        ["INSERT", "INTO", '"vpnportal_lastedit"'],
        ["INSERT", "INTO", '"vpnportal_event"'],
        ["UPDATE", '"vpnportal_tunnel"', "SET"],
    ]
    edited = LastEdit.objects.values_list("field", "author__username")
    assert list(edited) == [("phase_one_encryption", "ada")]
    after = columns(tunnel)
    digest = after["draft_digest"]
    assert after == {**before, "phase_one_encryption": "AES256", "draft_digest": digest}
    assert words(response, "note-phase_one_encryption") == "Saved"
    assert words(response, "pending").startswith("17 pending changes.")


def test_two_open_pages_do_not_revert_each_other(tunnel, page):
    autosave(page, tunnel, "phase_one_keylife", {**PHASE_ONE, "phase_one_keylife": "7200"})
    autosave(page, tunnel, "phase_one_group", {**PHASE_ONE, "phase_one_group": "5"})
    page.post(reverse("edit", args=[tunnel.pk]), {**PHASE_ONE, "remote_peer": "203.0.113.2"})

    saved = columns(tunnel)
    assert saved["phase_one_keylife"] == 7200
    assert saved["phase_one_group"] == 5
    assert saved["remote_peer"] == "203.0.113.2"


@pytest.mark.parametrize(("field", "text"), WRONG.values(), ids=WRONG.keys())
def test_a_malformed_value_is_explained_and_not_saved(tunnel, page, field, text):
    before = columns(tunnel)

    form = MORE if field in MORE else PHASE_ONE
    response = autosave(page, tunnel, field, {**form, field: text})

    assert response.status_code == 422
    assert words(response, f"note-{field}").startswith(
        ("Enter ", "Choose ", "127.0.0.1 is reserved")
    )
    assert columns(tunnel) == before


@pytest.mark.parametrize(
    "name",
    ["two\nlines", "NUL\0", "trailing\n", "right\u202eleft", "[brackets]", "x" * 81],
    ids=repr,
)
def test_a_tunnel_name_is_one_line_of_printable_text(tunnel, page, name):
    response = autosave(
        page, tunnel, "friendly_name", {"fieldset": "general", "friendly_name": name}
    )

    assert response.status_code == 422
    assert Tunnel.objects.get().friendly_name == ""


@pytest.mark.parametrize("field", ["name", "account", "preshared_key_context", "sa_status"])
def test_only_fields_of_the_panel_can_be_edited(tunnel, page, field):
    before = columns(tunnel)

    assert autosave(page, tunnel, field, {**PHASE_ONE, field: "1"}).status_code == 400
    assert columns(tunnel) == before


def test_an_empty_key_field_keeps_the_key(tunnel, page, user):
    services.set_preshared_key(tunnel, "the key", user)

    autosave(page, tunnel, "preshared_key", PHASE_ONE)

    assert Tunnel.objects.get().draft().preshared_key == "the key"


def test_a_key_is_saved_exactly_as_typed(tunnel, page):
    response = autosave(page, tunnel, "preshared_key", {**PHASE_ONE, "preshared_key": " ü]} k "})

    assert words(response, "note-preshared_key") == "Saved"
    assert Tunnel.objects.get().draft().preshared_key == " ü]} k "


def test_without_javascript_all_changed_fields_are_saved_and_named(tunnel, page):
    form = {**PHASE_ONE, "phase_one_encryption": "AES256", "remote_peer": "203.0.113.2"}

    response = page.post(reverse("edit", args=[tunnel.pk]), form, follow=True)

    assert response.redirect_chain == [(f"/tunnels/{tunnel.pk}/#phase_one", 302)]
    assert words(response, "live") == "Saved: Remote Peer Address, Encryption."
    assert typed(response, "phase_one_encryption") == "AES256"
    assert typed(response, "remote_peer") == "203.0.113.2"


def test_without_javascript_typed_values_stay_and_every_error_is_explained(tunnel, page):
    wrong = {"remote_peer": "10.1.255.999", "phase_one_keylife": "119"}
    form = {**PHASE_ONE, **wrong, "phase_one_group": "5"}

    response = page.post(reverse("edit", args=[tunnel.pk]), form)

    assert response.status_code == 422
    assert {name: typed(response, name) for name in wrong} == wrong
    assert focused(response) == ["remote_peer"]
    assert words(response, "note-remote_peer").endswith(
        "Enter an IPv4 address such as 192.168.10.15."
    )
    assert (
        words(response, "note-phase_one_keylife") == "Enter a key life from 120 to 172800 seconds."
    )
    assert columns(tunnel)["phase_one_group"] == 5
    assert columns(tunnel)["phase_one_keylife"] == 14400


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("ike_version", "0", 0),
        ("starts", "other", "other"),
        ("dpd_seconds", "0", 0),
        ("dpd_seconds", "3600", 3600),
        ("one_child_per_pair", "on", True),
        ("translated_only", "on", True),
    ],
)
def test_every_further_option_is_saved(tunnel, page, field, text, value):
    before = columns(tunnel)

    form = ACCESS if field == "translated_only" else MORE
    response = autosave(page, tunnel, field, {**form, field: text})

    assert words(response, f"note-{field}") == "Saved"
    digest = columns(tunnel)["draft_digest"]
    assert columns(tunnel) == {**before, field: value, "draft_digest": digest}
    assert getattr(Tunnel.objects.get().draft(), field) == value


def test_an_unchecked_box_switches_perfect_forward_secrecy_off(tunnel, page):
    form = {"fieldset": "phase_two", "initial-phase_two_pfs": "True"}

    autosave(page, tunnel, "phase_two_pfs", form)

    assert Tunnel.objects.get().phase_two_pfs is False


@pytest.fixture
def applying(second_tunnel, user):
    """Return a tunnel with a queued revision."""
    services.apply(second_tunnel, user)
    return second_tunnel


def test_during_an_apply_every_change_is_refused_with_the_reason(applying, page):
    before = columns(applying)
    subnet = applying.subnets.get(network=IPv4Network("192.168.20.0/24")).pk
    hosted = applying.subnets.get(kind=Subnet.Kind.HOSTED).pk
    spare = Subnet.objects.create(
        account=applying.account, kind=Subnet.Kind.HOSTED, network=IPv4Network("10.5.0.0/24")
    )
    forms = {
        reverse("edit", args=[applying.pk]): {**PHASE_ONE, "phase_one_keylife": "7200"},
        reverse("add-remote-subnet", args=[applying.pk]): {"ip": "10.9.0.0", "cidr": "16"},
        reverse("remove-remote-subnet", args=[applying.pk, subnet]): {},
        reverse("attach-subnet", args=[applying.pk]): {"subnet": spare.pk},
        reverse("detach-subnet", args=[applying.pk, hosted]): {},
        reverse("generate-key", args=[applying.pk]): {},
        reverse("translations", args=[applying.pk]): {"customer-10.1.255.92": "192.168.20.15"},
        reverse("apply", args=[applying.pk]): {},
    }
    headers = {"HX-Request": "true", "HX-Trigger-Name": "phase_one_keylife"}

    for url, form in forms.items():
        plain, htmx = page.post(url, form), page.post(url, form, headers=headers)

        assert (plain.status_code, htmx.status_code) == (423, 423), url
        assert services.tunnel_lock.LOCKED.format(number=1) in " ".join(
            "".join(read(plain).itertext()).split()
        )
        assert services.tunnel_lock.LOCKED.format(number=1) in " ".join(
            "".join(read(htmx).itertext()).split()
        )
    assert columns(applying) == before
    assert applying.subnets.count() == 2


def test_a_value_typed_during_an_apply_stays_on_the_page(applying, page):
    form = {**PHASE_ONE, "phase_one_keylife": "7200"}

    response = page.post(reverse("edit", args=[applying.pk]), form)

    assert typed(response, "phase_one_keylife") == "7200"
    assert "refresh" not in [meta.get("http-equiv") for meta in read(response).iter("meta")]


def test_the_note_of_a_saved_field_carries_the_saved_value(tunnel, page):
    response = autosave(page, tunnel, "phase_one_group", {**PHASE_ONE, "phase_one_group": "5"})

    note = part(response, "note-phase_one_group")
    assert [(e.get("name"), e.get("value")) for e in note.iter("input")] == [
        ("initial-phase_one_group", "5")
    ]


def test_notes_keep_their_lines_and_an_unchanged_form_does_not_overwrite_them(tunnel, page):
    url = reverse("edit", args=[tunnel.pk])
    form = {"fieldset": "general", "initial-notes": "", "notes": "Rack 7 \r\n\r\nCall Bob first"}
    page.post(url, {**form, "friendly_name": "", "initial-friendly_name": ""})
    assert Tunnel.objects.get().notes == "Rack 7\n\nCall Bob first"

    whole = read(page.get(reverse("tunnel", args=[tunnel.pk])))
    typed = whole.find(".//textarea[@name='notes']").text.strip("\n").replace("\n", "\r\n")
    last_seen = whole.find(".//input[@name='initial-notes']").get("value").replace("\n", "\r\n")
    Tunnel.objects.update(notes="Text of another user")
    names = {"friendly_name": "Dallas", "initial-friendly_name": ""}
    page.post(url, {"fieldset": "general", "notes": typed, "initial-notes": last_seen, **names})

    saved = Tunnel.objects.get()
    assert (saved.friendly_name, saved.notes) == ("Dallas", "Text of another user")


@pytest.mark.parametrize("text", ["x" * 2001, "a\x00b", "a\x1b[2J"])
def test_malformed_notes_are_explained_and_stay_typed(tunnel, page, text):
    form = {"fieldset": "general", "initial-notes": "", "notes": text}

    response = page.post(reverse("edit", args=[tunnel.pk]), form)

    assert response.status_code == 422
    assert read(response).find(".//textarea[@name='notes']").text.strip("\n") == text
    assert Tunnel.objects.get().notes == ""
