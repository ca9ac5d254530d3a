"""Values of XML-RPC, read from a tree and written. Numbers are bounded."""

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
# What XML 1.0 cannot hold, not even as a reference.
UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# What has to be looked at before it is written.
UNUSUAL = re.compile("[^ -%'-;=?-~]")


def value_of(element: Element) -> Any:
    """The value in a `<value>`; ValueError for what is none."""
    if not element.children:
        return element.text
    (typed,) = element.children
    if typed.tag not in READERS:
        raise ValueError(f"<{typed.tag}> is no value")
    return READERS[typed.tag](typed)


def to_xml(value: Any) -> str:
    """A value as text; what XML cannot hold is replaced by U+FFFD."""
    if isinstance(value, dict):
        members = [
            f"<member><name>{_escaped(name)}</name>{to_xml(one)}</member>"
            for name, one in value.items()
        ]
        return f"<value><struct>{''.join(members)}</struct></value>"
    if isinstance(value, (list, tuple)):
        return f"<value><array><data>{''.join(map(to_xml, value))}</data></array></value>"
    return f"<value>{_scalar(value)}</value>"


def _integer(element: Element) -> int:
    text = element.text.strip()
    if not INTEGER.fullmatch(text) or not -(1 << 63) <= int(text) < 1 << 63:
        raise ValueError("an integer of 64 bits is expected")
    return int(text)


def _double(element: Element) -> float:
    text = element.text.strip()
    number = float(text) if DOUBLE.fullmatch(text) else math.nan
    if not math.isfinite(number):
        raise ValueError("a finite number is expected")
    return number


def _boolean(element: Element) -> bool:
    text = element.text.strip().lower()
    if text not in ("0", "1", "false", "true"):
        raise ValueError("a boolean is 0 or 1")
    return text in ("1", "true")


def _text(element: Element) -> str:
    if element.children:
        raise ValueError("text is expected")
    return element.text


def _base64(element: Element) -> str:
    return b64decode("".join(_text(element).split()), validate=True).decode()


def _array(element: Element) -> list[Any]:
    (data,) = _all(element.children, "data")
    return [value_of(one) for one in _all(data.children, "value")]


def _struct(element: Element) -> dict[str, Any]:
    members = {}
    for member in _all(element.children, "member"):
        name, value = member.children
        if (name.tag, value.tag) != ("name", "value") or _text(name) in members:
            raise ValueError("a member is one name and one value")
        members[_text(name)] = value_of(value)
    return members


def _all(elements: list[Element], tag: str) -> list[Element]:
    if any(one.tag != tag for one in elements):
        raise ValueError(f"<{tag}> is expected")
    return elements


READERS: dict[str, Callable[[Element], Any]] = {
    "int": _integer,
    "i4": _integer,
    "i8": _integer,
    "boolean": _boolean,
    "double": _double,
    "string": _text,
    "dateTime.iso8601": _text,
    "base64": _base64,
    "nil": lambda _: None,
    "array": _array,
    "struct": _struct,
}


def _scalar(value: object) -> str:
    """No dateTime and no base64 among them: clients cannot print those."""
    if value is None:
        return "<nil/>"
    if isinstance(value, bool):
        return f"<boolean>{value:d}</boolean>"
    if isinstance(value, int):
        return f"<int>{value}</int>" if -(1 << 31) <= value < 1 << 31 else f"<i8>{value}</i8>"
    if isinstance(value, float):
        return f"<double>{value!r}</double>"
    return f"<string>{_escaped(str(value))}</string>"


def _escaped(text: str) -> str:
    if not UNUSUAL.search(text):
        return text
    # A reader of XML makes a line feed of a carriage return that is not written so.
    return escape(UNWRITABLE.sub("\ufffd", text), {"\r": "&#13;"})
