"""A preshared key is sealed at rest, and what was sealed for one row opens nowhere else."""

from __future__ import annotations

import gc
import logging
import stat
from types import FunctionType, ModuleType

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection

from vpnportal import encryption, services
from vpnportal.fields import Sealed
from vpnportal.models import Account, Revision, Tunnel
from vpnportal.reconciler import reconcile
from vpnportal.reconciler.revision_cache import revisions as revision_cache

CANARY = "canary-7f3a-that-must-not-sing"


def everything_in_the_database() -> str:
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        for table in tables:
            cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608
            yield from (str(row) for row in cursor.fetchall())


def test_a_key_is_nowhere_in_the_database_and_its_revision(second_tunnel, user):
    services.set_preshared_key(second_tunnel, CANARY, user)
    services.apply(second_tunnel, user)

    assert CANARY not in "".join(everything_in_the_database())
    assert Revision.objects.get().spec().preshared_key == CANARY


def test_a_key_sealed_twice_never_looks_the_same(settings):
    assert encryption.seal(CANARY, "here") != encryption.seal(CANARY, "here")


def test_a_seal_moved_to_another_row_does_not_open(tunnel, second_tunnel, user):
    services.set_preshared_key(second_tunnel, CANARY, user)
    Tunnel.objects.filter(pk=tunnel.pk).update(preshared_key=second_tunnel.preshared_key)

    with pytest.raises(encryption.CannotOpen):
        Tunnel.objects.get(pk=tunnel.pk).draft()


def test_a_flipped_bit_does_not_open(settings):
    token = encryption.seal(CANARY, "here")
    key_id, body = token.split(":")
    flipped = f"{key_id}:{body[:-6]}{'A' if body[-6] != 'A' else 'B'}{body[-5:]}"

    with pytest.raises(encryption.CannotOpen):
        encryption.unseal(flipped, "here")


def test_a_new_first_key_seals_and_the_old_one_still_opens(settings):
    old = encryption.seal(CANARY, "here")
    file = settings.SEAL_KEY_FILE
    file.write_text(encryption.new_key() + "\n" + file.read_text())
    encryption._keys.cache_clear()

    assert encryption.unseal(old, "here") == CANARY
    assert encryption.seal(CANARY, "here").partition(":")[0] != old.partition(":")[0]


def test_key_files_are_their_owners_and_are_made_once(settings):
    before = settings.SEAL_KEY_FILE.read_text()

    call_command("keys")

    assert settings.SEAL_KEY_FILE.read_text() == before
    assert {stat.S_IMODE(file.stat().st_mode) for file in settings.KEYS.iterdir()} == {0o600}


def test_without_a_key_file_the_sentence_says_what_to_do(settings):
    settings.SEAL_KEY_FILE.unlink()
    encryption._keys.cache_clear()

    with pytest.raises(ImproperlyConfigured, match=r"run `manage.py keys` once"):
        encryption.seal(CANARY, "here")


def test_what_is_sealed_shows_nothing_when_printed():
    assert f"{Sealed.of(CANARY, 'here')} {Sealed.of(CANARY, 'here')!r}" == "<sealed> <sealed>"


def test_applying_and_failing_log_no_key(second_tunnel, user, caplog):
    caplog.set_level(logging.DEBUG)
    services.set_preshared_key(second_tunnel, CANARY, user)
    services.edit(second_tunnel, "phase_one_group", 0, user)

    with pytest.raises(services.Refused) as refusal:
        services.apply(second_tunnel, user)

    assert CANARY not in caplog.text + str(refusal.value)


def test_a_worker_remembers_no_key_when_what_was_lost_is_loaded_again(second_tunnel, user, gateway):
    services.set_preshared_key(second_tunnel, CANARY, user)
    services.apply(second_tunnel, user)
    reconcile.converge(second_tunnel.concentrator_id)
    # What was loaded is read again from its revision, and then let go.
    gateway.connections, gateway.secrets = {}, {}
    reconcile.converge(second_tunnel.concentrator_id)

    remembered = texts_of(vars(revision_cache))
    assert f"ctx{second_tunnel.pk}" in remembered
    assert [text for text in remembered if CANARY in text] == []


def texts_of(root: object) -> set[str]:
    """Every text that is reached from there through values, but not through code."""
    seen, found, waiting = set(), set(), [root]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, (type, ModuleType, FunctionType)):
            continue
        seen.add(id(one))
        if isinstance(one, str):
            found.add(one)
        waiting += gc.get_referents(one)
    return found


def test_the_first_user_has_a_password_of_its_own_and_no_second_call_changes_it(db, tmp_path):
    file = tmp_path / "password"

    call_command("firsttime", password_file=file)
    call_command("firsttime", password_file=tmp_path / "other")

    assert User.objects.get().check_password(file.read_text().strip())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (Account.objects.count(), (tmp_path / "other").exists()) == (1, False)
