"""What a device did, written into the row of whoever asked for it: one line for each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TypeAlias

from django.utils import timezone

from vpnportal.gateway.steps import Report, Step
from vpnportal.models import AddressRelease, TunnelCommand

Asked: TypeAlias = AddressRelease | TunnelCommand


def line(step: Step) -> dict[str, object]:
    """A step as rows keep it: when (ISO 8601), what, and whether it went well."""
    return {"at": timezone.now().isoformat(), "text": step.text, "ok": step.ok}


def append_step(asked: Asked, step: Step) -> None:
    """One more line in a row."""
    asked.steps.append(line(step))
    type(asked)._default_manager.filter(pk=asked.pk).update(steps=asked.steps)


def route_steps(find: Callable[[], Mapping[str, Asked]], otherwise: Report) -> Report:
    """Steps go to the row of their connection, general ones to all rows; without any, `otherwise`.

    `find` gives the rows by connection, and is called with the first step.
    """
    rows = cache(find)

    def report(step: Step) -> None:
        if not step.connection:
            concerned = list(rows().values())
        else:
            concerned = [rows()[step.connection]] if step.connection in rows() else []
        if not concerned:
            otherwise(step)
        for asked in concerned:
            append_step(asked, step)

    return report
