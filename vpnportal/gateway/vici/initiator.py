"""Sessions that initiate CHILD_SAs: one sends `initiate`, another waits for established IKE_SAs.

charon walks all its connections and IKE_SAs before it answers `initiate`. No decision depends on
that reply, so the worker does not wait for it (docs/decisions/014). The worker reads the reply
before the next initiation or the next observation of the same tunnel, and reports a refusal then.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple

from vpnportal.gateway.errors import GatewayError, GatewayRefused
from vpnportal.gateway.steps import Report, Step
from vpnportal.gateway.vici.persistent_session import PersistentSession
from vpnportal.gateway.vici.session import CharonSession

# Wait for the next established IKE_SA. Short, because the initiator checks its limits in between.
EVENT_SECONDS = 0.02


class PendingInitiate(NamedTuple):
    """An `initiate` request that was sent, and the function that reads charon's reply."""

    connection: str
    child: str
    read_reply: Callable[[], None]
    report: Report


class InitiateSession:
    """The session that sends `initiate`; at most one reply is unread."""

    def __init__(self, vici_socket: str) -> None:
        self._session = PersistentSession(vici_socket)
        self._pending: PendingInitiate | None = None

    def initiate(self, connection: str, child: str, report: Report) -> None:
        """Request a CHILD_SA without waiting for charon's reply.

        Reads the reply to the previous request first. A later call may call `report` with charon's
        refusal of this request. Raises GatewayError if charon is not running.
        """
        self.read_pending_reply()
        read_reply = self._session.send(lambda charon: charon.initiate(connection, child))
        self._pending = PendingInitiate(connection, child, read_reply, report)

    def read_pending_reply(self, connection: str | None = None) -> None:
        """Read the unread reply if it is about `connection`, or about any connection with None.

        Reports a refusal. Ignores a charon that does not answer: the next observation fails then.
        """
        pending = self._pending
        if pending is None or connection not in (None, pending.connection):
            return
        self._pending = None
        try:
            pending.read_reply()
        except GatewayRefused as refusal:
            text = f"charon refused to initiate {pending.child}: {refusal}"
            pending.report(Step(pending.connection, text, ok=False, is_repair=False))
        except GatewayError:
            pass


class Initiator:
    """Implementation of `pacing.PacedInitiator`; the first wait opens the session for events.

    A single tunnel needs no wait.
    """

    def __init__(self, session: InitiateSession, vici_socket: str, report: Report) -> None:
        self._initiate_session = session
        self._vici_socket = vici_socket
        self._report = report
        self._event_session: CharonSession | None = None
        self._established: Generator[str] | None = None

    def __enter__(self) -> Initiator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._established:
            with suppress(GatewayError):
                self._established.close()
        if self._event_session:
            self._event_session.close()

    def initiate(self, connection: str, child: str) -> None:
        """Request a CHILD_SA without waiting for charon's reply."""
        self._initiate_session.initiate(connection, child, self._report)

    def wait_established(self) -> Iterator[str]:
        """Wait EVENT_SECONDS for an event; yield the connection if its IKE_SA was established."""
        if self._event_session is None or self._established is None:
            self._event_session = CharonSession(self._vici_socket)
            self._established = self._event_session.wait_established(EVENT_SECONDS)
        if name := next(self._established, ""):
            yield name
