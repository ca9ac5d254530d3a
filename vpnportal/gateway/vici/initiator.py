"""Sessions with charon that start children: one tells it to, one hears what came up.

Before charon answers that it began to, it walks through all that it holds. Nothing is decided by
that answer, so nobody waits for it: it is taken before the next start, or before the next look at
the tunnel that it is about, and a refusal is reported then.
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

# How long a question for what came up may take when nothing did.
SECONDS = 0.02


class PendingInitiate(NamedTuple):
    """A start that charon was told, and what to call for its answer."""

    connection: str
    child: str
    answer: Callable[[], None]
    report: Report


class InitiateSession:
    """The session that tells charon to start children, and at most one answer to come."""

    def __init__(self, vici_socket: str) -> None:
        self._session = PersistentSession(vici_socket)
        self._unanswered: PendingInitiate | None = None

    def initiate(self, connection: str, child: str, report: Report) -> None:
        """Start a child without waiting for what becomes of it.

        `report` may be called long after this returned, with charon's refusal.
        """
        self.settle()
        answer = self._session.start(lambda charon: charon.initiate(connection, child))
        self._unanswered = PendingInitiate(connection, child, answer, report)

    def settle(self, connection: str | None = None) -> None:
        """Take the answer to come, if it is about this connection, or about any.

        In bounded time. Without a charon there is none, and whoever looks next is told so.
        """
        one = self._unanswered
        if one is None or connection not in (None, one.connection):
            return
        self._unanswered = None
        try:
            one.answer()
        except GatewayRefused as refusal:
            text = f"charon refused to start {one.child}: {refusal}"
            one.report(Step(one.connection, text, ok=False, is_repair=False))
        except GatewayError:
            pass


class Initiator:
    """The session that hears is opened with the first question: one tunnel alone needs none."""

    def __init__(self, mouth: InitiateSession, vici_socket: str, report: Report) -> None:
        self._mouth = mouth
        self._vici_socket = vici_socket
        self._report = report
        self._ears: CharonSession | None = None
        self._heard: Generator[str] | None = None

    def __enter__(self) -> Initiator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._heard:
            with suppress(GatewayError):
                self._heard.close()
        if self._ears:
            self._ears.close()

    def initiate(self, connection: str, child: str) -> None:
        """Start a child without waiting for what becomes of it."""
        self._mouth.initiate(connection, child, self._report)

    def wait_established(self) -> Iterator[str]:
        """At most one name of a connection whose IKE_SA is established now."""
        if self._ears is None or self._heard is None:
            self._ears = CharonSession(self._vici_socket)
            self._heard = self._ears.wait_established(SECONDS)
        if name := next(self._heard, ""):
            yield name
