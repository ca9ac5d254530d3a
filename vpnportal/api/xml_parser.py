"""XML as a tree of elements, read from untrusted bytes.

No document type, and so no entity, is accepted; depth and elements are bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.parsers import expat

MOST_DEPTH = 100
MOST_ELEMENTS = 100_000
LATIN = re.compile(rb"""^\s*<\?xml[^>]{0,80}encoding\s*=\s*["']iso-8859-1["']""", re.I)


@dataclass(slots=True)
class Element:
    """One element, with its text if it has no children."""

    tag: str
    text: str = ""
    children: list[Element] = field(default_factory=list)


def parse(body: bytes) -> Element:
    """The root element; ValueError for what is not well formed or goes beyond the limits."""
    return _Tree().parse(body)


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
