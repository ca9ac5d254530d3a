"""The comparison of a gateway's files with a database that was restored from a backup.

A file that holds what the database does not know is newer than the backup. Its tunnel is held: the
gateway keeps it as it is until an operator chooses (docs/decisions/043-epochs.md).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.domain.tunnel.spec_diff import diff_specs
from vpnportal.encryption import CannotOpen
from vpnportal.fields import Sealed
from vpnportal.gateway import GatewayError
from vpnportal.models import AddressRelease, Concentrator, HeldTunnel, Revision, Tunnel, TunnelMark
from vpnportal.models.row_locks import lock_concentrator
from vpnportal.reconciler.local_target import LocalTarget, local_target
from vpnportal.reconciler.revision_cache import BATCH_ROWS
from vpnportal.reconciler.stored_revision import StoredRevision

log = logging.getLogger(__name__)

Kind = HeldTunnel.Kind
Row: TypeAlias = "dict[str, Any]"


@dataclass(frozen=True, slots=True)
class Restored:
    """The rows of a database for some tunnels of a gateway.

    `tunnels` and `desired` are columns by tunnel id; a disconnected or deleted tunnel is not
    desired. `known` are the sealed text and the creation time of revisions by id.
    """

    tunnels: Mapping[int, Row]
    desired: Mapping[int, Revision]
    known: Mapping[int, tuple[str, str]]

    def has(self, file: StoredRevision) -> bool:
        """Return True if the database has the revision of a file, also sealed again since then."""
        token, created_at = self.known.get(file.revision_id, ("", ""))
        return bool(token) and (token == file.sealed or created_at == file.created_at)


def compare_if_new(concentrator: Concentrator, is_full: bool) -> bool:
    """Hold the tunnels of a gateway that are newer than the database, once for each epoch.

    A full converge also finds a database that was restored by another program: it lacks the newest
    revision that the gateway stored. Returns True if the comparison was made, and the row of the
    concentrator changed. Raises GatewayError if the files cannot be read.
    """
    target = local_target(concentrator.name)
    epoch = concentrator.epoch
    try:
        if epoch == target.epoch:
            if not is_full or _is_known(target):
                return False
            epoch = uuid4()
            log.warning("The database lacks the newest revision of %s", concentrator.name)
        files = target.files()
    except OSError as error:
        if epoch == target.epoch:
            log.exception("The files of %s cannot be read", concentrator.name)
            return False
        raise GatewayError(
            f"its files of before the restore cannot be read: {error.strerror}. Until they can, "
            "nothing is changed there."
        ) from error
    compare(concentrator, epoch, files)
    # A crash before this repeats the comparison, with the same result.
    target.begin_epoch(epoch)
    return True


def _is_known(target: LocalTarget) -> bool:
    newest = target.newest()
    if newest is None:
        return True
    return Revision.objects.filter(pk=newest.pk, created_at=newest.created_at).exists()


def compare(
    concentrator: Concentrator, epoch: UUID | None, files: Mapping[int, StoredRevision | None]
) -> None:
    """Write the held tunnels, reserve their marks, and write that the epoch was compared."""
    now = timezone.now()
    with transaction.atomic():
        lock_concentrator(concentrator.pk)
        concentrator.held_tunnels.undecided().delete()
        held = list(_held_tunnels(concentrator, files))
        HeldTunnel.objects.bulk_create(held, batch_size=500, ignore_conflicts=True)
        marks = (
            TunnelMark(concentrator=concentrator, number=row.mark, released_at=now)
            for row in held
            if row.mark and row.specification
        )
        TunnelMark.objects.bulk_create(marks, batch_size=500, ignore_conflicts=True)
        row = Concentrator.objects.filter(pk=concentrator.pk)
        row.update(epoch=epoch, compared_epoch=epoch)
    log.warning("Compared %s with the database: %s tunnels differ", concentrator.name, len(held))


def _held_tunnels(
    concentrator: Concentrator, files: Mapping[int, StoredRevision | None]
) -> Iterator[HeldTunnel]:
    tunnel_ids = sorted(files)
    for start in range(0, len(tunnel_ids), BATCH_ROWS):
        batch = tunnel_ids[start : start + BATCH_ROWS]
        stored = [file for tunnel_id in batch if (file := files[tunnel_id])]
        restored = _restored(concentrator, batch, [file.revision_id for file in stored])
        for tunnel_id in batch:
            if row := _held_tunnel(tunnel_id, files[tunnel_id], restored):
                row.concentrator = concentrator
                yield row


def _restored(
    concentrator: Concentrator, tunnel_ids: Iterable[int], revision_ids: Iterable[int]
) -> Restored:
    columns = ("pk", "name", "account_id", "disconnected_at", "cancelled_at")
    # A gateway sees no tunnel of another one: `HeldTunnel.kind_beside` has what the portal sees.
    here = Q(concentrator=concentrator) | Exists(
        AddressRelease.objects.open().filter(concentrator=concentrator, tunnel=OuterRef("pk"))
    )
    tunnels = Tunnel.objects.filter(here, pk__in=tunnel_ids).values(*columns)
    newest_first = Revision.objects.to_configure().order_by("-number")
    newest_first = newest_first.filter(concentrator=concentrator, tunnel__in=tunnel_ids)
    desired: dict[int, Revision] = {}
    newest_first = newest_first.only(
        "tunnel_id", "number", "specification", "mark", "trial_seconds"
    )
    for revision in newest_first:
        desired.setdefault(revision.tunnel_id, revision)
    revisions = Revision.objects.filter(pk__in=revision_ids).only("specification", "created_at")
    return Restored(
        tunnels={row["pk"]: row for row in tunnels},
        desired=desired,
        known={row.pk: (row.specification.token, row.created_at.isoformat()) for row in revisions},
    )


def _held_tunnel(
    tunnel_id: int, file: StoredRevision | None, restored: Restored
) -> HeldTunnel | None:
    """Return the unsaved row of a tunnel that differs from the database, or None."""
    tunnel = restored.tunnels.get(tunnel_id)
    if file is None:
        # The gateway runs settings that are lost, and it goes on.
        kind = Kind.CHANGED if tunnel else Kind.UNKNOWN
        name = tunnel["name"] if tunnel else ""
        return HeldTunnel(tunnel_id=tunnel_id, kind=kind, number=0, name=name)
    held = HeldTunnel(
        tunnel_id=tunnel_id,
        kind=Kind.REMOVED,
        number=file.number,
        account_id=file.account_id,
        name=file.name,
    )
    desired = restored.desired.get(tunnel_id)
    if file.removed_at:
        return held if desired else None
    if restored.has(file):
        if not _was_undone(tunnel, desired, file.number):
            return None
    elif desired and _is_equal(file, desired):
        return None
    is_same = tunnel is not None and tunnel["account_id"] == file.account_id
    held.kind = Kind.CHANGED if is_same else Kind.UNKNOWN
    if spec := _spec_of(file):
        held.specification, held.mark = Sealed(file.sealed), file.mark
        held.hosted_peer = str(spec.hosted_peer)
        held.static_nat = [str(network) for network in spec.static_nat_subnets]
        networks = () if spec.translated_only else spec.remote_subnets
        held.remote = [str(network) for network in networks]
    return held


def _was_undone(tunnel: Row | None, desired: Revision | None, number: int) -> bool:
    """Return True if a known revision was configured after the backup, in place of the desired.

    The tunnel was connected again, or a trial was rolled back. Otherwise the database is newer.
    """
    if desired is None:
        return bool(tunnel and tunnel["disconnected_at"] and not tunnel["cancelled_at"])
    return desired.number > number and desired.trial_seconds is not None


def _is_equal(file: StoredRevision, desired: Revision) -> bool:
    """Return True if a file configures the same as the desired revision, under another id."""
    try:
        return file.mark == desired.mark and not diff_specs(file.spec, desired.spec())
    except CannotOpen:
        return False


def _spec_of(file: StoredRevision) -> TunnelSpec | None:
    try:
        return file.spec
    except CannotOpen:
        return None
