"""vici's events as values: a line of charon's log, or an SA that went up, went down or rekeyed.

The events: https://docs.strongswan.org/docs/5.9/plugins/vici.html. charon loses events while a
session registers for them, so list the SAs after the first event.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import vici

from vpnportal.domain.diagnosis.log_collector import LogEvent
from vpnportal.domain.gateway_config.names import is_portal_connection
from vpnportal.domain.traffic.counters import IkeSaSample
from vpnportal.gateway.vici.parsing import decode
from vpnportal.gateway.vici.sa_counters import final_sample

# The event "log" has the lines of levels 0 and 1, whatever the levels of charon's log files are.
EVENTS = ["log", "ike-updown", "child-updown", "child-rekey"]
POLICY_DROP = "discarding inbound"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of charon; all fields are empty if none occurred for a while.

    `connections` are the portal's connections of which an SA went up or down. `is_child_down` is
    true if it was a CHILD_SA that went down. `final_samples` have the last counters of the
    CHILD_SAs that went down or were replaced by a rekey.
    """

    log_event: LogEvent | None = None
    connections: tuple[str, ...] = ()
    is_child_down: bool = False
    final_samples: tuple[IkeSaSample, ...] = ()

    @property
    def is_policy_drop(self) -> bool:
        """Return True if charon dropped a packet outside its tunnel's selectors (RFC 4301, 5.2)."""
        line = self.log_event
        return line is not None and line.group == "ESP" and line.text.startswith(POLICY_DROP)


def listen(session: vici.Session, seconds: float) -> Iterator[Event]:
    """Yield charon's events as they occur, and an empty event after `seconds` without one.

    Raises OSError when charon exits.
    """
    for kind, body in session.listen(EVENTS, timeout=seconds):
        yield parse_event(kind, body)


def listen_established(session: vici.Session, seconds: float) -> Generator[str]:
    """Yield the name of each connection when its IKE_SA becomes established.

    Yields "" for other events and after `seconds` without an event. Raises OSError when charon
    exits.
    """
    for _, body in session.listen(["ike-updown"], timeout=seconds):
        names = [name for name in body or () if name != "up"]
        yield names[0] if names and body.get("up") == b"yes" else ""


def parse_event(kind: bytes | str | None, body: Mapping[str, Any] | None) -> Event:
    """Return the Event for a name and body that `vici.Session.listen` yields."""
    name = kind.decode() if isinstance(kind, bytes) else kind
    if not name or body is None:
        return Event()
    if name == "log":
        line = decode(dict(body))
        return Event(
            LogEvent(
                line.get("group", ""),
                line.get("ikesa-name", ""),
                line.get("ikesa-uniqueid", ""),
                line.get("msg", ""),
            )
        )
    connections = tuple(key for key in body if is_portal_connection(key))
    if name == "child-rekey":
        # The tunnel stays up, so its status need not be listed again.
        return Event(final_samples=_final_samples(body, connections))
    is_down = name == "child-updown" and body.get("up") != b"yes"
    samples = _final_samples(body, connections) if is_down else ()
    return Event(None, connections, is_down, samples)


def _final_samples(body: Mapping[str, Any], connections: Iterable[str]) -> tuple[IkeSaSample, ...]:
    now = datetime.now(UTC)
    return tuple(final_sample(name, decode(body[name]), now) for name in connections)
