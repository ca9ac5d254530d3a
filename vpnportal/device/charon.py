"""strongSwan's charon over vici: bytes to text, tuples to lists, "already gone" is success.

The protocol: https://docs.strongswan.org/docs/5.9/plugins/vici.html.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any

import vici
from vici.exception import CommandException, SessionException

from vpnportal.device.counters import line
from vpnportal.device.errors import DeviceError, DeviceRefused
from vpnportal.device.events import EVENTS, Event, event
from vpnportal.device.listing import listed
from vpnportal.device.replies import ike_sa, shape, text
from vpnportal.domain.desired import Connection, Secret, Shape
from vpnportal.domain.in_force import Stale
from vpnportal.domain.names import is_a_probe, is_our_secret, is_ours
from vpnportal.domain.observed import ChildSa, IkeSa
from vpnportal.domain.traffic import Line

ANSWER_SECONDS = 5.0
TERMINATE_MILLISECONDS = "1000"
GONE = ("no matching", "not found", "unknown")
# States of an IKE_SA whose algorithms are negotiated, and whose children may carry packets.
UP = frozenset(("ESTABLISHED", "PASSIVE", "REKEYING", "REKEYED"))


class Charon:
    """One session with a running charon; each call ends within seconds or is a DeviceError."""

    def __init__(self, path: str, timeout: float = ANSWER_SECONDS) -> None:
        """Connect to the vici socket at `path`; `timeout` in seconds bounds each answer."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        # vici waits without a limit for the rest of a message; the kernel then has the limit.
        seconds, rest = divmod(timeout, 1)
        bound = struct.pack("ll", int(seconds), int(rest * 1_000_000))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, bound)
        try:
            with self._errors():
                self._socket.connect(path)
        except DeviceError:
            self._socket.close()
            raise
        self._session = vici.Session(self._socket)

    def is_open(self) -> bool:
        """Whether charon has not hung up; asks the kernel only.

        Between two calls there is nothing to read but the end.
        """
        ears = select.poll()
        ears.register(self._socket, select.POLLIN)
        return not ears.poll(0)

    def close(self) -> None:
        """End the session; harmless when it is closed."""
        self._socket.close()

    def __enter__(self) -> Charon:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def connections(self, name: str | None = None) -> dict[str, Shape]:
        """What charon tells of our loaded connections; of one, at a cost that stays flat."""
        with self._errors():
            return {
                connection: shape(body)
                for item in listed(self._session, "list-conns", "list-conn", _filter(name))
                for connection, body in item.items()
                if is_ours(connection)
            }

    def secrets(self) -> frozenset[str]:
        """Ids of our loaded secrets; charon never tells the secrets themselves."""
        with self._errors():
            keys = text(self._session.get_shared()).get("keys", [])
        return frozenset(key for key in keys if is_our_secret(key))

    def associations(self, name: str | None = None) -> tuple[IkeSa, ...]:
        """Our IKE_SAs with their children, of one connection or of all."""
        with self._errors():
            return tuple(ike_sa(connection, body) for connection, body in self._listed_sas(name))

    def running(
        self, at: datetime, name: str | None = None
    ) -> tuple[tuple[IkeSa, ...], tuple[Line, ...]]:
        """As `associations`, and from the same answer what each of those that are up counted."""
        found: list[IkeSa] = []
        lines: list[Line] = []
        with self._errors():
            for connection, body in self._listed_sas(name):
                found.append(ike_sa(connection, body))
                if body["state"] in UP:
                    lines.append(line(connection, body, at))
        return tuple(found), tuple(lines)

    def userland_esp(self) -> bool:
        """Whether charon carries ESP itself (kernel-libipsec) instead of the kernel."""
        with self._errors():
            return "kernel-libipsec" in text(self._session.stats()).get("plugins", [])

    def load(self, connection: Connection) -> None:
        """Put a connection in the place of the one with its name; refused, the old one stands."""
        with self._errors():
            self._session.load_conn({connection.name: connection.settings})

    def unload(self, name: str) -> None:
        """Take a connection away; its associations go on until they are terminated."""
        with self._errors(), _gone_is_fine():
            self._session.unload_conn({"name": name})

    def remember(self, secret: Secret) -> None:
        """Load a preshared key for its pair of identities."""
        with self._errors():
            self._session.load_shared(
                {
                    "id": secret.id,
                    "type": "IKE",
                    "owners": list(secret.owners),
                    "data": secret.data.encode(),
                }
            )

    def forget(self, identifier: str) -> None:
        """Unload a secret by its id."""
        with self._errors(), _gone_is_fine():
            self._session.unload_shared({"id": identifier})

    def terminate(self, stale: Stale) -> None:
        """End an association now, whether or not its peer answers."""
        which = "ike-id" if stale.whole_ike else "child-id"
        request = {which: stale.unique_id, "force": "yes", "timeout": TERMINATE_MILLISECONDS}
        with self._errors(), _gone_is_fine():
            self._session.request("terminate", request)

    def initiate(self, connection: str, child: str) -> None:
        """Start a child without waiting for what becomes of it."""
        with self._errors():
            request = {"ike": connection, "child": child, "timeout": "-1"}
            self._session.request("initiate", request)

    def rekey(self, child: ChildSa) -> None:
        """Ask for new keys of a CHILD_SA without waiting for them."""
        with self._errors():
            self._session.rekey({"child-id": child.unique_id})

    def came_up(self, seconds: float) -> Generator[str]:
        """Connections whose IKE_SA was established, as it happens; "" when there is none."""
        with self._errors():
            for _, event in self._session.listen(["ike-updown"], timeout=seconds):
                up = [name for name in event or () if name != "up"] if event else []
                yield up[0] if up and event.get("up") == b"yes" else ""

    def foreign(self) -> tuple[str, ...]:
        """Names of loaded connections that the portal did not make."""
        with self._errors():
            names = text(self._session.get_conns()).get("conns", [])
        return tuple(sorted(name for name in names if not (is_ours(name) or is_a_probe(name))))

    def listen(self, seconds: float) -> Iterator[Event]:
        """What charon says, and which of our connections go up or down, as it happens.

        An empty event comes at least every `seconds`, also while nothing happens.
        """
        with self._errors():
            for kind, body in self._session.listen(EVENTS, timeout=seconds):
                yield event(kind, body)

    def _listed_sas(self, name: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
        for item in listed(self._session, "list-sas", "list-sa", _filter(name)):
            yield from ((one, body) for one, body in item.items() if is_ours(one))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except CommandException as error:
            raise DeviceRefused(str(error).removeprefix("Command failed: ")) from error
        except TimeoutError as error:
            raise DeviceError("charon does not answer.") from error
        except FileNotFoundError as error:
            raise DeviceError("charon is not running.") from error
        except PermissionError as error:
            raise DeviceError("this process may not open charon's socket.") from error
        except (OSError, SessionException) as error:
            raise DeviceError(f"the connection to charon failed ({error}).") from error


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except CommandException as error:
        if not any(word in str(error) for word in GONE):
            raise


def _filter(name: str | None) -> dict[str, str]:
    return {"ike": name} if name else {}
