"""User names: their allowed form, and the skeleton by which two names count as the same.

Two names that a reader can take for each other have the same skeleton: case, width, marks between
letters and look-alike letters of other scripts make no difference (RFC 8265; Unicode Technical
Standard 39, 4).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import precis_i18n
from confusable_homoglyphs import categories, confusables

MAX_LENGTH = 60
FORM = (
    "Use letters of one alphabet, digits, and . - _ between them, such as ada.lovelace; at most "
    f"{MAX_LENGTH} characters."
)
TAKEN = "This name cannot be used: it is too similar to another one. Choose a different name."
# Letters and digits, and single marks between them.
ALLOWED = re.compile(r"[^\W_]+(?:[._-][^\W_]+)*")
MARKS = re.compile(r"[._-]")
# Pairs of ASCII characters that are alike in many fonts, after case folding.
ASCII_ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l"})
_profile = precis_i18n.get_profile("UsernameCaseMapped")


def problem_of(name: str) -> str:
    """Return a sentence about the right form of a new user name, or "" if its form is right."""
    try:
        _profile.enforce(name)
    except UnicodeEncodeError:
        return FORM
    is_right = len(name) <= MAX_LENGTH and ALLOWED.fullmatch(name)
    return "" if is_right and _has_one_script(name) else FORM


def skeleton_of(name: str) -> str:
    """Return the skeleton of a user name, of any form; at most four characters for each of it."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    latin = "".join(map(_latin, MARKS.sub("", folded)))
    return unicodedata.normalize("NFC", latin.casefold()).translate(ASCII_ALIKE)[: 4 * len(name)]


def _has_one_script(name: str) -> bool:
    return len(categories.unique_aliases(name) - {"COMMON", "INHERITED"}) <= 1


@lru_cache(maxsize=1024)
def _latin(character: str) -> str:
    """Return the ASCII letters that a character looks like, or the character itself."""
    if character.isascii():
        return character
    for alike in confusables.confusables_data.get(character, ()):
        if alike["c"].isascii() and alike["c"].isalnum():
            return str(alike["c"])
    return character
