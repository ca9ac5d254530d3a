"""Preshared keys: random generation, and weaknesses of entered keys."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field

# Without the characters that are mixed up when a key is read aloud: 0 O o, 1 I l.
LETTERS = "".join(sorted(set(string.ascii_letters) - set("OoIl")))
SYMBOLS = LETTERS + "23456789"
# 24 characters of SYMBOLS have 139 bits.
LENGTH = 24
# NIST SP 800-77r1 asks for 112 bits, which 20 random letters and digits have.
MIN_LENGTH = 20
MIN_DIFFERENT_CHARACTERS = 8
EXAMPLES = ("secret", "password", "preshared", "changeme", "cisco123", "example", "test", "12345")


@dataclass(frozen=True, slots=True)
class RevealedKey:
    """A key for the page of a user who may see it; `repr` and `str` do not contain the key."""

    text: str = field(repr=False)


def new_key() -> str:
    """Return a random key of letters and digits.

    The key begins with a letter: some devices read the prefixes 0x and 0s as encodings.
    """
    rest = (secrets.choice(SYMBOLS) for _ in range(LENGTH - 1))
    return secrets.choice(LETTERS) + "".join(rest)


def key_weakness(key: str) -> str:
    """Return why a key is easy to guess, or "". The text does not contain the key."""
    if not key:
        return ""
    compact = key.lower().replace(" ", "")
    if any(compact.startswith(example) for example in EXAMPLES) and len(compact) < LENGTH:
        return "The key looks like a published example."
    if len(key) < MIN_LENGTH:
        return f"The key is short. Use {MIN_LENGTH} characters or more, or generate a key."
    if len(set(key)) < MIN_DIFFERENT_CHARACTERS:
        return "The key repeats a few characters. Generate a key."
    return ""
