"""XML-RPC values: parsed from elements with bounded numbers, and written as text."""

from __future__ import annotations

import math
import re
from base64 import b64decode
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from vpnportal.api.xml_parser import Element

INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
DOUBLE = re.compile(r"[+-]?[0-9]{0,20}\.?[0-9]{0,20}([eE][+-]?[0-9]{1,3})?")
# XML 1.0 excludes these characters, even as references.
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Text without such a character needs neither escaping nor replacement.
SPECIAL = re.compile("[^ -%'-;=?-~]")


def parse_value(element: Element) -> Any:
    """Return the value of a `<value>`. Raises ValueError if it is malformed."""
    if not element.children:
        return element.text
    (typed,) = element.children
    if typed.tag not in PARSERS:
        raise ValueError(f"<{typed.tag}> is not a type of a value")
    return PARSERS[typed.tag](typed)


def to_xml(value: Any) -> str:
    """Return a `<value>`; U+FFFD replaces characters that XML excludes."""
    if isinstance(value, dict):
        members = [
            f"<member><name>{_escape(name)}</name>{to_xml(member)}</member>"
            for name, member in value.items()
        ]
        return f"<value><struct>{''.join(members)}</struct></value>"
    if isinstance(value, (list, tuple)):
        return f"<value><array><data>{''.join(map(to_xml, value))}</data></array></value>"
    return f"<value>{_scalar(value)}</value>"


def _parse_integer(element: Element) -> int:
    text = element.text.strip()
    if not INTEGER.fullmatch(text) or not -(1 << 63) <= int(text) < 1 << 63:
        raise ValueError("an integer must fit into 64 bits")
    return int(text)


def _parse_double(element: Element) -> float:
    text = element.text.strip()
    number = float(text) if DOUBLE.fullmatch(text) else math.nan
    if not math.isfinite(number):
        raise ValueError("a number must be finite")
    return number


def _parse_boolean(element: Element) -> bool:
    text = element.text.strip().lower()
    if text not in ("0", "1", "false", "true"):
        raise ValueError("a boolean must be 0 or 1")
    return text in ("1", "true")


def _parse_text(element: Element) -> str:
    if element.children:
        raise ValueError("text must not contain elements")
    return element.text


def _parse_base64(element: Element) -> str:
    return b64decode("".join(_parse_text(element).split()), validate=True).decode()


def _parse_array(element: Element) -> list[Any]:
    (data,) = _require_tag(element.children, "data")
    return [parse_value(value) for value in _require_tag(data.children, "value")]


def _parse_struct(element: Element) -> dict[str, Any]:
    members = {}
    for member in _require_tag(element.children, "member"):
        name, value = member.children
        if (name.tag, value.tag) != ("name", "value") or _parse_text(name) in members:
            raise ValueError("a member must have one value and a name of its own")
        members[_parse_text(name)] = parse_value(value)
    return members


def _require_tag(elements: list[Element], tag: str) -> list[Element]:
    if any(element.tag != tag for element in elements):
        raise ValueError(f"<{tag}> is expected")
    return elements


PARSERS: dict[str, Callable[[Element], Any]] = {
    "int": _parse_integer,
    "i4": _parse_integer,
    "i8": _parse_integer,
    "boolean": _parse_boolean,
    "double": _parse_double,
    "string": _parse_text,
    "dateTime.iso8601": _parse_text,
    "base64": _parse_base64,
    "nil": lambda _: None,
    "array": _parse_array,
    "struct": _parse_struct,
}


def _scalar(value: object) -> str:
    """Return the typed element of a scalar; times and files are strings.

    `slcli` crashes on dateTime.iso8601, and `slcli call-api` on base64.
    """
    if value is None:
        return "<nil/>"
    if isinstance(value, bool):
        return f"<boolean>{value:d}</boolean>"
    if isinstance(value, int):
        return f"<int>{value}</int>" if -(1 << 31) <= value < 1 << 31 else f"<i8>{value}</i8>"
    if isinstance(value, float):
        return f"<double>{value!r}</double>"
    return f"<string>{_escape(str(value))}</string>"


def _escape(text: str) -> str:
    if not SPECIAL.search(text):
        return text
    # An XML parser turns a literal carriage return into a line feed (XML 1.0, 2.11).
    return escape(FORBIDDEN.sub("\ufffd", text), {"\r": "&#13;"})
