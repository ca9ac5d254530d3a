"""`manage.py copy`: a PostgreSQL database becomes an equal of an SQLite file, or says why not."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db import connection

from tests.key_folder import use_keys
from vpnportal import encryption
from vpnportal.management.database_copy import copying, tables
from vpnportal.models import Account, Revision, Subnet, Tunnel

MAKE = """
import django
django.setup()
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from vpnportal import services
from vpnportal.models import Account, Revision, Tunnel
call_command("keys")
call_command("migrate", verbosity=0)
call_command("firsttime", password_file=Path("password"), concentrators=["hou02-vpn01"])
tunnel, user = Tunnel.objects.get(), User.objects.get()
operators = Group.objects.create(name="operators")
operators.permissions.add(Permission.objects.get(codename="change_addresspool"))
services.edit(tunnel, "remote_peer", "203.0.113.2", user)
services.set_preshared_key(tunnel, "a key", user)
services.add_remote_subnet(tunnel, IPv4Network("192.168.10.0/24"), user)
row = services.TranslationRow(IPv4Address("10.1.255.92"), IPv4Address("192.168.10.15"), "Größe")
services.set_translations(tunnel, [row], user)
services.apply(tunnel, user)
Revision.objects.update(outcome="live", steps=[{"text": "x", "at": "2026", "ok": True}])
services.edit(tunnel, "phase_one_group", 14, user)
services.discard(tunnel, user)
Account.objects.bulk_create(Account(name=f"account {n}") for n in range(50))
"""


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """Return the folder of an installation on SQLite with a tunnel: its database and its keys."""
    folder = tmp_path_factory.mktemp("original")
    others = {name: value for name, value in os.environ.items() if "VPNPORTAL" not in name}
    environment = others | {
        "DJANGO_SETTINGS_MODULE": "vpnportal.settings",
        "VPNPORTAL_DATABASE": str(folder / "portal.sqlite3"),
        "VPNPORTAL_STATE": str(folder),
        "PYTHONPATH": str(Path.cwd()),
    }
    subprocess.run(
        [sys.executable, "-c", MAKE], env=environment, cwd=folder, check=True, capture_output=True
    )
    return folder


@pytest.fixture
def file(original, tmp_path, settings) -> Path:
    """Return a database on SQLite, whose keys are those of the test."""
    if connection.vendor == "sqlite":
        pytest.skip("A copy goes to PostgreSQL")
    use_keys(settings, shutil.copytree(original / "keys", tmp_path / "keys"))
    return shutil.copyfile(original / "portal.sqlite3", tmp_path / "portal.sqlite3")


@pytest.fixture
def empty(transactional_db) -> None:
    """Leave the database as `migrate` makes it."""


def copy(file: Path, **options: bool) -> tuple[str, str]:
    """Return what the command prints and its progress."""
    out, progress = StringIO(), StringIO()
    call_command("copy", file=file, stdout=out, stderr=progress, **options)
    return out.getvalue(), progress.getvalue()


def refusal(file: Path) -> str:
    with pytest.raises(CommandError) as refused:
        copy(file)
    return str(refused.value)


def change(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(statement)


def test_the_copy_has_every_row_opens_every_seal_and_continues_the_numbers(file, empty):
    out, progress = copy(file)

    tunnel = Tunnel.objects.get()
    assert "All rows are equal" in out
    assert "3 sealed values were decrypted" in out
    assert "vpnportal_account: 51 of 51 rows" in progress
    assert tunnel.draft().preshared_key == "a key"
    assert tunnel.draft().translations[0].name == "Größe"
    assert tunnel.revisions.get().spec() == tunnel.draft()
    # A permission refers to a content type, whose id `migrate` chose.
    held = Group.objects.get().permissions.get()
    assert (held.codename, held.content_type.model) == ("change_addresspool", "addresspool")
    highest = max(Account.objects.values_list("pk", flat=True))
    assert Account.objects.create(name="a new one").pk == highest + 1
    assert "vpnportal_unfinished_copy" not in connection.introspection.table_names()


def test_an_interrupted_copy_goes_on_where_it_stopped(file, empty, monkeypatch):
    write = tables.Table.write

    def write_first(table, rows, alias):
        if table.model is Account and table.objects(alias).exists():
            raise KeyboardInterrupt
        write(table, rows, alias)

    monkeypatch.setattr(copying, "ROWS_PER_WRITE", 20)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tables.Table, "write", write_first)
        copy(file)
    assert Account.objects.count() == 20

    _, progress = copy(file)

    assert "vpnportal_account: 20 of 51 rows" not in progress
    assert "vpnportal_account: 40 of 51 rows" in progress
    assert Account.objects.count() == 51


def test_a_part_of_another_copy_is_not_continued(file, empty, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tables.Table, "write", fail)
        copy(file)
    change(file, "UPDATE vpnportal_account SET name = 'renamed' WHERE id = 1")

    assert "has a part of another copy, or" in refusal(file)
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE vpnportal_unfinished_copy")


def test_a_target_with_rows_is_refused_and_keeps_them(file, empty):
    Account.objects.create(name="Another account")

    assert "is not empty: vpnportal_account has 1 row." in refusal(file)
    assert Account.objects.get().name == "Another account"


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "DELETE FROM django_migrations WHERE name = '0019_ended_claims'",
            "has an older schema: it lacks the migration vpnportal.0019_ended_claims.",
        ),
        (
            "INSERT INTO django_migrations (app, name, applied) VALUES ('vpnportal', '9999_x', 0)",
            "has a newer schema: this version does not know the migration vpnportal.9999_x.",
        ),
    ],
)
def test_a_source_of_another_schema_is_refused(file, empty, statement, words):
    change(file, statement)

    assert words in refusal(file)
    assert not Account.objects.exists()


def test_a_file_that_is_missing_or_no_database_is_refused(empty, tmp_path):
    if connection.vendor == "sqlite":
        assert "Set VPNPORTAL_DATABASE_URL" in refusal(tmp_path / "portal.sqlite3")
        return
    assert "There is no file" in refusal(tmp_path / "portal.sqlite3")
    (tmp_path / "text").write_text("no database" * 99)
    assert "cannot be read as an SQLite file" in refusal(tmp_path / "text")


def test_a_lost_key_is_noticed_before_the_copy_and_can_be_allowed(file, empty, settings):
    settings.SEAL_KEY_FILE.write_text(encryption.new_key())
    encryption.forget_keys()

    assert "3 sealed values, such as tunnel 1," in refusal(file)
    assert not Account.objects.exists()
    out, _ = copy(file, allow_unreadable=True)
    assert "0 sealed values were decrypted" in out
    assert Revision.objects.exists()


def test_a_row_that_differs_is_noticed(file, empty, monkeypatch):
    set_sequences = copying._set_sequences

    def damage(all_tables):
        set_sequences(all_tables)
        Subnet.objects.filter(kind="customer").update(name="changed")

    monkeypatch.setattr(copying, "_set_sequences", damage)

    assert "The rows of vpnportal_subnet differ" in refusal(file)
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE vpnportal_unfinished_copy")
