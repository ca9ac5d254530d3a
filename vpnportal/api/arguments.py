"""Arguments as clients send them, read strictly but for one thing: a number may come as a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from vpnportal.api import lookup
from vpnportal.api.faults import invalid

YES, NO = (True, 1, "1", "true"), (False, 0, "0", "false", "")


def as_it_is(given: Any) -> Any:
    """An id, which is read where it is looked up."""
    return given


def text(what: str, read: Callable[[str], Any] = str) -> Callable[[Any], Any]:
    """A text, with a reader whose ValueError says what would be right."""

    def take(given: Any) -> Any:
        if not isinstance(given, str):
            raise invalid(f"{what}: send a text.")
        try:
            return read(given)
        except ValueError as error:
            raise invalid(f"{what}: {error}") from None

    return take


def digits(what: str, read: Callable[[str], Any] = int) -> Callable[[Any], Any]:
    """A number, or its digits."""
    take = text(what, read)

    def number(given: Any) -> Any:
        if isinstance(given, bool) or not isinstance(given, int | str):
            raise invalid(f"{what}: send a number.")
        # Python refuses to write very long numbers down, and none of them is right.
        return take(given if isinstance(given, str) else str(max(-1, min(given, lookup.MOST))))

    return number


def name(what: str, known: Mapping[str, object]) -> Callable[[Any], Any]:
    """One of the names of a table."""
    return text(what, partial(_one_of, known))


def numeral(what: str, known: Mapping[int, object]) -> Callable[[Any], Any]:
    """One of the numbers of a table."""
    return digits(what, lambda given: _one_of(known, lookup.number(given)))


def _one_of(known: Mapping[Any, object], given: object) -> object:
    if given not in known:
        raise ValueError(f"send one of {', '.join(map(str, known))}.")
    return given


def flag(what: str) -> Callable[[Any], bool]:
    """True or false, which clients also send as 1 and 0 and as texts."""

    def take(given: Any) -> bool:
        if isinstance(given, str):
            given = given.lower()
        if isinstance(given, bool | int | str) and given in (*YES, *NO):
            return given in YES
        raise invalid(f"{what}: send true or false.")

    return take


def struct(given: Any) -> Mapping[str, Any]:
    """A template of an object."""
    if not isinstance(given, Mapping):
        raise invalid("Send an object with the properties that this method takes.")
    return given


def structs(given: Any) -> list[Mapping[str, Any]]:
    """A list of templates."""
    if not isinstance(given, list | tuple):
        raise invalid("Send a list of objects.")
    return [struct(one) for one in given]
