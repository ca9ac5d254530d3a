"""A session with strongSwan's charon over vici.

The protocol: https://docs.strongswan.org/docs/5.9/plugins/vici.html. Bytes become text. Unloading
or terminating an object that does not exist is success. Requests go out before their replies are
read (docs/decisions/014): a method `start_…` sends a request and returns a function that reads the
reply.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, ParamSpec, TypeAlias, TypeVar

import vici
from vici.exception import CommandException, SessionException
from vici.protocol import Message, Packet

from vpnportal.domain.gateway_config.desired import Connection, LoadedConnection
from vpnportal.domain.gateway_config.names import is_portal_connection, is_portal_secret, is_probe
from vpnportal.domain.planning.observed import ChildSa, IkeSa
from vpnportal.domain.planning.stale_sas import StaleSa
from vpnportal.domain.traffic.counters import IkeSaSample
from vpnportal.gateway.errors import GatewayError, GatewayRefused
from vpnportal.gateway.vici import events, pipelined_load
from vpnportal.gateway.vici.parsing import (
    decode,
    parse_connection,
    parse_duration,
    parse_ike_sa,
)
from vpnportal.gateway.vici.pipelined_load import Loadable
from vpnportal.gateway.vici.sa_counters import ike_sa_sample
from vpnportal.gateway.vici.wire import list_request, parse_message, stream_list

T = TypeVar("T")
P = ParamSpec("P")
# Read the reply of a list request. The argument has connections whose objects are reused.
ReadConnections: TypeAlias = Callable[[Mapping[str, Connection]], dict[str, LoadedConnection]]
ReadIkeSas: TypeAlias = Callable[[], tuple[IkeSa, ...]]

REPLY_SECONDS = 5.0
TERMINATE_MILLISECONDS = "1000"
# Kinds of `get-algorithms` that the form offers; "ke" is the name of "dh" in newer versions.
ALGORITHM_KINDS = ("encryption", "aead", "integrity", "prf", "dh", "ke")
# States of an IKE_SA with negotiated algorithms, whose CHILD_SAs can carry packets.
ESTABLISHED_STATES = frozenset(("ESTABLISHED", "PASSIVE", "REKEYING", "REKEYED"))
# Parts of charon's error messages for an object that does not exist.
MISSING_MESSAGES = ("no matching", "not found", "unknown")
# struct ucred: process, user, group.
CREDENTIALS = struct.Struct("iII")
NO_CONNECTIONS: Mapping[str, Connection] = MappingProxyType({})


class CharonSession:
    """A session with a running charon.

    Each call returns within seconds or raises GatewayError. A refusal by charon raises its
    subclass GatewayRefused, after which the session can be used again.
    """

    def __init__(self, path: str, timeout: float = REPLY_SECONDS) -> None:
        """Connect to the vici socket at `path`; `timeout` in seconds limits each reply."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        # The vici library waits for the rest of a message without a limit, so the kernel limits it.
        seconds, rest = divmod(timeout, 1)
        limit = struct.pack("ll", int(seconds), int(rest * 1_000_000))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        try:
            with self._errors():
                self._socket.connect(path)
        except GatewayError:
            self._socket.close()
            raise
        self._session = vici.Session(self._socket)
        self._has_unread_reply = False

    def is_open(self) -> bool:
        """Return True if the session has no unread reply and charon has not closed it.

        Polls the socket only: without an unread reply, a readable socket means that charon closed
        it.
        """
        if self._has_unread_reply:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Close the session, if it is open."""
        self._socket.close()

    def __enter__(self) -> CharonSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def list_conns(
        self, name: str | None = None, expected: Mapping[str, Connection] = NO_CONNECTIONS
    ) -> dict[str, LoadedConnection]:
        """Return the portal's loaded connections by name; with a name, only that connection.

        charon walks all its connections either way. A connection equal to its entry in `expected`
        is returned as that object, which saves memory.
        """
        return self.start_list_conns(name)(expected)

    def start_list_conns(self, name: str | None = None) -> ReadConnections:
        """Send the request of `list_conns`, and return the function that reads the reply."""

        def read(expected: Mapping[str, Connection]) -> dict[str, LoadedConnection]:
            return {
                connection: _shared(parse_connection(body), expected.get(connection))
                for connection, body in self._portal_entries("list-conns")
            }

        return self._send(list_request("list-conns", "list-conn", _filter(name)), read)

    def list_shared(self) -> tuple[str, ...]:
        """Return the ids of the portal's loaded secrets, first the one loaded last.

        charon never sends the secrets.
        """
        with self._errors():
            keys = decode(self._session.get_shared()).get("keys", [])
        return tuple(key for key in keys if is_portal_secret(key))

    def list_sas(self, name: str | None = None) -> tuple[IkeSa, ...]:
        """Return the portal's IKE_SAs with CHILD_SAs; with a name, only that connection's IKE_SAs.

        charon walks all its IKE_SAs either way.
        """
        return self.start_list_sas(name)()

    def start_list_sas(self, name: str | None = None) -> ReadIkeSas:
        """Send the request of `list_sas`, and return the function that reads the reply."""

        def read() -> tuple[IkeSa, ...]:
            return tuple(
                parse_ike_sa(name, body) for name, body in self._portal_entries("list-sas")
            )

        return self._send(list_request("list-sas", "list-sa", _filter(name)), read)

    def list_all_sas(self) -> tuple[IkeSa, ...]:
        """Return all IKE_SAs with CHILD_SAs, those of connections of other programs included."""

        def read() -> tuple[IkeSa, ...]:
            items = stream_list(self._session, "list-sas")
            return tuple(parse_ike_sa(name, body) for item in items for name, body in item.items())

        return self._send(list_request("list-sas", "list-sa", {}), read)()

    def list_sas_with_counters(
        self, at: datetime, name: str | None = None
    ) -> tuple[tuple[IkeSa, ...], tuple[IkeSaSample, ...]]:
        """Return the IKE_SAs of `list_sas`, and the samples of the established ones.

        `at` is the time of the request. Both results come from one reply.
        """

        def read() -> tuple[tuple[IkeSa, ...], tuple[IkeSaSample, ...]]:
            ike_sas: list[IkeSa] = []
            samples: list[IkeSaSample] = []
            for connection, body in self._portal_entries("list-sas"):
                ike_sas.append(parse_ike_sa(connection, body))
                if body["state"] in ESTABLISHED_STATES:
                    samples.append(ike_sa_sample(connection, body, at))
            return tuple(ike_sas), tuple(samples)

        return self._send(list_request("list-sas", "list-sa", _filter(name)), read)()

    def userland_esp(self) -> bool:
        """Return True if charon processes ESP (kernel-libipsec), False if the kernel does."""
        with self._errors():
            return "kernel-libipsec" in decode(self._session.stats()).get("plugins", [])

    def user_id(self) -> int | None:
        """Return the user id as which charon runs now; None if its process cannot be seen.

        The socket (unix(7), SO_PEERCRED) tells the process, and the user that made the socket.
        """
        packed = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        pid, _, _ = CREDENTIALS.unpack(packed)
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("Uid:"):
                    return int(line.split()[2])
        return None

    def uptime_seconds(self) -> float:
        """Return the time since charon's start, exact up to two minutes and rounded down above."""
        with self._errors():
            uptime = decode(self._session.stats()).get("uptime", {})
        return parse_duration(uptime.get("running", ""))

    def algorithms(self) -> dict[str, list[str]]:
        """Return the sorted names of charon's algorithms, by kind of algorithm."""
        with self._errors():
            by_kind = decode(self._session.get_algorithms())
        return {kind: sorted(by_kind[kind]) for kind in ALGORITHM_KINDS if kind in by_kind}

    def version(self) -> str:
        """Return strongSwan's version, such as 5.9.8."""
        with self._errors():
            return decode(self._session.version()).get("version", "")

    def load(self, items: Iterable[Loadable]) -> Iterator[tuple[Loadable, str]]:
        """Load connections and secrets; the caller must exhaust the iterator.

        Yields each item with charon's reason for refusing it, or "". A connection replaces the
        loaded connection of its name. A refused item changes nothing.
        """
        with self._errors():
            yield from pipelined_load.load(self._session, items)

    def unload(self, name: str) -> None:
        """Unload a connection; its SAs stay until they are terminated."""
        with self._errors(), _accept_missing():
            self._session.unload_conn({"name": name})

    def unload_shared(self, identifier: str) -> None:
        """Unload a secret by its id."""
        with self._errors(), _accept_missing():
            self._session.unload_shared({"id": identifier})

    def terminate(self, stale: StaleSa) -> None:
        """Terminate an SA at once, without waiting for the peer's answer."""
        key = "ike-id" if stale.whole_ike else "child-id"
        request = {key: stale.unique_id, "force": "yes", "timeout": TERMINATE_MILLISECONDS}
        with self._errors(), _accept_missing():
            self._session.request("terminate", request)

    def initiate(self, connection: str, child: str) -> Callable[[], None]:
        """Request a CHILD_SA without waiting for its negotiation.

        charon replies after a walk of its connections and IKE_SAs. The returned function reads
        that reply and raises GatewayRefused with charon's reason.
        """
        request = {"ike": connection, "child": child, "timeout": "-1"}
        packet = Packet.request("initiate", Message.serialize(request))
        read = self._send([packet], lambda: parse_message(self._session.transport.receive(), 1))

        def read_reply() -> None:
            reply = read()
            if reply.get("success") != "yes":
                raise GatewayRefused(reply.get("errmsg", "it gives no reason"))

        return read_reply

    def rekey(self, child: ChildSa) -> None:
        """Request new keys for a CHILD_SA without waiting for them."""
        with self._errors():
            self._session.rekey({"child-id": child.unique_id})

    def wait_established(self, seconds: float) -> Generator[str]:
        """Yield connections whose IKE_SA is established, as `events.listen_established`."""
        with self._errors():
            yield from events.listen_established(self._session, seconds)

    def listen(self, seconds: float) -> Iterator[events.Event]:
        """Yield charon's events as `events.listen`. Raises GatewayError when charon exits."""
        with self._errors():
            yield from events.listen(self._session, seconds)

    def foreign_connections(self) -> tuple[str, ...]:
        """Return the sorted names of loaded connections that the portal did not load."""
        with self._errors():
            names = decode(self._session.get_conns()).get("conns", [])
        return tuple(
            sorted(name for name in names if not (is_portal_connection(name) or is_probe(name)))
        )

    def has_portal_connections(self) -> bool:
        """Return True if any connection of the portal is loaded."""
        with self._errors():
            names = decode(self._session.get_conns()).get("conns", [])
        return any(map(is_portal_connection, names))

    def _send(self, packets: Iterable[bytes], read: Callable[P, T]) -> Callable[P, T]:
        """Send a request and return the function that reads its reply.

        Call that function before the next request. `is_open` returns False until the reply is read.
        """

        def read_reply(*args: P.args, **kwargs: P.kwargs) -> T:
            with self._errors():
                reply = read(*args, **kwargs)
            self._has_unread_reply = False
            return reply

        self._has_unread_reply = True
        with self._errors():
            for packet in packets:
                self._session.transport.send(packet)
        return read_reply

    def _portal_entries(self, command: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the name and section of each portal connection in the reply to a list command."""
        for item in stream_list(self._session, command):
            yield from ((name, body) for name, body in item.items() if is_portal_connection(name))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except CommandException as error:
            raise GatewayRefused(str(error).removeprefix("Command failed: ")) from error
        except TimeoutError as error:
            raise GatewayError("charon does not answer.") from error
        except FileNotFoundError as error:
            raise GatewayError("charon is not running.") from error
        except PermissionError as error:
            raise GatewayError("this process may not open charon's socket.") from error
        except (OSError, SessionException) as error:
            raise GatewayError(f"the connection to charon failed ({error}).") from error


@contextmanager
def _accept_missing() -> Iterator[None]:
    try:
        yield
    except CommandException as error:
        if not any(message in str(error) for message in MISSING_MESSAGES):
            raise


def _shared(loaded: LoadedConnection, expected: Connection | None) -> LoadedConnection:
    return expected.as_loaded if expected and expected.as_loaded == loaded else loaded


def _filter(name: str | None) -> dict[str, str]:
    return {"ike": name} if name else {}
