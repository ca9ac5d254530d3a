"""vici's events as values: a line of charon's log, or an association that went up or down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from vpnportal.domain.diagnosis.log_collector import LogEvent
from vpnportal.domain.gateway_config.names import is_portal_connection
from vpnportal.domain.traffic.counters import IkeSaSample
from vpnportal.gateway.vici.parsing import text
from vpnportal.gateway.vici.sa_counters import ended

# Events "log" carry what charon says at levels 0 and 1, whatever its own log files are set to.
STRAY = "discarding inbound"
EVENTS = ["log", "ike-updown", "child-updown", "child-rekey"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event, or none: nothing happened for a while.

    `connections` are those of ours that went up or down, `child_down` tells that it was a
    CHILD_SA that went down. `ended` has what children had counted that went down, or that others
    took the place of.
    """

    said: LogEvent | None = None
    connections: tuple[str, ...] = ()
    child_down: bool = False
    ended: tuple[IkeSaSample, ...] = ()

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
            LogEvent(
                told.get("group", ""),
                told.get("ikesa-name", ""),
                told.get("ikesa-uniqueid", ""),
                told.get("msg", ""),
            )
        )
    connections = tuple(one for one in body if is_portal_connection(one))
    if name == "child-rekey":
        # The tunnel stands as before, so nobody needs to look.
        return Event(ended=_ended(body, connections))
    down = name == "child-updown" and body.get("up") != b"yes"
    return Event(None, connections, down, _ended(body, connections) if down else ())


def _ended(body: Mapping[str, Any], connections: Iterable[str]) -> tuple[IkeSaSample, ...]:
    now = datetime.now(UTC)
    return tuple(ended(one, text(body[one]), now) for one in connections)
