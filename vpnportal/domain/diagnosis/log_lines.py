"""Lines of charon's log about one tunnel: who began, when, and what was said, safe to show.

Part of a line comes from the peer (identities, notifies), so its length is bounded and what does
not print is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

LONGEST = 300
# Control characters, and those that turn the direction of writing or are not seen.
_HIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")


class Role(StrEnum):
    """Which part this end had in a negotiation."""

    INITIATOR = "initiator"
    RESPONDER = "responder"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line; `ike` is charon's number of the IKE_SA it belongs to, "" if it tells none."""

    at: datetime
    role: Role
    text: str
    ike: str = ""


def sanitize(text: str) -> str:
    """The text as one line of at most `LONGEST` characters that all print."""
    line = _HIDDEN.sub("?", text)
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def as_json(lines: Iterable[LogLine]) -> list[dict[str, str]]:
    """What is kept of lines."""
    return [
        {"at": one.at.isoformat(), "role": str(one.role), "text": one.text, "ike": one.ike}
        for one in lines
    ]


def from_json(kept: Iterable[dict[str, Any]]) -> tuple[LogLine, ...]:
    """Lines as they were kept."""
    return tuple(
        LogLine(
            datetime.fromisoformat(one["at"]), Role(one["role"]), one["text"], one.get("ike", "")
        )
        for one in kept
    )
