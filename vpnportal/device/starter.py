"""Two sessions with charon that start many children: one tells it to, one hears what came up."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from types import TracebackType

from vpnportal.device.charon import Charon
from vpnportal.device.errors import DeviceError

# How long a question for what came up may take when nothing did.
SECONDS = 0.02


class Starter:
    """The second session is opened with the first question: one tunnel alone needs none."""

    def __init__(self, mouth: Charon, vici_socket: str) -> None:
        self._mouth = mouth
        self._vici_socket = vici_socket
        self._ears: Charon | None = None
        self._heard: Generator[str] | None = None

    def __enter__(self) -> Starter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._heard:
            with suppress(DeviceError):
                self._heard.close()
        if self._ears:
            self._ears.close()

    def initiate(self, connection: str, child: str) -> None:
        """Start a child without waiting for what becomes of it."""
        self._mouth.initiate(connection, child)

    def came_up(self) -> Iterator[str]:
        """At most one name of a connection whose IKE_SA is established now."""
        if self._ears is None or self._heard is None:
            self._ears = Charon(self._vici_socket)
            self._heard = self._ears.came_up(SECONDS)
        if name := next(self._heard, ""):
            yield name
