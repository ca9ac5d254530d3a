"""`manage.py backup` and `restore`: an equal portal on another machine, or no change at all."""

from __future__ import annotations

import json
import sqlite3
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from tests.integration.conftest import connect_beside, empty_database, make_tunnel
from tests.integration.test_migrations import migrate
from vpnportal import encryption, services
from vpnportal.maintenance.mail import store_mail
from vpnportal.management.database_backup import creation, postgresql, restoration
from vpnportal.management.database_backup.archive import BackupError, read_archive, write_archive
from vpnportal.management.database_copy.tables import RowDigest, all_tables
from vpnportal.models import (
    Account,
    Concentrator,
    Event,
    HeldTunnel,
    Invitation,
    PeerProbe,
    Revision,
    TranslationImport,
    Tunnel,
    TunnelCommand,
)

pytestmark = pytest.mark.sqlite

CANARY = "canary-5be1-that-must-not-sing"
KEYS = ("session.key", "seal.key", "fingerprint.key")
Outcome = Revision.Outcome


@pytest.fixture
def portal(transactional_db, ready: Tunnel, second_tunnel: Tunnel, user: User, owner, client):
    """Return a portal with two applied tunnels, an undo, a signed-in user and open items."""
    services.set_preshared_key(ready, CANARY, user)
    for tunnel in (ready, second_tunnel):
        services.apply(tunnel, user)
    Revision.objects.update(outcome=Outcome.LIVE)
    services.edit(ready, "phase_one_group", 14, user)
    services.discard(ready, user)
    Group.objects.create(name="operators").permissions.add(
        Permission.objects.get(codename="change_addresspool")
    )
    client.force_login(user)
    return ready


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups"


@pytest.fixture
def file(portal, folder) -> Path:
    """Return a backup of the portal, whose database is empty afterwards."""
    backup(folder / "portal.tar")
    empty_database()
    return folder / "portal.tar"


def backup(file: Path, **options) -> tuple[str, str]:
    """Return the output of the command and its progress."""
    return run("backup", file, **options)


def restore(file: Path, **options) -> tuple[str, str]:
    return run("restore", file, **options)


def run(command: str, file: Path, **options) -> tuple[str, str]:
    out, progress = StringIO(), StringIO()
    call_command(command, str(file), stdout=out, stderr=progress, **options)
    return out.getvalue(), progress.getvalue()


def refusal(command, *args, status: int = 1, **options) -> str:
    with pytest.raises(CommandError) as refused:
        command(*args, **options)
    assert refused.value.returncode == status
    return str(refused.value)


def rows() -> dict[str, RowDigest]:
    """Return a digest of the rows of each table."""
    digests = {}
    for table in all_tables():
        digests[table.name] = RowDigest()
        for row in table.rows("default"):
            digests[table.name].add(row)
    return digests


def uncompressed(file: Path, folder: Path) -> bytes:
    """Return everything in a backup, without the compression of pg_dump."""
    dump = folder / "dump"
    with file.open("rb") as stream:
        manifest = read_archive(stream, dump)
    content = dump.read_bytes()
    if manifest.vendor == "postgresql":
        program = postgresql.program("pg_restore", 1)
        shown = subprocess.run([program, "--file=-", dump], capture_output=True, check=True)
        content += shown.stdout
    return manifest.as_json().encode() + content


