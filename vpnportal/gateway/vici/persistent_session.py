"""One vici session for many calls, because connecting takes longer than most calls."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from vpnportal.gateway.errors import GatewayRefused
from vpnportal.gateway.vici.session import CharonSession

T = TypeVar("T")
P = ParamSpec("P")
CONNECT_SECONDS = 1.0


def is_charon_listening(vici_socket: str) -> bool:
    """Return False if no process listens at a vici socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(CONNECT_SECONDS)
        try:
            connection.connect(vici_socket)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            # It listens, but not to this process, or its queue is full.
            pass
    return True


class PersistentSession:
    """A session that opens at its first use and again after a failure or an unread reply.

    An unread reply would be taken for the reply to the next request.
    """

    def __init__(self, vici_socket: str) -> None:
        self._vici_socket = vici_socket
        self._session: CharonSession | None = None

    @contextmanager
    def use(self) -> Iterator[CharonSession]:
        """Provide the open session. Raises GatewayError if charon is not running."""
        if self._session is None or not self._session.is_open():
            self._close()
            self._session = CharonSession(self._vici_socket)
        with self._close_on_failure():
            yield self._session

    def send(self, request: Callable[[CharonSession], Callable[P, T]]) -> Callable[P, T]:
        """Send a request and return a function that reads its reply.

        Call that function before the next use of this session.
        """
        with self.use() as charon:
            read = request(charon)

        def read_reply(*args: P.args, **kwargs: P.kwargs) -> T:
            with self._close_on_failure():
                return read(*args, **kwargs)

        return read_reply

    @contextmanager
    def _close_on_failure(self) -> Iterator[None]:
        try:
            yield
        except GatewayRefused:
            # A refusal is a complete reply.
            raise
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
