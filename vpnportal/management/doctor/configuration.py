"""Checks of settings, key files, and the rights of files with secrets."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core import checks as django_checks
from django.core.exceptions import ImproperlyConfigured

from vpnportal.encryption import key_ids
from vpnportal.gateway.requirements.findings import Finding, at_risk, met, unmet
from vpnportal.management.doctor.checks import unknown
from vpnportal.management.doctor.envelopes import surplus_keys

# The folder of the packages. Only root reads its keys and the files with passwords.
CONFIGURATION = Path("/etc/vpnportal")
PASSWORD_FILES = ("portal.env", "gateway.env")
# Rights to write for the group, and any right for all others.
TOO_MANY, ANY_OTHER = 0o027, 0o077


def portal_settings() -> Iterator[Finding]:
    """Check the settings as Django's `check --deploy` does."""
    messages = django_checks.run_checks(include_deployment_checks=True)
    for message in messages:
        if message.is_silenced():
            continue
        text = " ".join(message.msg.split())
        hint = message.hint or f"See {message.id} in Django's reference of system checks."
        make = unmet if message.level >= django_checks.ERROR else at_risk
        yield make(f"settings/{message.id}", text, " ".join(hint.split()))
    if not messages:
        yield met("settings", "Django's checks for deployment find nothing.")


def portal_keys() -> Iterator[Finding]:
    """Check the three key files of a portal, and the files with passwords."""
    yield _session_key()
    for file in (settings.SEAL_KEY_FILE, settings.FINGERPRINT_KEY_FILE):
        restore = f"Restore {file.name} from the backup of the keys. A new key opens nothing."
        yield _key_file(file, restore)
    yield _folder_of_keys()
    yield from _package_files()


def gateway_keys() -> Iterator[Finding]:
    """Check the two key files of a gateway, and the files with passwords."""
    make = "Run `vpnportal keys`, and then on the portal what it prints."
    yield _key_file(settings.GATEWAY_KEY_FILE, make)
    name = settings.CONCENTRATOR or "NAME"
    bring = (
        f"Bring it from the portal, where `vpnportal gateway_key {name} --concentrator` prints it."
    )
    yield _key_file(settings.CONCENTRATOR_KEY_FILE, bring)
    yield from surplus_keys()
    yield _folder_of_keys()
    yield from _package_files()


def _session_key() -> Finding:
    name, file = "keys/session.key", settings.KEYS / "session.key"
    try:
        present = bool(settings.SECRET_KEY)
    except ImproperlyConfigured:
        present = False
    if not present:
        return unmet(
            name,
            f"{file} is missing, empty or unreadable: no user can sign in.",
            "Restore it from the backup of the keys, or run `vpnportal keys`: all users sign in "
            "again.",
        )
    if not file.exists():
        return met(name, "The session key is in VPNPORTAL_SECRET_KEY.")
    return _rights(name, file) or met(name, f"{file} has a key, and safe rights.")


def _key_file(file: Path, restore: str) -> Finding:
    name = f"keys/{file.name}"
    try:
        ids = key_ids(file)
    except ImproperlyConfigured as error:
        return unmet(name, str(error), restore)
    except OSError as error:
        return unmet(name, f"{file} cannot be read: {error.strerror}.", restore)
    lines = "1 key" if len(ids) == 1 else f"{len(ids)} keys"
    return _rights(name, file) or met(name, f"{file} has {lines}, and safe rights.")


def _rights(name: str, file: Path) -> Finding | None:
    """Return the finding that others than the owner and his group may use a key file."""
    status = file.lstat()
    if not stat.S_ISREG(status.st_mode):
        return unmet(name, f"{file} is no regular file.", "Put the key file itself there.")
    if status.st_uid not in (0, os.geteuid()):
        return unmet(
            name,
            f"{file} belongs to the user {status.st_uid}, who can replace it.",
            f"Make new keys if that user is unknown. Then: chown root {file}",
        )
    if status.st_mode & TOO_MANY:
        mode = stat.S_IMODE(status.st_mode)
        return unmet(
            name,
            f"{file} has the mode {mode:04o}: others can read or change it.",
            f"chmod {mode & ~TOO_MANY:o} {file}",
        )
    return None


def _folder_of_keys() -> Finding:
    name, mode = "keys/folder", stat.S_IMODE(settings.KEYS.stat().st_mode)
    if mode & 0o022:
        return unmet(
            name,
            f"{settings.KEYS} has the mode {mode:04o}: others can replace its files.",
            f"chmod go-w {settings.KEYS}",
        )
    return met(name, f"Only the owner of {settings.KEYS} can replace its files.")


def _package_files() -> Iterator[Finding]:
    """Check the files of the packages, which services get from systemd and do not open."""
    for file in (CONFIGURATION / "keys", *(CONFIGURATION / name for name in PASSWORD_FILES)):
        name = f"keys/{file.name}"
        try:
            status = file.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            yield unknown(name, f"{file} cannot be looked at: {error.strerror}.")
            continue
        mode = stat.S_IMODE(status.st_mode)
        if mode & ANY_OTHER or status.st_uid:
            yield unmet(
                name,
                f"{file} has the mode {mode:04o} and the owner {status.st_uid}: it has secrets, "
                "and only root may read it.",
                f"chown root {file}; chmod go= {file}",
            )
        else:
            yield met(name, f"Only root reads {file}.")
