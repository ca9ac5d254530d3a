"""strongSwan's charon over vici: bytes to text, tuples to lists, "already gone" is success.

The protocol: https://docs.strongswan.org/docs/5.9/plugins/vici.html.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from types import MappingProxyType, TracebackType
from typing import Any, ParamSpec, TypeVar

import vici
from vici.exception import CommandException, SessionException
from vici.protocol import Message, Packet

from vpnportal.domain.gateway_config.desired import Connection, LoadedConnection
from vpnportal.domain.gateway_config.names import is_portal_connection, is_portal_secret, is_probe
from vpnportal.domain.planning.observed import ChildSa, IkeSa
from vpnportal.domain.planning.stale_sas import StaleSa
from vpnportal.domain.traffic.counters import IkeSaSample
from vpnportal.gateway.errors import GatewayError, GatewayRefused
from vpnportal.gateway.vici import pipelined_load
from vpnportal.gateway.vici.events import EVENTS, Event, event
from vpnportal.gateway.vici.parsing import ike_sa, loaded_connection, text
from vpnportal.gateway.vici.pipelined_load import Loadable
from vpnportal.gateway.vici.sa_counters import line
from vpnportal.gateway.vici.wire import list_request, parse_message, stream_list

T = TypeVar("T")
P = ParamSpec("P")
ANSWER_SECONDS = 5.0
# Under these `get-algorithms` lists what the customers' table has; "ke" is the newer name of dh.
KINDS = ("encryption", "aead", "integrity", "prf", "dh", "ke")
TERMINATE_MILLISECONDS = "1000"
NOTHING: Mapping[str, Connection] = MappingProxyType({})
GONE = ("no matching", "not found", "unknown")
# States of an IKE_SA whose algorithms are negotiated, and whose children may carry packets.
UP = frozenset(("ESTABLISHED", "PASSIVE", "REKEYING", "REKEYED"))


class CharonSession:
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
        except GatewayError:
            self._socket.close()
            raise
        self._session = vici.Session(self._socket)
        self._unread = False

    def is_open(self) -> bool:
        """Whether something else can be asked: every answer is read, and charon has not hung up.

        Asks the kernel only. Between two calls there is nothing to read but the end.
        """
        if self._unread:
            return False
        ears = select.poll()
        ears.register(self._socket, select.POLLIN)
        return not ears.poll(0)

    def close(self) -> None:
        """End the session; harmless when it is closed."""
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
        self, name: str | None = None, expected: Mapping[str, Connection] = NOTHING
    ) -> dict[str, LoadedConnection]:
        """What charon tells of our loaded connections; it walks through all to tell of one.

        What is as `expected` takes no memory of its own.
        """
        return self.start_list_conns(name)(expected)

    def start_list_conns(
        self, name: str | None = None
    ) -> Callable[[Mapping[str, Connection]], dict[str, LoadedConnection]]:
        """The same question, whose answer is given when what comes back is called; see `_ask`."""

        def read(expected: Mapping[str, Connection]) -> dict[str, LoadedConnection]:
            return {
                connection: _the_same(loaded_connection(body), expected.get(connection))
                for connection, body in self._ours("list-conns")
            }

        return self._ask(list_request("list-conns", "list-conn", _filter(name)), read)

    def list_shared(self) -> frozenset[str]:
        """Ids of our loaded secrets; charon never tells the secrets themselves."""
        with self._errors():
            keys = text(self._session.get_shared()).get("keys", [])
        return frozenset(key for key in keys if is_portal_secret(key))

    def list_sas(self, name: str | None = None) -> tuple[IkeSa, ...]:
        """Our IKE_SAs with their children, of one connection or of all; as long a walk."""
        return self.start_list_sas(name)()

    def start_list_sas(self, name: str | None = None) -> Callable[[], tuple[IkeSa, ...]]:
        """The same question, whose answer is given when what comes back is called; see `_ask`."""

        def read() -> tuple[IkeSa, ...]:
            return tuple(ike_sa(connection, body) for connection, body in self._ours("list-sas"))

        return self._ask(list_request("list-sas", "list-sa", _filter(name)), read)

    def list_sas_with_counters(
        self, at: datetime, name: str | None = None
    ) -> tuple[tuple[IkeSa, ...], tuple[IkeSaSample, ...]]:
        """As `associations`, and from the same answer what each of those that are up counted."""

        def read() -> tuple[tuple[IkeSa, ...], tuple[IkeSaSample, ...]]:
            found: list[IkeSa] = []
            lines: list[IkeSaSample] = []
            for connection, body in self._ours("list-sas"):
                found.append(ike_sa(connection, body))
                if body["state"] in UP:
                    lines.append(line(connection, body, at))
            return tuple(found), tuple(lines)

        return self._ask(list_request("list-sas", "list-sa", _filter(name)), read)()

    def userland_esp(self) -> bool:
        """Whether charon carries ESP itself (kernel-libipsec) instead of the kernel."""
        with self._errors():
            return "kernel-libipsec" in text(self._session.stats()).get("plugins", [])

    def algorithms(self) -> dict[str, list[str]]:
        """charon's names of what it can do, sorted, by kind."""
        with self._errors():
            found = text(self._session.get_algorithms())
        return {kind: sorted(found[kind]) for kind in KINDS if kind in found}

    def version(self) -> str:
        """strongSwan's, such as 5.9.8."""
        with self._errors():
            return text(self._session.version()).get("version", "")

    def load(self, several: Iterable[Loadable]) -> Iterator[tuple[Loadable, str]]:
        """Put connections in the place of those with their names, and secrets beside the others.

        Each comes back with the reason why it was refused, or ""; what was there then stands.
        """
        with self._errors():
            yield from pipelined_load.load(self._session, several)

    def unload(self, name: str) -> None:
        """Take a connection away; its associations go on until they are terminated."""
        with self._errors(), _gone_is_fine():
            self._session.unload_conn({"name": name})

    def unload_shared(self, identifier: str) -> None:
        """Unload a secret by its id."""
        with self._errors(), _gone_is_fine():
            self._session.unload_shared({"id": identifier})

    def terminate(self, stale: StaleSa) -> None:
        """End an association now, whether or not its peer answers."""
        which = "ike-id" if stale.whole_ike else "child-id"
        request = {which: stale.unique_id, "force": "yes", "timeout": TERMINATE_MILLISECONDS}
        with self._errors(), _gone_is_fine():
            self._session.request("terminate", request)

    def initiate(self, connection: str, child: str) -> Callable[[], None]:
        """Start a child without waiting for what becomes of it.

        charon answers when it has walked through all that it holds. What comes back is called for
        that answer, which may be a DeviceRefused; see `_ask`.
        """
        request = {"ike": connection, "child": child, "timeout": "-1"}
        packet = Packet.request("initiate", Message.serialize(request))
        take = self._ask([packet], lambda: parse_message(self._session.transport.receive(), 1))

        def answer() -> None:
            said = take()
            if said.get("success") != "yes":
                raise GatewayRefused(said.get("errmsg", "it does not say why"))

        return answer

    def rekey(self, child: ChildSa) -> None:
        """Ask for new keys of a CHILD_SA without waiting for them."""
        with self._errors():
            self._session.rekey({"child-id": child.unique_id})

    def wait_established(self, seconds: float) -> Generator[str]:
        """Connections whose IKE_SA was established, as it happens; "" when there is none."""
        with self._errors():
            for _, event in self._session.listen(["ike-updown"], timeout=seconds):
                up = [name for name in event or () if name != "up"] if event else []
                yield up[0] if up and event.get("up") == b"yes" else ""

    def foreign_connections(self) -> tuple[str, ...]:
        """Names of loaded connections that the portal did not make."""
        with self._errors():
            names = text(self._session.get_conns()).get("conns", [])
        return tuple(
            sorted(name for name in names if not (is_portal_connection(name) or is_probe(name)))
        )

    def listen(self, seconds: float) -> Iterator[Event]:
        """What charon says, and which of our connections go up or down, as it happens.

        An empty event comes at least every `seconds`, also while nothing happens.
        """
        with self._errors():
            for kind, body in self._session.listen(EVENTS, timeout=seconds):
                yield event(kind, body)

    def _ask(self, packets: Iterable[bytes], read: Callable[P, T]) -> Callable[P, T]:
        """Ask now; what comes back is called for the answer, before anything else is asked.

        Whoever never calls it closes the session.
        """

        def answer(*args: P.args, **kwargs: P.kwargs) -> T:
            with self._errors():
                found = read(*args, **kwargs)
            self._unread = False
            return found

        self._unread = True
        with self._errors():
            for packet in packets:
                self._session.transport.send(packet)
        return answer

    def _ours(self, command: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """What a list command tells of connections of ours."""
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
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except CommandException as error:
        if not any(word in str(error) for word in GONE):
            raise


def _the_same(seen: LoadedConnection, expected: Connection | None) -> LoadedConnection:
    return expected.as_loaded if expected and expected.as_loaded == seen else seen


def _filter(name: str | None) -> dict[str, str]:
    return {"ike": name} if name else {}
