"""One session with charon for many calls: opening one takes longer than most of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from vpnportal.gateway.errors import GatewayRefused
from vpnportal.gateway.vici.session import CharonSession

T = TypeVar("T")
P = ParamSpec("P")


class PersistentSession:
    """Opened when it is needed, and anew after a failure or when charon has hung up.

    Also when somebody asked and never took the answer: it would be taken for the next one's.
    """

    def __init__(self, vici_socket: str) -> None:
        self._vici_socket = vici_socket
        self._session: CharonSession | None = None

    @contextmanager
    def use(self) -> Iterator[CharonSession]:
        """The session; DeviceError where there is no charon."""
        if self._session is None or not self._session.is_open():
            self._close()
            self._session = CharonSession(self._vici_socket)
        with self._closed_by_failures():
            yield self._session

    def start(self, question: Callable[[CharonSession], Callable[P, T]]) -> Callable[P, T]:
        """Ask now; what comes back is called for the answer before anything else is asked here."""
        with self.use() as charon:
            take = question(charon)

        def answer(*args: P.args, **kwargs: P.kwargs) -> T:
            with self._closed_by_failures():
                return take(*args, **kwargs)

        return answer

    @contextmanager
    def _closed_by_failures(self) -> Iterator[None]:
        try:
            yield
        except GatewayRefused:
            raise
        except BaseException:
            # What was not read of an answer would be taken for the next one's.
            self._close()
            raise

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
