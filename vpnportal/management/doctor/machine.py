"""Checks of any machine of an installation: clock, disks, backups, units of systemd."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from vpnportal.gateway.requirements.findings import Finding, at_risk, met, unmet
from vpnportal.management.doctor.broker import broker_client
from vpnportal.management.doctor.checks import unknown

CLOCK_WARNING_SECONDS, CLOCK_ERROR_SECONDS = 2, 30
DISK_WARNING_PERCENT, DISK_ERROR_PERCENT = 10, 3
# vpnportal-backup.service names a file after its day.
BACKUP_NAME, BACKUP_AGE = re.compile(r"\d{4}-\d\d-\d\d\.tar"), timedelta(days=2)
# Debian's folders: those of PostgreSQL's clusters, and of the journal.
POSTGRES_FOLDER, LOG_FOLDER = Path("/var/lib/postgresql"), Path("/var/log")
SYSTEMD = Path("/run/systemd/system")
COMMAND_SECONDS = 8
PORTAL_UNITS = (
    *(f"vpnportal-{unit}.service" for unit in ("upgrade", "web", "beat", "tasks")),
    *("vpnportal-enrolment.socket", "vpnportal-certificates.timer"),
)
GATEWAY_UNITS = tuple(f"vpnportal-{name}@{{}}.service" for name in ("worker", "monitor", "routes"))
CHARON_UNIT, CERTIFICATE_TIMER = "strongswan.service", "vpnportal-certificates.timer"
# CAP_NET_ADMIN is bit 12, CAP_NET_RAW is bit 13 (capabilities(7)).
NET_CAPABILITIES = 0x3000


def database_clock() -> Iterator[Finding]:
    """Check this machine's clock against that of the database server."""
    if connection.vendor != "postgresql":
        yield met("clock/database", "SQLite uses the clock of this machine.")
        return
    with connection.cursor() as cursor:
        # The first query also connects.
        cursor.execute("SELECT 1")
        before = datetime.now(UTC)
        cursor.execute("SELECT clock_timestamp()")
        (theirs,) = cursor.fetchone()
    yield _clock("database", theirs, before)


def broker_clock() -> Iterator[Finding]:
    """Check this machine's clock against that of the broker, which any user may read."""
    with broker_client() as client:
        before = datetime.now(UTC)
        microseconds: Any = client.info("server").get("server_time_usec")
    if microseconds is None:
        yield unknown("clock/broker", "this version of Redis does not tell its time.")
        return
    yield _clock("broker", datetime.fromtimestamp(int(microseconds) / 1e6, UTC), before)


def _clock(server: str, theirs: datetime, before: datetime) -> Finding:
    name, now = f"clock/{server}", datetime.now(UTC)
    difference = (before + (now - before) / 2 - theirs).total_seconds()
    direction = "ahead of" if difference > 0 else "behind"
    text = f"This clock is {abs(difference):.1f} s {direction} that of the {server}."
    advice = "Install chrony or systemd-timesyncd on both machines; `timedatectl` shows its state."
    if abs(difference) > CLOCK_ERROR_SECONDS:
        return unmet(name, text, advice)
    if abs(difference) > CLOCK_WARNING_SECONDS:
        return at_risk(name, text, advice)
    return met(name, text)


def portal_disks() -> Iterator[Finding]:
    """Check the file systems of the state, of a local database, and of the logs."""
    folders = [("state", settings.STATE), ("log", _log_folder())]
    if database := _database_folder():
        folders.append(("database", database))
    return _disks(folders)


def gateway_disks() -> Iterator[Finding]:
    """Check the file systems of a gateway's stored tunnels and of the logs."""
    return _disks([("state", settings.GATEWAY_STATE), ("log", _log_folder())])


def _log_folder() -> Path:
    own = settings.STATE / "log"
    return own if own.is_dir() else LOG_FOLDER


def _database_folder() -> Path | None:
    """Return the folder of a database on this machine, or None if it is on another."""
    database = settings.DATABASES["default"]
    if connection.vendor == "sqlite":
        return Path(str(database["NAME"])).parent
    host = str(database.get("HOST") or database.get("OPTIONS", {}).get("host") or "")
    own = settings.STATE / "postgresql"
    if own.is_dir():
        return own
    is_local = not host or host.startswith("/") or host in ("localhost", "127.0.0.1", "::1")
    return POSTGRES_FOLDER if is_local else None


def _disks(folders: Iterable[tuple[str, Path]]) -> Iterator[Finding]:
    for use, folder in folders:
        # The folder may not exist before the first file is written.
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        yield _disk(f"disk/{use}", existing)


