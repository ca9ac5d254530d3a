"""Object masks: the properties that a client requests of objects and of their relations.

    mask  := "[" mask "]" | part ("," part)*
    part  := ("mask" | "filteredMask") [type] ("[" [props] "]" | "." prop) | prop
    props := prop ("," prop)*
    prop  := name [type] ("." name [type])* ["[" [props] "]"]
    type  := "(" SoftLayer_TypeName ")"

Blanks may separate tokens, `;` is a comma, and repeated commas count as one (SLDN article
object-masks, and the masks of softlayer-python and the Terraform provider).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from vpnportal.api.faults import Fault, invalid_value

# Far beyond the masks of the known clients. Every name may cost a query.
MAX_CHARACTERS = 16_384
MAX_NAMES = 500
MAX_LEVELS = 20
TOKEN = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*|[\[\]().,;])", re.ASCII)
ROOTS = ("mask", "filteredMask")


@dataclass(frozen=True, slots=True)
class Mask:
    """Properties of the objects at one level, each with the mask of the objects behind it.

    `by_type` are masks that apply only to objects of one data type. `is_filtered` is True for
    `filteredMask`: the object filter then also applies to related objects.
    """

    properties: Mapping[str, Mask] = field(default_factory=dict)
    by_type: Mapping[str, Mask] = field(default_factory=dict)
    is_filtered: bool = False

    def for_type(self, type_name: str) -> Mapping[str, Mask]:
        """Return the properties that apply to objects of this data type."""
        mask = self.by_type.get(type_name)
        return _union(self.properties, mask.properties) if mask else self.properties


EMPTY = Mask()


def _union(first: Mapping[str, Mask], second: Mapping[str, Mask]) -> Mapping[str, Mask]:
    """Return the properties of both, merged at every level."""
    in_both = {
        name: Mask(
            _union(mask.properties, second[name].properties),
            _union(mask.by_type, second[name].by_type),
        )
        for name, mask in first.items()
        if name in second
    }
    return {**first, **second, **in_both}


def parse(mask: object) -> Mask:
    """Return the mask of a string, or of the struct of very old clients.

    Raises Fault if a string is no mask, or beyond a limit.
    """
    if isinstance(mask, str):
        if len(mask) > MAX_CHARACTERS:
            raise _invalid(f"it is longer than {MAX_CHARACTERS:,} characters")
        return _parse_text(mask)
    if isinstance(mask, dict):
        root = _Node()
        _read_struct(root, mask, _Limits())
        return root.mask()
    return EMPTY


@lru_cache(maxsize=128)
def _parse_text(text: str) -> Mask:
    tokens = _Tokens(text)
    root = _Node()
    brackets = 0
    while tokens.skip("["):
        brackets += 1
    tokens.skip_commas()
    while tokens.next and tokens.next != "]":
        _read_part(tokens, root)
        if not tokens.skip_commas() and tokens.next not in ("", "]"):
            raise _invalid(f"a comma is missing before {tokens.next!r}")
    for _ in range(brackets):
        tokens.expect("]")
    if tokens.next:
        raise _invalid(f"{tokens.next!r} follows its end")
    return root.mask()


def _read_part(tokens: _Tokens, root: _Node) -> None:
    if tokens.next not in ROOTS or tokens.after_next not in ("[", ".", "("):
        _read_prop(tokens, root, 0)
        return
    root.is_filtered |= tokens.pop() == "filteredMask"
    node = _read_type(tokens, root)
    if tokens.skip("."):
        _read_prop(tokens, node, 1)
    elif tokens.skip("["):
        _read_props(tokens, node, 1)
        tokens.expect("]")


def _read_props(tokens: _Tokens, node: _Node, depth: int) -> None:
    tokens.skip_commas()
    while tokens.next not in ("", "]"):
        _read_prop(tokens, node, depth)
        if not tokens.skip_commas():
            return


def _read_prop(tokens: _Tokens, node: _Node, depth: int) -> None:
    while True:
        depth += 1
        if depth > MAX_LEVELS:
            raise _too_deep()
        node = _read_type(tokens, node.child(tokens.pop_name()))
        if not tokens.skip("."):
            break
    if tokens.skip("["):
        _read_props(tokens, node, depth)
        tokens.expect("]")


def _read_type(tokens: _Tokens, node: _Node) -> _Node:
    if not tokens.skip("("):
        return node
    node = node.of_type(tokens.pop_name())
    tokens.expect(")")
    return node


def _read_struct(node: _Node, struct: Mapping[str, object], limits: _Limits) -> None:
    """Add the keys of a struct like `{"billingItem": {"id": ""}}` to `node`, at every level.

    Values that are not structs are ignored.
    """
    limits.enter_level()
    for name, value in struct.items():
        limits.count_name()
        child = node.child(name)
        if isinstance(value, dict):
            _read_struct(child, value, limits)
    limits.leave_level()


@dataclass(slots=True)
class _Node:
    """Mutable mask, in which paths with a common prefix share nodes."""

    children: dict[str, _Node] = field(default_factory=dict)
    by_type: dict[str, _Node] = field(default_factory=dict)
    is_filtered: bool = False

    def child(self, name: str) -> _Node:
        return self.children.setdefault(name, _Node())

    def of_type(self, type_name: str) -> _Node:
        return self.by_type.setdefault(type_name, _Node())

    def mask(self) -> Mask:
        return Mask(
            {name: node.mask() for name, node in self.children.items()},
            {name: node.mask() for name, node in self.by_type.items()},
            self.is_filtered,
        )


@dataclass(slots=True)
class _Limits:
    """Names and levels that the mask may still have."""

    names_left: int = MAX_NAMES
    levels_left: int = MAX_LEVELS

    def count_name(self) -> None:
        self.names_left -= 1
        if self.names_left < 0:
            raise _invalid(f"it names more than {MAX_NAMES} properties")

    def enter_level(self) -> None:
        self.levels_left -= 1
        if self.levels_left < 0:
            raise _too_deep()

    def leave_level(self) -> None:
        self.levels_left += 1


class _Tokens:
    """Tokens of a mask, with a lookahead of two; "" is the end."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokenize(text)
        self._limits = _Limits()
        self.next = self.after_next = ""
        self.pop()
        self.pop()

    def pop(self) -> str:
        token, self.next, self.after_next = self.next, self.after_next, next(self._tokens, "")
        return token

    def skip(self, token: str) -> bool:
        """Pop the next token if it is this one, and return True if so."""
        is_next = self.next == token
        if is_next:
            self.pop()
        return is_next

    def expect(self, token: str) -> None:
        if not self.skip(token):
            raise _invalid(f"{token!r} is missing before {self.next or 'its end'!r}")

    def pop_name(self) -> str:
        if not self.next.isidentifier():
            raise _invalid(f"a name is missing before {self.next or 'its end'!r}")
        self._limits.count_name()
        return self.pop()

    def skip_commas(self) -> bool:
        """Pop all commas, and return True if there were any."""
        has_comma = False
        while self.skip(","):
            has_comma = True
        return has_comma


def _tokenize(text: str) -> Iterator[str]:
    position, end = 0, len(text.rstrip())
    while position < end:
        token = TOKEN.match(text, position)
        if not token:
            raise _invalid(f"{text[position : position + 20]!r} is not allowed")
        position = token.end()
        yield "," if token[1] == ";" else token[1]


def _too_deep() -> Fault:
    return _invalid(f"it has more than {MAX_LEVELS} levels")


def _invalid(reason: str) -> Fault:
    return invalid_value(f"This object mask cannot be read: {reason}.")
