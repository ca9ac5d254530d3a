"""Object masks: which properties of an object, and of those behind it, a client asks for.

    mask  := "[" mask "]" | part ("," part)*
    part  := ("mask" | "filteredMask") [type] ("[" [props] "]" | "." prop) | prop
    props := prop ("," prop)*
    prop  := name [type] ("." name [type])* ["[" [props] "]"]
    type  := "(" SoftLayer_TypeName ")"

Blanks may be anywhere between these, a `;` is a comma, and a comma too many is overlooked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from vpnportal.api.faults import Fault, invalid

# Far more than any client asks for; every name may be a query.
MOST_CHARACTERS = 16_384
MOST_NAMES = 500
MOST_LEVELS = 20
WORD = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*|[\[\]().,;])", re.ASCII)
ROOTS = ("mask", "filteredMask")


@dataclass(frozen=True, slots=True)
class Mask:
    """What is asked of objects of one level: properties by name, each with what is asked of it.

    `typed` holds what is asked only of objects of one type; an empty mask names nothing.
    """

    named: Mapping[str, Mask] = field(default_factory=dict)
    typed: Mapping[str, Mask] = field(default_factory=dict)
    # `filteredMask`: the filter chooses among related objects too.
    filtered: bool = False

    def of(self, shape: str) -> Mapping[str, Mask]:
        """What is asked of an object of this type."""
        mine = self.typed.get(shape)
        return _both(self.named, mine.named) if mine else self.named


NOTHING = Mask()


def _both(one: Mapping[str, Mask], other: Mapping[str, Mask]) -> Mapping[str, Mask]:
    """What either asks for, at every level."""
    met = {
        name: Mask(_both(mask.named, other[name].named), _both(mask.typed, other[name].typed))
        for name, mask in one.items()
        if name in other
    }
    return {**one, **other, **met}


def parse(mask: object) -> Mask:
    """The mask of a text, or of the struct of very old clients; a Fault says what is wrong."""
    if isinstance(mask, str):
        if len(mask) > MOST_CHARACTERS:
            raise _wrong(f"it is longer than {MOST_CHARACTERS:,} characters")
        return _parsed(mask)
    if isinstance(mask, dict):
        root = _Level()
        _read_struct(root, mask, _Budget())
        return root.mask()
    return NOTHING


@lru_cache(maxsize=128)
def _parsed(text: str) -> Mask:
    reader = _Text(text)
    root = _Level()
    brackets = 0
    while reader.skip("["):
        brackets += 1
    reader.commas()
    while reader.next and reader.next != "]":
        _read_root(reader, root)
        if not reader.commas() and reader.next not in ("", "]"):
            raise _wrong(f"a comma is missing before {reader.next!r}")
    for _ in range(brackets):
        reader.expect("]")
    if reader.next:
        raise _wrong(f"{reader.next!r} is where it should end")
    return root.mask()


def _read_root(reader: _Text, root: _Level) -> None:
    if reader.next not in ROOTS or reader.after not in ("[", ".", "("):
        _read_prop(reader, root, 0)
        return
    root.filtered |= reader.take() == "filteredMask"
    level = _typed(reader, root)
    if reader.skip("."):
        _read_prop(reader, level, 1)
    elif reader.skip("["):
        _read_props(reader, level, 1)
        reader.expect("]")


def _read_props(reader: _Text, level: _Level, depth: int) -> None:
    reader.commas()
    while reader.next not in ("", "]"):
        _read_prop(reader, level, depth)
        if not reader.commas():
            return


def _read_prop(reader: _Text, level: _Level, depth: int) -> None:
    while True:
        depth += 1
        if depth > MOST_LEVELS:
            raise _wrong(f"it leads through more than {MOST_LEVELS} objects")
        level = _typed(reader, level.child(reader.name()))
        if not reader.skip("."):
            break
    if reader.skip("["):
        _read_props(reader, level, depth)
        reader.expect("]")


def _typed(reader: _Text, level: _Level) -> _Level:
    if not reader.skip("("):
        return level
    level = level.of_type(reader.name())
    reader.expect(")")
    return level


def _read_struct(level: _Level, struct: Mapping[str, object], budget: _Budget) -> None:
    """`{"billingItem": {"id": ""}}`: what is in a value that is no struct says nothing."""
    budget.deeper()
    for name, below in struct.items():
        budget.spend()
        child = level.child(name)
        if isinstance(below, dict):
            _read_struct(child, below, budget)
    budget.higher()


@dataclass(slots=True)
class _Level:
    """A mask in the making: two paths with the same beginning meet in it."""

    named: dict[str, _Level] = field(default_factory=dict)
    typed: dict[str, _Level] = field(default_factory=dict)
    filtered: bool = False

    def child(self, name: str) -> _Level:
        return self.named.setdefault(name, _Level())

    def of_type(self, name: str) -> _Level:
        return self.typed.setdefault(name, _Level())

    def mask(self) -> Mask:
        return Mask(
            {name: level.mask() for name, level in self.named.items()},
            {name: level.mask() for name, level in self.typed.items()},
            self.filtered,
        )


@dataclass(slots=True)
class _Budget:
    """How much a mask may still name."""

    names: int = MOST_NAMES
    levels: int = MOST_LEVELS

    def spend(self) -> None:
        self.names -= 1
        if self.names < 0:
            raise _wrong(f"it names more than {MOST_NAMES} properties")

    def deeper(self) -> None:
        self.levels -= 1
        if self.levels < 0:
            raise _wrong(f"it leads through more than {MOST_LEVELS} objects")

    def higher(self) -> None:
        self.levels += 1


class _Text:
    """The words of a mask, and the two that come next; the last is empty."""

    def __init__(self, text: str) -> None:
        self._words = _words(text)
        self._budget = _Budget()
        self.next = self.after = ""
        self.take()
        self.take()

    def take(self) -> str:
        taken, self.next, self.after = self.next, self.after, next(self._words, "")
        return taken

    def skip(self, word: str) -> bool:
        found = self.next == word
        if found:
            self.take()
        return found

    def expect(self, word: str) -> None:
        if not self.skip(word):
            raise _wrong(f"{word!r} is missing before {self.next or 'its end'!r}")

    def name(self) -> str:
        if not self.next.isidentifier():
            raise _wrong(f"a name is missing before {self.next or 'its end'!r}")
        self._budget.spend()
        return self.take()

    def commas(self) -> bool:
        """Whether there was a comma, or more of them."""
        found = False
        while self.skip(","):
            found = True
        return found


def _words(text: str) -> Iterator[str]:
    at, end = 0, len(text.rstrip())
    while at < end:
        found = WORD.match(text, at)
        if not found:
            raise _wrong(f"{text[at : at + 20]!r} is no part of one")
        at = found.end()
        yield "," if found[1] == ";" else found[1]


def _wrong(why: str) -> Fault:
    return invalid(f"This object mask cannot be read: {why}.")
