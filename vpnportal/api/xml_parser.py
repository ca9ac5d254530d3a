"""XML from untrusted bytes as a tree of elements, with limits on depth and elements.

A document type is refused, and with it every entity declaration.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.parsers import expat

MAX_LEVELS = 100
MAX_ELEMENTS = 100_000
LATIN_1_DECLARATION = re.compile(
    rb"""^\s*<\?xml[^>]{0,80}encoding\s*=\s*["']iso-8859-1["']""", re.I
)


@dataclass(slots=True)
class Element:
    """Element of a document; `text` is "" if the element has children."""

    tag: str
    text: str = ""
    children: list[Element] = field(default_factory=list)


def parse(body: bytes) -> Element:
    """Return the root element. Raises ValueError if XML is not well formed, or beyond a limit."""
    return _TreeBuilder().parse(body)


class _TreeBuilder:
    def __init__(self) -> None:
        self._open: list[Element] = [Element("")]
        self._text: list[str] = []
        self._elements_left = MAX_ELEMENTS

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
        self._elements_left -= 1
        if self._elements_left < 0 or len(self._open) > MAX_LEVELS:
            raise ValueError(
                f"it has more than {MAX_ELEMENTS:,} elements, or more than {MAX_LEVELS} levels"
            )
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
    """Return utf-8, or iso-8859-1 if that is declared and the body is not UTF-8.

    softlayer-python declares iso-8859-1 and sends UTF-8.
    """
    try:
        body.decode()
    except UnicodeDecodeError:
        if LATIN_1_DECLARATION.match(body):
            return "iso-8859-1"
        raise ValueError("it is not UTF-8") from None
    return "utf-8"


def _refuse_doctype(*_: object) -> None:
    raise ValueError("a document type is not allowed")
