"""Address translations of the legacy API: an id survives every change."""

from __future__ import annotations

import pytest

from vpnportal.domain.tunnel.spec import translation_field
from vpnportal.models import AddressTranslation, LastEdit

pytestmark = pytest.mark.django_db
FIRST, SECOND, THIRD = "10.1.255.92", "10.1.255.93", "10.1.255.94"
DATABASE, WEB = "192.168.10.15", "192.168.10.16"


def translations(tunnel) -> dict[int, tuple[str, str, str]]:
    rows = tunnel.translations.values_list("pk", "internal_address", "customer_address", "name")
    return {pk: tuple(values) for pk, *values in rows}


def edited_fields(tunnel) -> set[str]:
    return set(LastEdit.objects.filter(tunnel=tunnel).values_list("field", flat=True))


@pytest.fixture
def database(ready) -> int:
    """Return the id of the existing translation, and delete the records of edits."""
    LastEdit.objects.all().delete()
    return ready.translations.get().pk


@pytest.fixture
def web(ready, program, database) -> int:
    template = {"customerIpAddress": WEB, "internalIpAddress": SECOND, "notes": "web"}
    return program.call("createAddressTranslation", template, on=ready.pk)["id"]


def test_a_translation_is_created_as_slcli_sends_it(ready, program, database):
    template = {"customerIpAddress": WEB, "internalIpAddress": SECOND, "notes": None}

    created = program.call("createAddressTranslation", template, on=ready.pk, mask="mask[id,notes]")

    assert created == {"id": max(translations(ready)), "notes": ""}
    assert translations(ready)[created["id"]] == (SECOND, WEB, "")
    assert edited_fields(ready) == {translation_field(SECOND)}


def test_addresses_can_be_sent_as_ids(ready, program, database):
    ids = {"internalIpAddressId": 167903069, "customerIpAddressId": "-1062729200"}

    created = program.call("createAddressTranslation", {**ids, "notes": "web"}, on=ready.pk)

    assert translations(ready)[created["id"]] == (SECOND, WEB, "web")


@pytest.mark.parametrize(
    ("change", "row", "fields"),
    [
        ({"notes": "moved"}, (FIRST, DATABASE, "moved"), {FIRST}),
        ({"notes": ""}, (FIRST, DATABASE, ""), {FIRST}),
        ({"notes": None}, (FIRST, DATABASE, "database"), set()),
        ({"internalIpAddress": THIRD}, (THIRD, DATABASE, "database"), {FIRST, THIRD}),
        # slcli sends the string of the address it changes, and string and id of the other.
        (
            {"internalIpAddress": THIRD, "customerIpAddress": DATABASE, "customerIpAddressId": 7},
            (THIRD, DATABASE, "database"),
            {FIRST, THIRD},
        ),
        ({"internalIpAddress": "", "internalIpAddressId": 167903070}, (THIRD, DATABASE), {THIRD}),
        ({"internalIpAddress": "", "customerIpAddress": None}, (FIRST, DATABASE), set()),
        ({"customerIpAddress": WEB, "networkTunnelContextId": 4711}, (FIRST, WEB), {FIRST}),
    ],
)
def test_an_edit_changes_the_sent_properties_and_keeps_the_id(
    ready, program, database, change, row, fields
):
    edited = program.call("editAddressTranslation", {"id": str(database), **change}, on=ready.pk)

    assert edited["id"] == database
    assert list(translations(ready)) == [database]
    assert translations(ready)[database][: len(row)] == row
    assert {translation_field(address) for address in fields} <= edited_fields(ready)
    assert bool(edited_fields(ready)) == bool(fields)


def test_two_translations_can_exchange_their_addresses(ready, program, database, web):
    swap = [{"id": database, "internalIpAddress": SECOND}, {"id": web, "internalIpAddress": FIRST}]

    edited = program.call("editAddressTranslations", swap, on=ready.pk, mask="mask[id]")

    assert edited == [{"id": database}, {"id": web}]
    assert translations(ready) == {
        database: (SECOND, DATABASE, "database"),
        web: (FIRST, WEB, "web"),
    }


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ({"internalIpAddress": "10.9.9.9"}, "10.9.9.9 is in no static NAT subnet of this tunnel."),
        ({"customerIpAddress": "10.9.9.9"}, "10.9.9.9 is not a host address in the remote subnets"),
        ({"customerIpAddress": WEB}, f"{WEB} is the Customer IP for "),
        ({"internalIpAddress": SECOND}, f"{SECOND} already has a translation"),
        ({"notes": "[/x]"}, "notes: Enter one line of printable text without [ and ]"),
        ({"internalIpAddress": "here"}, "internalIpAddress: Enter an IPv4 address"),
        ({"internalIpAddress": 167903069}, "internalIpAddress: send a string."),
        ({"internalIpAddressId": 2**31}, "Unable to find object with id of '2147483648'."),
    ],
)
def test_one_invalid_edit_refuses_all_edits_of_the_call(
    ready, program, database, web, template, text
):
    before = translations(ready)
    valid_edit = {"id": web, "notes": "changed"}

    fault = program.fault(
        "editAddressTranslations", [valid_edit, {"id": database, **template}], on=ready.pk
    )

    assert fault.text.startswith(text)
    assert translations(ready) == before


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ({}, "internalIpAddress: send an address of a static NAT subnet"),
        ({"internalIpAddress": SECOND}, "customerIpAddress: send the address of a host"),
        (
            {"internalIpAddress": FIRST, "customerIpAddress": WEB},
            f"{FIRST} already has a translation",
        ),
        ([], "Send an object with the properties"),
        ("text", "Send an object with the properties"),
    ],
)
def test_one_invalid_translation_refuses_all_translations_of_the_call(
    ready, program, database, template, text
):
    valid = {"internalIpAddress": THIRD, "customerIpAddress": "192.168.10.20"}

    fault = program.fault("createAddressTranslations", [valid, template], on=ready.pk)

    assert fault.text.startswith(text)
    assert list(translations(ready)) == [database]


def test_the_same_translation_twice_in_a_call_is_refused(ready, program, database):
    twice = [{"id": database, "notes": "one"}, {"id": str(database), "notes": "other"}]

    fault = program.fault("editAddressTranslations", twice, on=ready.pk)

    assert fault.text == "id: send each translation once."
    assert translations(ready)[database][2] == "database"


def test_a_translation_can_be_deleted_once(ready, program, database):
    assert program.call("deleteAddressTranslation", str(database), on=ready.pk) is True

    assert not AddressTranslation.objects.exists()
    assert edited_fields(ready) == {translation_field(FIRST)}
    assert program.fault("deleteAddressTranslation", database, on=ready.pk).status == 404


def test_a_translation_of_another_tunnel_is_not_found(ready, second_tunnel, program, database):
    edit = {"id": database, "notes": "x"}

    for name, argument in (
        ("deleteAddressTranslation", database),
        ("editAddressTranslation", edit),
        ("editAddressTranslations", [edit]),
    ):
        fault = program.fault(name, argument, on=second_tunnel.pk)
        assert fault.text == f"Unable to find object with id of '{database}'."
    assert translations(ready)[database] == (FIRST, DATABASE, "database")
