"""The logs of the worker: each step of a gateway goes to the rows that it belongs to.

`StepRouter` hands a step to the first of its sinks that accepts it: the apply logs of revisions,
the logs of address releases and commands, or the drift repairs of `drift.DriftLog`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from types import TracebackType
from typing import Protocol, Self, TypeAlias

from django.db.models import BigAutoField
from django.utils import timezone

from vpnportal.domain.gateway_config.names import connection_of
from vpnportal.gateway.steps import Step
from vpnportal.models import AddressRelease, Revision, TunnelCommand
from vpnportal.prepared_statements import PreparedUpdate

LoggedRow: TypeAlias = AddressRelease | TunnelCommand

# The page shows the steps of a long apply as they happen; a short apply needs one write.
WRITE_AFTER_SECONDS = 0.1
# A flapping tunnel must not fill the row of its revision.
MAX_STEPS = 200

_write_steps = PreparedUpdate(
    lambda pk: Revision.objects.filter(pk=pk), BigAutoField(), columns=("steps",)
)


class StepSink(Protocol):
    """An object that records steps, such as a log."""

    def accept(self, step: Step) -> bool:
        """Record the step. Return False if it belongs to no row of this sink."""


class StepRouter:
    """A callable that passes each step to its sinks in order, until one accepts the step."""

    def __init__(self, *sinks: StepSink) -> None:
        self._sinks = sinks

    def __call__(self, step: Step) -> None:
        any(sink.accept(step) for sink in self._sinks)


class RevisionLogs:
    """The apply logs of revisions, as a sink of steps.

    An unfinished revision gets every step of its tunnel and every general step. A finished revision
    gets starts and ends of SAs only: other steps are drift repairs. The logs are written by `close`
    and at the end of the `with` block, or earlier if that takes long. A later step is written at
    once.
    """

    def __init__(self, revisions: Iterable[Revision]) -> None:
        self._by_connection = {connection_of(row.tunnel_id): row for row in revisions}
        self._unfinished = [row for row in self._by_connection.values() if row.unfinished]
        self._unwritten: dict[int, Revision] = {}
        self._written_at = time.monotonic()
        self._has_ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write the logs."""
        self._has_ended = True
        self._write()

    def discard(self, revisions: Iterable[Revision]) -> None:
        """Do not write the logs of revisions whose steps were written with their outcome."""
        for revision in revisions:
            self._unwritten.pop(revision.pk, None)

    def accept(self, step: Step) -> bool:
        """Append the step to its revisions. Return False if it belongs to none of them."""
        revisions = self._revisions_of(step)
        for revision in revisions:
            if self._has_ended:
                revision.refresh_from_db(fields=["steps"])
            _append(revision, step)
            self._unwritten[revision.pk] = revision
        if self._has_ended or time.monotonic() - self._written_at >= WRITE_AFTER_SECONDS:
            self._write()
        return bool(revisions)

    def _revisions_of(self, step: Step) -> list[Revision]:
        if not step.connection:
            return self._unfinished
        revision = self._by_connection.get(step.connection)
        if revision is None or (step.is_repair and not revision.unfinished):
            return []
        return [revision]

    def _write(self) -> None:
        for pk, revision in self._unwritten.items():
            _write_steps(pk, steps=revision.steps)
        self._unwritten.clear()
        self._written_at = time.monotonic()


class RowLogs:
    """The logs of commands or address releases, by connection, as a sink of steps.

    A step of a connection belongs to the row of that connection, a general step to all rows. The
    rows are read from the database at the first step, because most converges have no step.
    """

    def __init__(self, find_rows: Callable[[], Mapping[str, LoggedRow]]) -> None:
        self._find_rows = find_rows

    @cached_property
    def _rows(self) -> Mapping[str, LoggedRow]:
        return self._find_rows()

    def accept(self, step: Step) -> bool:
        """Append the step to its rows. Return False if it belongs to none of them."""
        names = [step.connection] if step.connection else list(self._rows)
        rows = [self._rows[name] for name in names if name in self._rows]
        for row in rows:
            log_to_row(row, step)
        return bool(rows)


def log_to_revisions(revisions: Iterable[Revision], step: Step) -> None:
    """Append a step to the apply logs of these revisions, and write them."""
    for revision in revisions:
        _append(revision, step)
        _write_steps(revision.pk, steps=revision.steps)


def log_to_row(row: LoggedRow, step: Step) -> None:
    """Append a step to the log of a command or an address release, and write it."""
    row.steps.append(log_entry(step))
    type(row)._default_manager.filter(pk=row.pk).update(steps=row.steps)


def log_entry(step: Step) -> dict[str, object]:
    """Return a step as a `Revision.steps` entry: {"at": now in ISO 8601, "text", "ok"}."""
    return {"at": timezone.now().isoformat(), "text": step.text, "ok": step.ok}


def _append(revision: Revision, step: Step) -> None:
    revision.steps = [*revision.steps[-MAX_STEPS:], log_entry(step)]
