"""Address translations through the retired API: each has an id that stays its own."""

from __future__ import annotations

import pytest

from vpnportal.domain.tunnel.spec import translation_field
from vpnportal.models import AddressTranslation, LastEdit

pytestmark = pytest.mark.django_db
FIRST, SECOND, THIRD = "10.1.255.92", "10.1.255.93", "10.1.255.94"
DATABASE, WEB = "192.168.10.15", "192.168.10.16"


def kept(tunnel) -> dict[int, tuple[str, str, str]]:
    rows = tunnel.translations.values_list("pk", "internal_address", "customer_address", "name")
    return {pk: tuple(values) for pk, *values in rows}


def edited(tunnel) -> set[str]:
    return set(LastEdit.objects.filter(tunnel=tunnel).values_list("field", flat=True))


@pytest.fixture
def database(ready) -> int:
    """The id of the translation that is there, and no edit is noted yet."""
    LastEdit.objects.all().delete()
    return ready.translations.get().pk


@pytest.fixture
def web(ready, program, database) -> int:
    template = {"customerIpAddress": WEB, "internalIpAddress": SECOND, "notes": "web"}
    return program.call("createAddressTranslation", template, on=ready.pk)["id"]


def test_a_translation_is_made_as_slcli_asks_for_it(ready, program, database):
    template = {"customerIpAddress": WEB, "internalIpAddress": SECOND, "notes": None}

    made = program.call("createAddressTranslation", template, on=ready.pk, mask="mask[id,notes]")

    assert made == {"id": max(kept(ready)), "notes": ""}
    assert kept(ready)[made["id"]] == (SECOND, WEB, "")
    assert edited(ready) == {translation_field(SECOND)}


def test_addresses_may_be_named_by_their_ids(ready, program, database):
    ids = {"internalIpAddressId": 167903069, "customerIpAddressId": "-1062729200"}

    made = program.call("createAddressTranslation", {**ids, "notes": "web"}, on=ready.pk)

    assert kept(ready)[made["id"]] == (SECOND, WEB, "web")


@pytest.mark.parametrize(
    ("change", "row", "fields"),
    [
        ({"notes": "moved"}, (FIRST, DATABASE, "moved"), {FIRST}),
        ({"notes": ""}, (FIRST, DATABASE, ""), {FIRST}),
        ({"notes": None}, (FIRST, DATABASE, "database"), set()),
        ({"internalIpAddress": THIRD}, (THIRD, DATABASE, "database"), {FIRST, THIRD}),
        # slcli sends the address of the side that it changes, and both of the other.
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
def test_an_edit_changes_what_it_names_and_keeps_the_id(
    ready, program, database, change, row, fields
):
    shown = program.call("editAddressTranslation", {"id": str(database), **change}, on=ready.pk)

    assert shown["id"] == database
    assert list(kept(ready)) == [database]
    assert kept(ready)[database][: len(row)] == row
    assert {translation_field(at) for at in fields} <= edited(ready)
    assert bool(edited(ready)) == bool(fields)


def test_two_translations_change_their_addresses_with_each_other(ready, program, database, web):
    swap = [{"id": database, "internalIpAddress": SECOND}, {"id": web, "internalIpAddress": FIRST}]

    shown = program.call("editAddressTranslations", swap, on=ready.pk, mask="mask[id]")

    assert shown == [{"id": database}, {"id": web}]
    assert kept(ready) == {
        database: (SECOND, DATABASE, "database"),
        web: (FIRST, WEB, "web"),
    }


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ({"internalIpAddress": "10.9.9.9"}, "10.9.9.9 is in no static NAT subnet of this tunnel."),
        ({"customerIpAddress": "10.9.9.9"}, "10.9.9.9 is not a host address in the remote subnets"),
        ({"customerIpAddress": WEB}, f"{WEB} is the Customer IP for "),
        ({"internalIpAddress": SECOND}, f"{SECOND} is translated already"),
        ({"notes": "[/x]"}, "notes: Enter one line of printable text without [ and ]"),
        ({"internalIpAddress": "here"}, "internalIpAddress: Enter an IPv4 address"),
        ({"internalIpAddress": 167903069}, "internalIpAddress: send a string."),
        ({"internalIpAddressId": 2**31}, "Unable to find object with id of '2147483648'."),
    ],
)
def test_a_wrong_edit_is_told_and_all_of_them_stay_as_they_were(
    ready, program, database, web, template, text
):
    before = kept(ready)
    good = {"id": web, "notes": "changed"}

    fault = program.fault(
        "editAddressTranslations", [good, {"id": database, **template}], on=ready.pk
    )

    assert fault.text.startswith(text)
    assert kept(ready) == before


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ({}, "internalIpAddress: send an address of a static NAT subnet"),
        ({"internalIpAddress": SECOND}, "customerIpAddress: send the address of a host"),
        ({"internalIpAddress": FIRST, "customerIpAddress": WEB}, f"{FIRST} is translated already"),
        ([], "Send an object with the properties"),
        ("text", "Send an object with the properties"),
    ],
)
def test_what_cannot_be_translated_is_told(ready, program, database, template, text):
    good = {"internalIpAddress": THIRD, "customerIpAddress": "192.168.10.20"}

    fault = program.fault("createAddressTranslations", [good, template], on=ready.pk)

    assert fault.text.startswith(text)
    assert list(kept(ready)) == [database]


def test_one_translation_twice_in_a_list_is_refused(ready, program, database):
    twice = [{"id": database, "notes": "one"}, {"id": str(database), "notes": "other"}]

    assert "once" in program.fault("editAddressTranslations", twice, on=ready.pk).text
    assert kept(ready)[database][2] == "database"


def test_a_translation_is_deleted_by_its_id_once(ready, program, database):
    assert program.call("deleteAddressTranslation", str(database), on=ready.pk) is True

    assert not AddressTranslation.objects.exists()
    assert edited(ready) == {translation_field(FIRST)}
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
    assert kept(ready)[database] == (FIRST, DATABASE, "database")
