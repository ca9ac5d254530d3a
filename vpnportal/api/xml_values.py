"""Values of XML-RPC, read from untrusted bytes and written.

No document type, and so no entity, is accepted; depth, elements and numbers are bounded.
"""

from __future__ import annotations

import math
import re
from base64 import b64decode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape

MOST_DEPTH = 100
MOST_ELEMENTS = 100_000
LATIN = re.compile(rb"""^\s*<\?xml[^>]{0,80}encoding\s*=\s*["']iso-8859-1["']""", re.I)
INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
DOUBLE = re.compile(r"[+-]?[0-9]{0,20}\.?[0-9]{0,20}([eE][+-]?[0-9]{1,3})?")
# What XML 1.0 cannot hold, not even as a reference.
UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(slots=True)
class Element:
    """One element, with its text if it has no children."""

    tag: str
    text: str = ""
    children: list[Element] = field(default_factory=list)


def parse(body: bytes) -> Element:
    """The root element; ValueError for what is not well formed or goes beyond the limits."""
    return _Tree().parse(body)


def value_of(element: Element) -> Any:
    """The value in a `<value>`; ValueError for what is none."""
    if not element.children:
        return element.text
    (typed,) = element.children
    if typed.tag not in READERS:
        raise ValueError(f"<{typed.tag}> is no value")
    return READERS[typed.tag](typed)


def written(value: Any) -> str:
    """The same as text; what XML cannot hold is replaced by U+FFFD."""
    parts: list[str] = []
    _write(value, parts.append)
    return "".join(parts)


class _Tree:
    def __init__(self) -> None:
        self._open: list[Element] = [Element("")]
        self._text: list[str] = []
        self._left = MOST_ELEMENTS

    def parse(self, body: bytes) -> Element:
        parser = expat.ParserCreate(_encoding(body))
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        try:
            parser.Parse(body, True)
        except expat.ExpatError as error:
            raise ValueError(str(error)) from None
        return self._open[0].children[0]

    def _start(self, tag: str, _: object) -> None:
        self._left -= 1
        if self._left < 0 or len(self._open) > MOST_DEPTH:
            raise ValueError("too many elements, or too deep")
        element = Element(tag)
        self._open[-1].children.append(element)
        self._open.append(element)
        self._text.clear()

    def _end(self, _: str) -> None:
        element = self._open.pop()
        if not element.children:
            element.text = "".join(self._text)
        self._text.clear()


def _encoding(body: bytes) -> str:
    """Clients declare ISO 8859-1 and send UTF-8: what is declared counts only if that fails."""
    try:
        body.decode()
    except UnicodeDecodeError:
        if LATIN.match(body):
            return "iso-8859-1"
        raise ValueError("it is not UTF-8") from None
    return "utf-8"


def _refuse_doctype(*_: object) -> None:
    raise ValueError("a document type is not accepted")


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


def _write(value: Any, put: Callable[[str], object]) -> None:
    put("<value>")
    if isinstance(value, dict):
        put("<struct>")
        for name, one in value.items():
            put(f"<member><name>{_escaped(name)}</name>")
            _write(one, put)
            put("</member>")
        put("</struct>")
    elif isinstance(value, (list, tuple)):
        _write_all(value, put)
    else:
        put(_scalar(value))
    put("</value>")


def _write_all(values: Iterable[Any], put: Callable[[str], object]) -> None:
    put("<array><data>")
    for one in values:
        _write(one, put)
    put("</data></array>")


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
    # A reader of XML makes a line feed of a carriage return that is not written so.
    return escape(UNWRITABLE.sub("\ufffd", text), {"\r": "&#13;"})