def test_a_restored_portal_has_every_row_opens_every_seal_and_continues_the_numbers(portal, folder):
    before, highest = rows(), max(Account.objects.values_list("pk", flat=True))
    out, progress = backup(folder / "portal.tar")
    assert "Backed up" in out
    assert "Reading the database" in progress
    empty_database()

    out, progress = restore(folder / "portal.tar")

    after = rows()
    old, new = (digests.pop("vpnportal_concentrator") for digests in (before, after))
    assert (old.count, old == new) == (1, False)
    assert before.pop("django_session").count == 1
    assert after.pop("django_session").count == 0
    events = [digests.pop("vpnportal_event").count for digests in (before, after)]
    # The restore itself is an event.
    assert Event.objects.latest("pk").action == "portal.restored"
    assert events[1] == events[0] + 1
    assert after == before
    assert "Restored" in out
    assert "Decrypting" in progress
    tunnel = Tunnel.objects.get(pk=portal.pk)
    assert tunnel.draft().preshared_key == CANARY
    assert tunnel.draft_backup.spec().phase_one.group == 14
    assert [row.spec() for row in tunnel.revisions.all()] == [tunnel.draft()]
    held = Group.objects.get().permissions.get()
    assert (held.codename, held.content_type.model) == ("change_addresspool", "addresspool")
    # A gateway has files of tunnels and accounts that the backup does not know.
    assert Account.objects.create(name="a new one").pk > 1_000_000
    newest = make_tunnel(Account.objects.get(pk=highest), tunnel.concentrator, "ipsec003")
    assert newest.pk > 1_000_000


def made_at(file: Path, folder: Path) -> datetime:
    with file.open("rb") as stream:
        return datetime.fromisoformat(read_archive(stream, folder / "dump").created_at)


def test_each_restore_begins_a_new_epoch_of_each_gateway(portal, folder):
    other = Concentrator.objects.create(
        name="hou02-vpn02", datacenter=portal.concentrator.datacenter, public_address="203.0.113.5"
    )
    HeldTunnel.objects.create(concentrator=other, tunnel_id=7, kind="unknown", number=1)
    assert not Concentrator.objects.uncompared().exists()
    backup(folder / "portal.tar")
    epochs = set()
    for _ in range(2):
        empty_database()
        restore(folder / "portal.tar")
        rows = Concentrator.objects.uncompared()
        assert {row.restored_from for row in rows} == {made_at(folder / "portal.tar", folder)}
        epochs |= {row.epoch for row in rows}
    assert len(epochs) == 4
    assert not HeldTunnel.objects.exists()
    row = rows.first()
    Concentrator.objects.filter(pk=row.pk).update(compared_epoch=row.epoch)
    assert Concentrator.objects.uncompared().count() == 1


def test_a_program_gets_an_object_and_no_progress(portal, folder):
    out, progress = backup(folder / "portal.tar", json=True)
    made = json.loads(out)
    assert (made["vendor"], made["tables"]["vpnportal_tunnel"], progress) == (
        connection.vendor,
        2,
        "",
    )
    (newest,) = MigrationLoader(connection).graph.leaf_nodes("vpnportal")
    assert made["migrations"]["vpnportal"] == newest[1]
    empty_database()

    out, progress = restore(folder / "portal.tar", json=True)

    restored = json.loads(out)
    assert (restored["rows"], restored["created_at"]) == (made["rows"], made["created_at"])
    assert (restored["migrated"], restored["unreadable"], progress) == (False, [], "")


def test_items_that_may_have_been_used_after_the_backup_end(
    portal, owner, user, folder, monkeypatch
):
    token = services.invite(portal.account, "viewer", "", owner)
    TunnelCommand.objects.create(tunnel=portal, kind="reconnect", author=user)
    TranslationImport.objects.create(tunnel=portal, changes=[["10.1.255.93"]], total=5_000)
    PeerProbe.objects.create(tunnel=portal, author=user)
    mail = store_mail("anna@example.com", "Invitation", "a link")
    live = portal.revisions.get()
    live.trial_ends_at = timezone.now()
    live.save()
    # A backup that was made by another program may have sessions.
    monkeypatch.setattr(postgresql, "SESSIONS", "vpnportal_keyreveal")
    monkeypatch.setattr(creation.sqlite, "SESSIONS", "vpnportal_keyreveal")
    backup(folder / "portal.tar")
    empty_database()

    out, _ = restore(folder / "portal.tar", json=True)

    assert json.loads(out)["ended"] == {
        "sessions": 1,
        "invitations": 1,
        "tunnel_commands": 1,
        "peer_probes": 1,
        "trials": 1,
        "mails": 1,
        "imports": 1,
    }
    assert not Session.objects.exists()
    assert services.invitation_of(token) is None
    assert Invitation.objects.get().withdrawn_at
    assert not TunnelCommand.objects.filter(done_at=None).exists()
    assert PeerProbe.objects.get().state == PeerProbe.State.FAILED
    row = TranslationImport.objects.get()
    assert (row.state, row.changes) == ("failed", [])
    assert row.problems == ["Ended: the portal was restored from a backup."]
    mail.refresh_from_db()
    assert mail.next_try_at is None and not mail.text
    live.refresh_from_db()
    assert (live.outcome, live.trial_ends_at) == (Outcome.LIVE, None)
    assert "restored from a backup" in live.steps[-1]["text"]


