"""Strict parsers of method arguments, which also accept numbers and booleans sent as strings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from vpnportal.api import lookup
from vpnportal.api.faults import invalid_value

# From the value that a client sent to the value of a method. Raises Fault for a wrong value.
ArgumentParser = Callable[[Any], Any]

TRUE, FALSE = (True, 1, "1", "true"), (False, 0, "0", "false", "")


def as_is(value: Any) -> Any:
    """Return an argument unparsed: the method that takes the argument parses or ignores it."""
    return value


def text(label: str, parse: Callable[[str], Any] = str) -> ArgumentParser:
    """Return a parser of strings; `label` begins its faults.

    `parse` raises ValueError with a sentence about valid values.
    """

    def parse_text(value: Any) -> Any:
        if not isinstance(value, str):
            raise invalid_value(f"{label}: send a string.")
        try:
            return parse(value)
        except ValueError as error:
            raise invalid_value(f"{label}: {error}") from None

    return parse_text


def digits(label: str, parse: Callable[[str], Any] = int) -> ArgumentParser:
    """Return a parser of an int or a string of digits; `parse` converts the digits."""
    parse_text = text(label, parse)

    def parse_digits(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise invalid_value(f"{label}: send a number.")
        # Python limits the digits of str(int), and no number beyond the range is valid.
        return parse_text(
            value if isinstance(value, str) else str(max(-1, min(value, lookup.MAX_ID)))
        )

    return parse_digits


def choice(label: str, choices: Mapping[str, object]) -> ArgumentParser:
    """Return a parser that accepts only the strings that are keys of `choices`."""
    return text(label, partial(_require_choice, choices))


def number_choice(label: str, choices: Mapping[int, object]) -> ArgumentParser:
    """Return a parser that accepts only the integers that are keys of `choices`."""
    return digits(label, lambda value: _require_choice(choices, lookup.parse_number(value)))


def _require_choice(choices: Mapping[Any, object], value: object) -> object:
    if value not in choices:
        raise ValueError(f"send one of {', '.join(map(str, choices))}.")
    return value


def flag(label: str) -> Callable[[Any], bool]:
    """Return a parser of booleans, which clients also send as 0, 1 and strings."""

    def parse_flag(value: Any) -> bool:
        if isinstance(value, str):
            value = value.lower()
        if isinstance(value, bool | int | str) and value in (*TRUE, *FALSE):
            return value in TRUE
        raise invalid_value(f"{label}: send true or false.")

    return parse_flag


def struct(value: Any) -> Mapping[str, Any]:
    """Return a struct argument unchanged. Raises Fault if `value` is not a struct."""
    if not isinstance(value, Mapping):
        raise invalid_value("Send an object with the properties that this method takes.")
    return value


def structs(value: Any) -> list[Mapping[str, Any]]:
    """Return a list of struct arguments. Raises Fault if `value` is anything else."""
    if not isinstance(value, list | tuple):
        raise invalid_value("Send a list of objects.")
    return [struct(template) for template in value]
