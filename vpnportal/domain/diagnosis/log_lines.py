"""Lines of charon's log about one tunnel, safe to display.

Part of a line comes from the peer (identities, notifies). Lines are therefore limited in length,
and their unprintable characters are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

MAX_LENGTH = 300
# Control characters, and characters that are invisible or change the writing direction.
_HIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")


class Role(StrEnum):
    """The role of our side in a negotiation."""

    INITIATOR = "initiator"
    RESPONDER = "responder"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line; `ike` is charon's number of its IKE_SA, or "" without an IKE_SA."""

    at: datetime
    role: Role
    text: str
    ike: str = ""


def sanitize(text: str) -> str:
    """Return the text as one line of at most `MAX_LENGTH` printable characters."""
    line = _HIDDEN.sub("?", text)
    return line if len(line) <= MAX_LENGTH else line[: MAX_LENGTH - 1] + "…"


def as_json(lines: Iterable[LogLine]) -> list[dict[str, str]]:
    """Return lines as `DiagnosticLog.lines` stores them, times in ISO 8601."""
    return [
        {"at": line.at.isoformat(), "role": str(line.role), "text": line.text, "ike": line.ike}
        for line in lines
    ]


def from_json(rows: Iterable[dict[str, Any]]) -> tuple[LogLine, ...]:
    """Return the lines from the dicts that `as_json` made."""
    return tuple(
        LogLine(
            datetime.fromisoformat(row["at"]), Role(row["role"]), row["text"], row.get("ike", "")
        )
        for row in rows
    )