def test_a_backup_has_no_secret_but_sealed_ones_and_no_session(
    portal, owner, folder, tmp_path, monkeypatch
):
    token = services.invite(portal.account, "viewer", "", owner)
    (session,) = Session.objects.all()
    connect = sqlite3.connect

    def connect_where_deleted_rows_stay(*args, **options):
        """Debian's library overwrites deleted rows; others leave them in the file."""
        database = connect(*args, **options)
        database.execute("PRAGMA secure_delete = OFF")
        return database

    monkeypatch.setattr(creation.sqlite.sqlite3, "connect", connect_where_deleted_rows_stay)

    shown = "".join(backup(folder / "portal.tar"))

    content = uncompressed(folder / "portal.tar", tmp_path)
    fresh = Tunnel.objects.get(pk=portal.pk)
    assert fresh.preshared_key.token.encode() in content
    keys = (creation.settings.KEYS / name for name in KEYS)
    for secret in (CANARY, token, session.session_key, *(key.read_text().strip() for key in keys)):
        assert secret.encode() not in content + shown.encode()


@pytest.mark.postgresql
def test_the_password_of_the_database_is_no_argument(portal, folder, tmp_path, monkeypatch):
    seen, real = tmp_path / "seen", postgresql.program("pg_dump", 1)
    script = tmp_path / "pg_dump"
    script.write_text(
        f'#!/bin/sh\necho "$@" >{seen}\necho "$PGPASSWORD" >{seen}.env\nexec {real} "$@"\n'
    )
    script.chmod(0o700)
    monkeypatch.setattr(postgresql, "program", lambda *_: str(script))
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "PASSWORD", CANARY)

    backup(folder / "portal.tar")

    assert CANARY not in seen.read_text()
    assert CANARY in Path(f"{seen}.env").read_text()
    connection.close()


