"""Check of the files from which a gateway restores its tunnels while the portal is away."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError

from vpnportal.domain.gateway_config.names import connection_of
from vpnportal.encryption import CannotOpen
from vpnportal.gateway.requirements.findings import Finding, at_risk, met, unmet
from vpnportal.models import Revision
from vpnportal.reconciler.local_target import local_target
from vpnportal.reconciler.stored_revision import StoredRevision

MAX_NAMES = 10


def stored_tunnels() -> Iterator[Finding]:
    """Check the files from which this gateway restores its tunnels while the portal is away."""
    name, target = "stored_tunnels", local_target(settings.CONCENTRATOR)
    missing = _live_tunnels()
    # A worker reads the folder once, at its start.
    restart = f"systemctl restart vpnportal-worker@{settings.CONCENTRATOR} writes what is missing."
    if not target.folder.is_dir():
        text = f"There is no folder {target.folder}: after a restart this gateway waits for the"
        text += " portal."
        advice = "It is made with the first full converge: start the worker."
        yield unmet(name, text, advice) if missing else at_risk(name, text, advice)
        return
    problems = [problem] if (problem := _rights(target.folder, 0o700)) else []
    files, stored = target.newest_files(), 0
    for connection, file in files.items():
        try:
            revision = _revision_in(file)
        except UnusableFile as error:
            problems.append(str(error))
            continue
        stored += revision is not None
        if missing.get(connection) == revision:
            missing.pop(connection, None)
    if problems:
        yield unmet(
            name,
            f"{len(problems)} unusable: {'; '.join(problems[:MAX_NAMES])}.",
            f"Remove wrong files, chown -R vpnportal-gateway {target.folder}; chmod -R go= "
            f"{target.folder}. {restart}",
        )
    elif missing:
        names = ", ".join(list(missing)[:MAX_NAMES])
        yield unmet(
            name,
            f"The applied revision is not stored of {len(missing)}: {names}.",
            f"{restart} Its journal has an error of the disk, if there was one.",
        )
    else:
        newest = max((file.lstat().st_mtime for file in files.values()), default=time.time())
        minutes = (time.time() - newest) / 60
        text = f"{stored:,} tunnel{'' if stored == 1 else 's'} stored, and each opens."
        yield met(name, f"{text} The newest file is {minutes:.0f} minutes old." if files else text)


def _live_tunnels() -> dict[str, int]:
    """Return the revision that must be stored by connection; none while the database is away."""
    try:
        live = Revision.objects.filter(
            concentrator__name=settings.CONCENTRATOR,
            outcome=Revision.Outcome.LIVE,
            tunnel__disconnected_at=None,
        )
        return {connection_of(pk): revision for pk, revision in live.values_list("tunnel_id", "pk")}
    except DatabaseError:
        return {}


class UnusableFile(Exception):
    """The reason why a stored tunnel cannot be restored."""


def _revision_in(file: Path) -> int | None:
    """Return the id of the revision in a file; None of a tombstone. Raises UnusableFile."""
    if problem := _rights(file, 0o600):
        raise UnusableFile(problem)
    try:
        stored = StoredRevision.read(file)
        # The specification is decrypted only to see that it can be.
        return stored.revision_id if not stored.removed_at and stored.spec else None
    except CannotOpen:
        raise UnusableFile(f"{file.name} does not open with this gateway's keys") from None
    except (OSError, ValueError, TypeError):
        raise UnusableFile(f"{file.name} cannot be read") from None


def _rights(path: Path, allowed: int) -> str:
    status = path.lstat()
    if status.st_uid != os.geteuid():
        return f"{path.name} belongs to the user {status.st_uid}"
    mode = stat.S_IMODE(status.st_mode)
    return f"{path.name} has the mode {mode:04o}" if mode & ~allowed else ""
