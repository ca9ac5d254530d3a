"""Encryption of preshared keys at rest, bound to the row of each key."""

from __future__ import annotations

import gc
import logging
import os
import stat
from collections.abc import Iterator
from types import FunctionType, ModuleType

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection

from vpnportal import encryption, services
from vpnportal.fields import Sealed
from vpnportal.models import Account, Revision, Tunnel
from vpnportal.reconciler import reconcile
from vpnportal.reconciler.revision_cache import revisions as revision_cache

CANARY = "canary-7f3a-that-must-not-sing"


def database_rows() -> Iterator[str]:
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        for table in tables:
            cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608
            yield from (str(row) for row in cursor.fetchall())


def test_the_database_has_no_preshared_key_in_plain_text(second_tunnel, user):
    services.set_preshared_key(second_tunnel, CANARY, user)
    services.apply(second_tunnel, user)

    assert CANARY not in "".join(database_rows())
    assert Revision.objects.get().spec().preshared_key == CANARY


def test_two_encryptions_of_a_key_differ(settings):
    assert encryption.seal(CANARY, "here") != encryption.seal(CANARY, "here")


def test_a_token_of_another_row_does_not_decrypt(tunnel, second_tunnel, user):
    services.set_preshared_key(second_tunnel, CANARY, user)
    Tunnel.objects.filter(pk=tunnel.pk).update(preshared_key=second_tunnel.preshared_key)

    with pytest.raises(encryption.CannotOpen):
        Tunnel.objects.get(pk=tunnel.pk).draft()


def test_a_changed_token_does_not_decrypt(settings):
    token = encryption.seal(CANARY, "here")
    key_id, body = token.split(":")
    flipped = f"{key_id}:{body[:-6]}{'A' if body[-6] != 'A' else 'B'}{body[-5:]}"

    with pytest.raises(encryption.CannotOpen):
        encryption.unseal(flipped, "here")


def test_after_a_rotation_the_new_key_encrypts_and_the_old_key_still_decrypts(settings):
    old = encryption.seal(CANARY, "here")
    file = settings.SEAL_KEY_FILE
    file.write_text(encryption.new_key() + "\n" + file.read_text())
    encryption.forget_keys()

    assert encryption.unseal(old, "here") == CANARY
    assert encryption.seal(CANARY, "here").partition(":")[0] != old.partition(":")[0]


def test_key_files_are_private_and_created_once(settings):
    before = settings.SEAL_KEY_FILE.read_text()

    call_command("keys")

    assert settings.SEAL_KEY_FILE.read_text() == before
    modes = {stat.S_IMODE(file.stat().st_mode) for file in settings.KEYS.iterdir()}
    # The group of root's files reads them.
    assert modes <= {0o600, 0o640}


@pytest.mark.parametrize("make", [os.mkfifo, lambda file: file.symlink_to("/etc/hostname")])
def test_root_does_not_take_over_a_link_or_a_pipe_as_a_key(settings, monkeypatch, make):
    """In the folder of an older version, the portal's user could put them there."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    settings.SEAL_KEY_FILE.unlink()
    make(settings.SEAL_KEY_FILE)

    with pytest.raises(CommandError, match=r"seal\.key"):
        call_command("keys")


def test_without_a_key_file_the_error_names_the_command(settings):
    settings.SEAL_KEY_FILE.unlink()
    encryption.forget_keys()

    with pytest.raises(ImproperlyConfigured, match=r"run `manage.py keys` once"):
        encryption.seal(CANARY, "here")


def test_the_representation_of_a_secret_shows_nothing():
    assert f"{Sealed.of(CANARY, 'here')} {Sealed.of(CANARY, 'here')!r}" == "<sealed> <sealed>"


def test_neither_an_apply_nor_its_refusal_logs_a_key(second_tunnel, user, caplog):
    caplog.set_level(logging.DEBUG)
    services.set_preshared_key(second_tunnel, CANARY, user)
    services.edit(second_tunnel, "phase_one_group", 0, user)

    with pytest.raises(services.Refused) as refusal:
        services.apply(second_tunnel, user)

    assert CANARY not in caplog.text + str(refusal.value)


def test_the_revision_cache_keeps_no_key_after_a_restored_connection(second_tunnel, user, gateway):
    services.set_preshared_key(second_tunnel, CANARY, user)
    services.apply(second_tunnel, user)
    reconcile.converge(second_tunnel.concentrator_id)
    # The worker reads the revision again to restore the connection, then drops the key.
    gateway.connections, gateway.secrets = {}, {}
    reconcile.converge(second_tunnel.concentrator_id)

    cached = texts_of(vars(revision_cache))
    assert f"ctx{second_tunnel.pk}" in cached
    assert [text for text in cached if CANARY in text] == []


def texts_of(root: object) -> set[str]:
    """Return every text that is reachable from `root` through values, but not through code."""
    visited, texts, pending = set(), set(), [root]
    while pending:
        value = pending.pop()
        if id(value) in visited or isinstance(value, (type, ModuleType, FunctionType)):
            continue
        visited.add(id(value))
        if isinstance(value, str):
            texts.add(value)
        pending += gc.get_referents(value)
    return texts


def test_the_first_user_gets_a_random_password_that_a_second_call_keeps(db, tmp_path):
    file = tmp_path / "password"

    call_command("firsttime", password_file=file)
    call_command("firsttime", password_file=tmp_path / "other")

    assert User.objects.get().check_password(file.read_text().strip())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (Account.objects.count(), (tmp_path / "other").exists()) == (1, False)
