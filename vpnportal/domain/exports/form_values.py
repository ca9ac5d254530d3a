"""Values for the pages of a device that is configured by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

COLUMN = 26


class Field(NamedTuple):
    """What a page of the device calls it, and what to choose or enter."""

    label: str
    value: str


def page(title: str, fields: Iterable[Field]) -> list[str]:
    """One page of the device: its way in the menus, then a line for each field."""
    return [f"[{title}]", *(f"{label + ':':<{COLUMN}}{value}" for label, value in fields), ""]
