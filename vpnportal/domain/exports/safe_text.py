"""Text that is safe in the configuration of every device, and remarks about unsupported settings.

Text entered by users reaches an export only through `plain`, and only in comments.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

# The placeholder of the preshared key; the first lines of each export explain it.
KEY = "PRESHARED_KEY_HERE"
# No device has an algorithm of this name, so a device rejects it and uses no other.
NOT_AVAILABLE = "NOT_AVAILABLE_HERE"

WIDTH = 96
_QUOTES = re.compile("[\"'`\u2019]")
# All characters that may quote, escape, comment, expand, end a statement or open a console help.
_UNSAFE = re.compile(r"[^A-Za-z0-9 .,:/()_+=@-]+")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")

K = TypeVar("K", bound=Hashable)


def plain(text: str) -> str:
    """Return one line of ASCII letters, digits, blanks and harmless signs, for comments."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join(_UNSAFE.sub(" ", _QUOTES.sub("", letters)).split())


def identifier(name: str, max_length: int = 32) -> str:
    """Return a name that every device accepts for a section or an object."""
    return _NOT_IN_NAMES.sub("", name).strip("-_")[:max_length] or "ipsec"


def comments(sign: str, sentences: Iterable[str]) -> list[str]:
    """Return sentences as comment lines that start with `sign`."""
    # A command line must not break at its hyphens.
    wrapper = textwrap.TextWrapper(WIDTH, break_on_hyphens=False)
    lines = (line for sentence in sentences for line in wrapper.wrap(plain(sentence)))
    return [f"{sign} {line}" for line in lines]


class Remarks:
    """The settings of a tunnel that a device does not support, collected during an export."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._sentences: dict[str, None] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._sentences)

    def add(self, sentence: str) -> None:
        """Add a sentence unless it is a duplicate."""
        self._sentences[sentence] = None

    def name(self, names: Mapping[K, str], key: K, use: str) -> str:
        """Return the device's name for `key`, or add a remark and return `NOT_AVAILABLE`."""
        if key in names:
            return names[key]
        self.add(f"{self.device} does not support {key} as {use}: select another on both devices.")
        return NOT_AVAILABLE

    def seconds(self, value: int, limits: range, use: str) -> int:
        """Return the nearest supported value in seconds; add a remark if it differs."""
        nearest = min(max(value, limits.start), limits.stop - 1)
        if nearest != value:
            self.add(
                f"{self.device} supports {use} of {limits.start} to {limits.stop - 1} seconds:"
                f" {nearest} is used instead of {value}."
            )
        return nearest
