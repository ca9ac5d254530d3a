"""Preshared keys: made at random, and what is weak about one that somebody chose."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field

# Without what is mistaken for something else when a key is read to somebody: 0 O o, 1 I l.
LETTERS = "".join(sorted(set(string.ascii_letters) - set("OoIl")))
SYMBOLS = LETTERS + "23456789"
# 139 bits.
LENGTH = 24
# NIST SP 800-77r1 asks for 112 bits; so many random letters and digits have them.
SHORTEST, DIFFERENT = 20, 8
EXAMPLES = ("secret", "password", "preshared", "changeme", "cisco123", "example", "test", "12345")


@dataclass(frozen=True, slots=True)
class RevealedKey:
    """A key on its way to the page of somebody who may see it; printed, it shows nothing."""

    text: str = field(repr=False)


def new_key() -> str:
    """Random letters and digits. It begins with a letter: to some devices 0x and 0s say more."""
    rest = (secrets.choice(SYMBOLS) for _ in range(LENGTH - 1))
    return secrets.choice(LETTERS) + "".join(rest)


def key_weakness(key: str) -> str:
    """Why a key could be guessed, in words that tell nothing of it; "" where nothing shows that."""
    if not key:
        return ""
    plain = key.lower().replace(" ", "")
    if any(plain.startswith(word) for word in EXAMPLES) and len(plain) < LENGTH:
        return "The key looks like one of an example, which others know."
    if len(key) < SHORTEST:
        return f"The key is short. Take {SHORTEST} characters or more, or have one generated."
    if len(set(key)) < DIFFERENT:
        return "The key repeats few characters. Have one generated."
    return ""