def _disk(name: str, folder: Path) -> Finding:
    status = os.statvfs(folder)
    # A file system without a table of inodes has 0 of 0.
    space = 100 * status.f_bavail / max(status.f_blocks, 1)
    inodes = 100 * status.f_favail / status.f_files if status.f_files else 100
    gigabytes = status.f_bavail * status.f_frsize / 1e9
    text = f"{folder} has {space:.0f} % ({gigabytes:.1f} GB) and {inodes:.0f} % of inodes free."
    advice = f"Find what fills it (du -x {folder} | sort -n), and remove it or enlarge the disk."
    if min(space, inodes) < DISK_ERROR_PERCENT:
        return unmet(name, text, advice)
    return (
        at_risk(name, text, advice)
        if min(space, inodes) < DISK_WARNING_PERCENT
        else met(name, text)
    )


def backup() -> Iterator[Finding]:
    """Check the age of the newest backup. Its content is not read."""
    folder, advice = settings.BACKUPS, "Make one: see Backups in docs/operations.md."
    try:
        with os.scandir(folder) as entries:
            files = [(_modified(entry), entry.name) for entry in entries if _is_backup(entry)]
    except FileNotFoundError:
        files = []
    except OSError as error:
        yield unknown("backup", f"{folder} cannot be read: {error.strerror}.")
        return
    if not files:
        yield at_risk("backup", f"There is no backup in {folder}.", advice)
        return
    modified, name = max(files)
    hours = (time.time() - modified) / 3600
    text = f"The newest is {name}, {hours:.0f} hours old."
    is_old = hours > BACKUP_AGE.total_seconds() / 3600
    yield at_risk("backup", text, advice) if is_old else met("backup", text)


def _is_backup(entry: os.DirEntry[str]) -> bool:
    return bool(BACKUP_NAME.fullmatch(entry.name)) and entry.is_file(follow_symlinks=False)


def _modified(entry: os.DirEntry[str]) -> float:
    return entry.stat(follow_symlinks=False).st_mtime


def portal_units() -> Iterator[Finding]:
    """Check that the services of a portal are active."""
    return _units(PORTAL_UNITS)


def gateway_units() -> Iterator[Finding]:
    """Check that the services of a gateway are active, and their capabilities."""
    own = [unit.format(settings.CONCENTRATOR) for unit in GATEWAY_UNITS]
    return _units([*own, CERTIFICATE_TIMER, CHARON_UNIT], with_capabilities=own)


def _units(units: Sequence[str], with_capabilities: Sequence[str] = ()) -> Iterator[Finding]:
    if not SYSTEMD.is_dir():
        yield unknown("units", "this machine is not run by systemd.", "Look at the processes.")
        return
    for unit in units:
        yield _unit(unit, needs_capabilities=unit in with_capabilities)


def _unit(unit: str, *, needs_capabilities: bool) -> Finding:
    name = f"units/{unit.removesuffix('.service')}"
    show = ("systemctl", "show", "--property=LoadState,ActiveState,MainPID", unit)
    shown = subprocess.run(show, capture_output=True, text=True, timeout=COMMAND_SECONDS)
    if shown.returncode:
        return unknown(name, f"systemctl does not answer: {shown.stderr.strip()}")
    values = dict(re.findall(r"^(\w+)=(.*)$", shown.stdout, re.MULTILINE))
    if values.get("LoadState") == "not-found":
        return unknown(name, "systemd has no such unit here.", "Install the package that has it.")
    state = values.get("ActiveState", "")
    if state != "active":
        advice = f"systemctl enable --now {unit}; journalctl -u {unit} has the reason."
        return unmet(name, f"It is {state or 'in no state'}.", advice)
    if needs_capabilities and (text := _wrong_capabilities(values.get("MainPID", ""))):
        return unmet(name, text, f"Remove changes below /etc/systemd/system/{unit}.d.")
    return met(name, "It is active.")


def _wrong_capabilities(pid: str) -> str:
    """Return which capabilities of a process are not those that a gateway needs, or ""."""
    try:
        status = Path("/proc", pid, "status").read_text()
    except OSError:
        return ""
    sets = dict(re.findall(r"^Cap(\w+):\t([0-9a-f]+)$", status, re.MULTILINE))
    effective, bounding = int(sets.get("Eff", "0"), 16), int(sets.get("Bnd", "0"), 16)
    if effective & NET_CAPABILITIES != NET_CAPABILITIES:
        return "Its process lacks CAP_NET_ADMIN or CAP_NET_RAW."
    if (effective | bounding) & ~NET_CAPABILITIES:
        return "Its process has more capabilities than CAP_NET_ADMIN and CAP_NET_RAW."
    return ""
