"""Concurrent edits of a tunnel: no user overwrites a change that the user has not seen."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from vpnportal import services
from vpnportal.models import LastEdit, Revision, Tunnel
from vpnportal.services import EditConflict, key_version_of, newest_edit

pytestmark = pytest.mark.sqlite

FIRST, SECOND = IPv4Address("10.1.255.92"), IPv4Address("10.1.255.93")


def reloaded(tunnel: Tunnel) -> Tunnel:
    return Tunnel.objects.get(pk=tunnel.pk)


def row(customer: str | None, name: str = "", at: IPv4Address = FIRST) -> services.TranslationRow:
    return services.TranslationRow(at, IPv4Address(customer) if customer else None, name)


def test_a_conflict_names_the_other_editor_and_a_second_save_overwrites(ready, user, bob):
    services.edit(ready, "phase_one_encryption", "AES256", bob, seen="3DES")

    with pytest.raises(EditConflict) as conflict:
        services.edit(ready, "phase_one_encryption", "AES128", user, seen="3DES")

    (problem,) = conflict.value.problems
    assert problem.field == "phase_one_encryption"
    assert problem.text.startswith("bob changed this to AES256 at ")
    assert reloaded(ready).phase_one_encryption == "AES256"
    services.edit(ready, "phase_one_encryption", "AES128", user, seen="AES256")
    assert reloaded(ready).phase_one_encryption == "AES128"


def test_equal_values_do_not_conflict_and_an_edit_without_version_overwrites(ready, user, bob):
    services.edit(ready, "phase_one_group", 14, bob, seen=2)
    services.edit(ready, "phase_one_group", 14, user, seen=2)
    services.edit(ready, "phase_one_group", 5, user)

    assert reloaded(ready).phase_one_group == 5
    assert LastEdit.objects.get(field="phase_one_group").author == user


def test_a_conflict_of_preshared_keys_reveals_neither_key(ready, user, bob):
    seen = key_version_of(ready)
    services.set_preshared_key(ready, "the key of bob", bob, seen)

    with pytest.raises(EditConflict) as conflict:
        services.set_preshared_key(ready, "the key of ada", user, seen)

    assert "the key of" not in str(conflict.value)
    assert str(conflict.value).startswith("bob changed this at ")
    services.set_preshared_key(ready, "the key of bob", user, seen)
    services.set_preshared_key(ready, "the key of ada", user, key_version_of(ready))
    assert reloaded(ready).draft().preshared_key == "the key of ada"


def test_a_row_conflicts_only_with_itself_and_an_unchanged_row_is_no_edit(ready, user, bob):
    seen = {FIRST: row("192.168.10.15", "database"), SECOND: row(None, at=SECOND)}
    services.set_translations(ready, [row("192.168.10.16", "bob's")], bob, seen)

    services.set_translations(
        ready, [seen[FIRST], row("192.168.10.17", "ada's", SECOND)], user, seen
    )
    with pytest.raises(EditConflict) as conflict:
        services.set_translations(ready, [row("192.168.10.18")], user, seen)

    (problem,) = conflict.value.problems
    assert problem.field == "translation 10.1.255.92"
    assert problem.text.startswith("bob changed this to 192.168.10.16 bob's at ")
    translations = reloaded(ready).draft().translations
    assert {row.internal: str(row.customer) for row in translations} == {
        FIRST: "192.168.10.16",
        SECOND: "192.168.10.17",
    }


def test_an_apply_or_a_replacement_is_refused_after_an_edit_of_another_user(ready, user, bob):
    services.apply(ready, user)
    Revision.objects.update(outcome="live")
    services.edit(ready, "phase_one_group", 14, user)
    seen = newest_edit(ready)
    services.edit(ready, "phase_two_group", 14, bob)

    for operation in (
        lambda: services.apply(ready, user, seen=seen),
        lambda: services.discard(ready, user, seen),
        lambda: services.restore(ready, Revision.objects.get(), user, seen),
        lambda: services.revert_field(ready, "phase_two_group", user, seen),
    ):
        with pytest.raises(EditConflict, match="bob changed this tunnel at "):
            operation()
    assert reloaded(ready).phase_two_group == 14
    # Fields without an edit of bob may be reverted, and own edits are no conflict.
    services.revert_field(ready, "phase_one_group", user, seen)
    assert reloaded(ready).phase_one_group == 2


def test_edit_versions_grow_while_the_clock_is_set_back(ready, user, bob, monkeypatch):
    before = newest_edit(ready)
    monkeypatch.setattr(
        "vpnportal.services.edit_conflicts.timezone.now", lambda: before.replace(year=2020)
    )

    services.edit(ready, "phase_one_group", 14, bob)

    assert newest_edit(ready) > before
