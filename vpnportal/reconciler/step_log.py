"""Routes the steps of a gateway to the rows whose logs they belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Protocol, TypeAlias

from django.utils import timezone

from vpnportal.gateway.steps import Step
from vpnportal.models import AddressRelease, TunnelCommand

LoggedRow: TypeAlias = AddressRelease | TunnelCommand


class StepSink(Protocol):
    """A place for steps."""

    def accept(self, step: Step) -> bool:
        """Record the step. Return False if it belongs to no row of this sink."""


class StepRouter:
    """Hands each step to the first sink that accepts it, or to none."""

    def __init__(self, *sinks: StepSink) -> None:
        self._sinks = sinks

    def __call__(self, step: Step) -> None:
        any(sink.accept(step) for sink in self._sinks)


class RowLogs:
    """The logs of commands or address releases, by connection.

    A step of a connection belongs to the row of that connection, a general step to all rows. The
    first step reads the rows: most observations of a gateway report no step.
    """

    def __init__(self, find_rows: Callable[[], Mapping[str, LoggedRow]]) -> None:
        self._find_rows = find_rows

    @cached_property
    def _rows(self) -> Mapping[str, LoggedRow]:
        return self._find_rows()

    def accept(self, step: Step) -> bool:
        """Append the step to the log of its rows."""
        names = [step.connection] if step.connection else list(self._rows)
        rows = [self._rows[name] for name in names if name in self._rows]
        for row in rows:
            append_step(row, step)
        return bool(rows)


def log_entry(step: Step) -> dict[str, object]:
    """Return a step as logs in JSON columns hold it: time (ISO 8601), text, success."""
    return {"at": timezone.now().isoformat(), "text": step.text, "ok": step.ok}


def append_step(row: LoggedRow, step: Step) -> None:
    """Append a step to the log of one row."""
    row.steps.append(log_entry(step))
    type(row)._default_manager.filter(pk=row.pk).update(steps=row.steps)