def test_the_keys_go_to_a_private_file_in_another_folder_and_come_back(
    portal, folder, tmp_path, settings
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    text = refusal(backup, folder / "portal.tar", keys=folder / "keys.tar", status=2)
    assert "would open every secret" in text
    assert list(folder.iterdir()) == []
    before = {name: (settings.KEYS / name).read_bytes() for name in KEYS}

    backup(folder / "portal.tar", keys=elsewhere / "keys.tar")

    for made in (folder / "portal.tar", elsewhere / "keys.tar"):
        assert stat.S_IMODE(made.stat().st_mode) == 0o600
    empty_database()
    for name in KEYS:
        (settings.KEYS / name).unlink()
    encryption.forget_keys()
    assert "name their file with --keys" in refusal(restore, folder / "portal.tar")
    for names in (["keys/../../seal.key"], ["keys/seal.key", "keys/seal.key"], ["keys/huge"]):
        foreign = tmp_path / "foreign"
        with tarfile.open(foreign, "w") as archive:
            for name in names:
                member = tarfile.TarInfo(name.replace("huge", "seal.key"))
                member.size = 1 << 20 if "huge" in name else 0
                archive.addfile(member, BytesIO(bytes(member.size)))
        text = refusal(restore, folder / "portal.tar", keys=foreign)
        assert "more than the three key files" in text
    restore(folder / "portal.tar", keys=elsewhere / "keys.tar")
    assert {name: (settings.KEYS / name).read_bytes() for name in KEYS} == before
    assert {stat.S_IMODE((settings.KEYS / name).stat().st_mode) for name in KEYS} == {0o600}
    assert Tunnel.objects.get(pk=portal.pk).draft().preshared_key == CANARY


def test_an_existing_file_stays_unless_it_is_to_be_replaced(portal, folder):
    (folder / "portal.tar").write_text("an earlier backup")

    assert "--replace" in refusal(backup, folder / "portal.tar", status=2)
    assert (folder / "portal.tar").read_text() == "an earlier backup"
    backup(folder / "portal.tar", replace=True)
    with (folder / "portal.tar").open("rb") as stream:
        assert read_archive(stream, folder / "dump").rows["vpnportal_tunnel"] == 2


def test_a_failed_backup_leaves_no_file(portal, folder, monkeypatch):
    def fail(*_):
        raise BackupError("The disk is full.")

    monkeypatch.setattr(creation, "write_archive", fail)

    assert refusal(backup, folder / "portal.tar") == "The disk is full."
    assert list(folder.iterdir()) == []
    assert "make it first" in refusal(backup, folder / "missing" / "portal.tar", status=2)


def flipped(content: bytes) -> bytes:
    """Return the content with another bit in the middle of its dump."""
    at = len(content) * 2 // 3
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def changed(file: Path, **values) -> Path:
    """Write a backup with another manifest beside `file`."""
    dump = file.with_suffix(".dump")
    with file.open("rb") as stream:
        manifest = read_archive(stream, dump)
    other = file.with_suffix(".changed")
    with other.open("wb") as out:
        write_archive(out, replace(manifest, **values), dump)
    return other


def test_each_failed_check_of_a_restore_changes_nothing(file, folder, settings):
    file_of_newer = changed(file, version="9.1.0", migrations={"vpnportal": "9999_later"})
    assert "Install version 9.1.0 or newer" in refusal(restore, file_of_newer)
    other = "sqlite" if connection.vendor == "postgresql" else "postgresql"
    assert f"The backup is of {other}" in refusal(restore, changed(file, vendor=other))
    assert "1 rows of vpnportal_account, and its manifest says 7" in refusal(
        restore, changed(file, rows={"vpnportal_account": 7})
    )
    damaged = folder / "damaged"
    damaged.write_bytes(flipped(file.read_bytes()))
    assert "its SHA-256 differs" in refusal(restore, damaged)
    assert "cannot be used: No such file" in refusal(restore, folder / "missing")
    for name, words in (
        ("seal.key", "cannot be decrypted"),
        ("fingerprint.key", "negotiated again"),
    ):
        key = settings.KEYS / name
        right = key.read_text()
        key.write_text(encryption.new_key())
        encryption.forget_keys()
        assert words in refusal(restore, file)
        key.write_text(right)
        encryption.forget_keys()
    assert not Account.objects.exists()
    assert not Tunnel.objects.exists()

    restore(file)
    assert Tunnel.objects.count() == 2


def test_a_failure_after_loading_takes_back_rows_and_keys(
    file, folder, tmp_path, settings, monkeypatch
):
    (tmp_path / "elsewhere").mkdir()
    backup(folder / "empty.tar", keys=tmp_path / "elsewhere" / "keys.tar")
    for name in KEYS:
        (settings.KEYS / name).unlink()
    before = rows()

    def fail(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(restoration, "end_items", fail)
    with pytest.raises(KeyboardInterrupt):
        restore(file, keys=tmp_path / "elsewhere" / "keys.tar")

    assert rows() == before
    assert not any((settings.KEYS / name).exists() for name in KEYS)


def test_a_database_with_rows_is_refused_and_keeps_them(file):
    Account.objects.create(name="Another account")

    assert "is not empty: vpnportal_account has 1 row." in refusal(restore, file)
    assert Account.objects.get().name == "Another account"


def test_a_seal_that_was_damaged_before_the_backup_does_not_hinder_a_restore(portal, folder):
    Tunnel.objects.filter(pk=portal.pk).update(preshared_key="00000000:AAAA")
    backup(folder / "portal.tar")
    empty_database()

    out, _ = restore(folder / "portal.tar")

    assert f"tunnel {portal.pk} cannot be decrypted" in out


def test_a_backup_of_an_older_schema_is_migrated(portal, folder):
    try:
        migrate([("vpnportal", "0016_plain_names")])
        backup(folder / "portal.tar")
    finally:
        migrate([])
    empty_database()

    out, _ = restore(folder / "portal.tar")

    assert "have the schema of this version" in out
    call_command("migrate", check_unapplied=True, verbosity=0)
    assert Tunnel.objects.get(pk=portal.pk).draft().preshared_key == CANARY
    assert Permission.objects.filter(codename="change_networkgrant").count() == 1


@pytest.fixture
def later_tables(portal) -> Iterator[None]:
    """Let the database be that of a later version, which gave way to this one."""
    recorder = MigrationRecorder(connection)
    recorder.record_applied("vpnportal", "9999_later")
    execute("CREATE TABLE vpnportal_later (id integer PRIMARY KEY)")
    execute("INSERT INTO vpnportal_later VALUES (7)")
    execute("ALTER TABLE vpnportal_account ADD COLUMN later integer NOT NULL DEFAULT 3")
    execute("UPDATE vpnportal_account SET later = 5")
    yield
    execute("DROP TABLE vpnportal_later")
    execute("ALTER TABLE vpnportal_account DROP COLUMN later")
    recorder.record_unapplied("vpnportal", "9999_later")


def execute(statement: str) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if statement.startswith("SELECT") else []


def test_a_backup_after_the_way_back_has_what_the_later_version_added(later_tables, folder):
    backup(folder / "portal.tar")
    execute("DELETE FROM vpnportal_later")
    empty_database()

    restore(folder / "portal.tar")

    assert execute("SELECT id FROM vpnportal_later") == [(7,)]
    assert execute("SELECT DISTINCT later FROM vpnportal_account") == [(5,)]
    assert Tunnel.objects.count() == 2


@pytest.mark.postgresql
def test_a_process_of_the_portal_is_named_also_if_it_comes_during_the_restore(file, monkeypatch):
    with connect_beside(application_name="hou02-vpn01"):
        early = refusal(restore, file)
    come = []

    def end_items(alias):
        come.append(connect_beside(application_name="hou02-vpn02"))

    monkeypatch.setattr(restoration, "end_items", end_items)
    late = refusal(restore, file)
    come[0].close()

    assert "postgres (hou02-vpn01)" in early
    assert "postgres (hou02-vpn02)" in late
    assert "systemctl stop vpnportal.target" in late
    assert not Account.objects.exists()


def test_an_older_pg_dump_than_the_server_is_refused_with_the_package_to_install():
    with pytest.raises(BackupError, match=r"package postgresql-client-99\."):
        postgresql.program("pg_dump", 99)


def test_a_new_database_without_tables_is_filled(file):
    """The database of a new machine, before anything of the portal ran."""
    names = ", ".join(map(connection.ops.quote_name, creation.portal_tables(connection)))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"DROP TABLE {names}")
        else:
            cursor.execute("PRAGMA foreign_keys = OFF")
            for name in names.split(", "):
                cursor.execute(f"DROP TABLE {name}")
            cursor.execute("PRAGMA foreign_keys = ON")
    assert "run `manage.py migrate`" in refusal(backup, file.parent / "empty.tar")

    restore(file)

    assert Tunnel.objects.count() == 2
