"""Two people edit one tunnel: neither overwrites what the other entered without having seen it."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from vpnportal import services
from vpnportal.models import LastEdit, Revision, Tunnel
from vpnportal.services import EditConflict, key_version_of, newest_edit

AT, BESIDE = IPv4Address("10.1.255.92"), IPv4Address("10.1.255.93")


def draft(tunnel: Tunnel) -> Tunnel:
    return Tunnel.objects.get(pk=tunnel.pk)


def row(customer: str | None, name: str = "", at: IPv4Address = AT) -> services.TranslationRow:
    return services.TranslationRow(at, IPv4Address(customer) if customer else None, name)


def test_the_second_to_save_a_field_is_told_who_changed_it_and_may_overwrite_it_then(
    ready, user, bob
):
    services.edit(ready, "phase_one_encryption", "AES256", bob, seen="3DES")

    with pytest.raises(EditConflict) as told:
        services.edit(ready, "phase_one_encryption", "AES128", user, seen="3DES")

    (problem,) = told.value.problems
    assert problem.field == "phase_one_encryption"
    assert problem.text.startswith("bob changed this to AES256 at ")
    assert draft(ready).phase_one_encryption == "AES256"
    services.edit(ready, "phase_one_encryption", "AES128", user, seen="AES256")
    assert draft(ready).phase_one_encryption == "AES128"


def test_both_may_save_the_same_value_and_a_program_that_did_not_look_overwrites(ready, user, bob):
    services.edit(ready, "phase_one_group", 14, bob, seen=2)
    services.edit(ready, "phase_one_group", 14, user, seen=2)
    services.edit(ready, "phase_one_group", 5, user)

    assert draft(ready).phase_one_group == 5
    assert LastEdit.objects.get(field="phase_one_group").author == user


def test_a_preshared_key_is_overtaken_by_its_version_and_neither_key_is_told(ready, user, bob):
    seen = key_version_of(ready)
    services.set_preshared_key(ready, "the key of bob", bob, seen)

    with pytest.raises(EditConflict) as told:
        services.set_preshared_key(ready, "the key of ada", user, seen)

    assert "the key of" not in str(told.value)
    assert str(told.value).startswith("bob changed this at ")
    services.set_preshared_key(ready, "the key of bob", user, seen)
    services.set_preshared_key(ready, "the key of ada", user, key_version_of(ready))
    assert draft(ready).draft().preshared_key == "the key of ada"


def test_a_row_of_the_table_is_overtaken_by_itself_and_one_not_touched_is_left_alone(
    ready, user, bob
):
    seen = {AT: row("192.168.10.15", "database"), BESIDE: row(None, at=BESIDE)}
    services.set_translations(ready, [row("192.168.10.16", "bob's")], bob, seen)

    services.set_translations(ready, [seen[AT], row("192.168.10.17", "ada's", BESIDE)], user, seen)
    with pytest.raises(EditConflict) as told:
        services.set_translations(ready, [row("192.168.10.18")], user, seen)

    (problem,) = told.value.problems
    assert problem.field == "translation 10.1.255.92"
    assert problem.text.startswith("bob changed this to 192.168.10.16 bob's at ")
    kept = {one.internal: str(one.customer) for one in draft(ready).draft().translations}
    assert kept == {AT: "192.168.10.16", BESIDE: "192.168.10.17"}


def test_an_apply_or_a_discard_of_what_somebody_else_changed_since_is_refused(ready, user, bob):
    services.apply(ready, user)
    Revision.objects.update(outcome="live")
    services.edit(ready, "phase_one_group", 14, user)
    seen = newest_edit(ready)
    services.edit(ready, "phase_two_group", 14, bob)

    for act in (
        lambda: services.apply(ready, user, seen=seen),
        lambda: services.discard(ready, user, seen),
        lambda: services.restore(ready, Revision.objects.get(), user, seen),
        lambda: services.revert_field(ready, "phase_two_group", user, seen),
    ):
        with pytest.raises(EditConflict, match="bob changed this tunnel at "):
            act()
    assert draft(ready).phase_two_group == 14
    # What bob did not touch may be put back, and one's own edits are no news.
    services.revert_field(ready, "phase_one_group", user, seen)
    assert draft(ready).phase_one_group == 2


def test_times_of_edits_only_grow_when_the_clock_is_set_back(ready, user, bob, monkeypatch):
    before = newest_edit(ready)
    monkeypatch.setattr(
        "vpnportal.services.edit_conflicts.timezone.now", lambda: before.replace(year=2020)
    )

    services.edit(ready, "phase_one_group", 14, bob)

    assert newest_edit(ready) > before
