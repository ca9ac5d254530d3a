"""vici's events as values: a line of charon's log, or an association that went up or down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vpnportal.device.replies import text
from vpnportal.domain.hearing import Said
from vpnportal.domain.names import is_ours

# Events "log" carry what charon says at levels 0 and 1, whatever its own log files are set to.
STRAY = "discarding inbound"
EVENTS = ["log", "ike-updown", "child-updown"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event, or none: nothing happened for a while.

    `connections` are those of ours that went up or down, `child_down` tells that it was a
    CHILD_SA that went down.
    """

    said: Said | None = None
    connections: tuple[str, ...] = ()
    child_down: bool = False

    @property
    def stray(self) -> bool:
        """Whether charon dropped a packet that its tunnel does not lead to (RFC 4301, 5.2)."""
        said = self.said
        return said is not None and said.group == "ESP" and said.text.startswith(STRAY)


def event(kind: bytes | str | None, body: Mapping[str, Any] | None) -> Event:
    """What vici's `listen` gave."""
    name = kind.decode() if isinstance(kind, bytes) else kind
    if not name or body is None:
        return Event()
    if name == "log":
        told = text(dict(body))
        return Event(
            Said(
                told.get("group", ""),
                told.get("ikesa-name", ""),
                told.get("ikesa-uniqueid", ""),
                told.get("msg", ""),
            )
        )
    connections = tuple(one for one in body if is_ours(one))
    return Event(None, connections, name == "child-updown" and body.get("up") != b"yes")
