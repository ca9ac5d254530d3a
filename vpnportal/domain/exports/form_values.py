"""Values for the forms of a device that is configured by hand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

COLUMN = 26


class Field(NamedTuple):
    """The label of a field of the device, and the value to select or enter."""

    label: str
    value: str


def page(title: str, fields: Iterable[Field]) -> list[str]:
    """Return the lines of a page: its path in the menus, then each field."""
    return [f"[{title}]", *(f"{label + ':':<{COLUMN}}{value}" for label, value in fields), ""]
