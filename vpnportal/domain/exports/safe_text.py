"""Words that are safe in every device's file, and what a device has no words for.

Whatever people typed reaches an export through `plain` or not at all, and only in comments.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TypeVar

# Stands where the preshared key goes; the first lines of each export say so.
KEY = "PRESHARED_KEY_HERE"
# No device has such an algorithm, so a device that reads it complains instead of taking another.
NOT_AVAILABLE = "NOT_AVAILABLE_HERE"

WIDTH = 96
_QUOTES = re.compile("[\"'`\u2019]")
# Nothing that quotes, escapes, comments, expands, ends a statement or asks a console for help.
_UNSAFE = re.compile(r"[^A-Za-z0-9 .,:/()_+=@-]+")
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")

K = TypeVar("K", bound=Hashable)


def plain(text: str) -> str:
    """One line of letters, digits, blanks and harmless signs, for comments."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join(_UNSAFE.sub(" ", _QUOTES.sub("", letters)).split())


def identifier(name: str, longest: int = 32) -> str:
    """A name that every device takes for a section or an object."""
    return _NO_NAME.sub("", name).strip("-_")[:longest] or "ipsec"


def comments(sign: str, sentences: Iterable[str]) -> list[str]:
    """Sentences as lines of comment; `sign` begins each of them."""
    lines = (line for sentence in sentences for line in textwrap.wrap(plain(sentence), WIDTH))
    return [f"{sign} {line}" for line in lines]


class Remarks:
    """What one device cannot express of one tunnel, collected while its file is written."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._said: dict[str, None] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._said)

    def add(self, sentence: str) -> None:
        """Say it once."""
        self._said[sentence] = None

    def word(self, words: Mapping[K, str], wanted: K, what: str) -> str:
        """The device's word; where it has none, one that it refuses, and a remark."""
        if wanted in words:
            return words[wanted]
        self.add(f"{self.device} cannot do {wanted} as {what}: both ends need another one.")
        return NOT_AVAILABLE

    def seconds(self, wanted: int, limits: range, what: str) -> int:
        """The key life, or the nearest one that the device takes, and a remark."""
        nearest = min(max(wanted, limits.start), limits.stop - 1)
        if nearest != wanted:
            self.add(
                f"{self.device} takes {what} from {limits.start} to {limits.stop - 1} seconds:"
                f" {nearest} is written instead of {wanted}."
            )
        return nearest
