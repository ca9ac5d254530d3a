"""charon and nftables as one thing: observe a scope of it, apply a plan to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from ipaddress import IPv4Address
from typing import TypeAlias

from vpnportal.domain.gateway_config.desired import Connection, LoadedConnection, Secret
from vpnportal.domain.gateway_config.nat_elements import NatMap
from vpnportal.domain.planning.observed import IkeSa, Observed, Scope
from vpnportal.domain.planning.plan import Plan, Start
from vpnportal.domain.planning.stale_sas import StaleSa
from vpnportal.gateway import iproute
from vpnportal.gateway.addresses import LocalAddresses
from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.netfilter import conntrack
from vpnportal.gateway.netfilter.netlink import NetlinkSocket
from vpnportal.gateway.netfilter.nft_table import NftTable
from vpnportal.gateway.steps import Report, Step, reconnect_step, terminated_step
from vpnportal.gateway.vici import pacing
from vpnportal.gateway.vici import rekey as vici_rekey
from vpnportal.gateway.vici.initiator import InitiateSession, Initiator
from vpnportal.gateway.vici.persistent_session import PersistentSession
from vpnportal.gateway.vici.pipelined_load import Loadable
from vpnportal.gateway.vici.session import NOTHING, CharonSession

ReadIkeSas: TypeAlias = Callable[[], tuple[IkeSa, ...]]
ReadConnections: TypeAlias = Callable[[Mapping[str, Connection]], dict[str, LoadedConnection]]


@dataclass(slots=True)
class PendingObservation:
    """What charon was asked of one connection, or of all: each is called for the answer.

    `running` may be called again, and tells what it told before. `loaded` is None once it was.
    """

    connection: str | None
    ike_sas: ReadIkeSas | None = None
    connections: ReadConnections | None = None


class GatewayDriver:
    """The gateway whose network namespace this process runs in."""

    def __init__(self, vici_socket: str) -> None:
        self._vici_socket = vici_socket
        self._addresses = LocalAddresses(iproute.LOOPBACK_LABEL)
        # Told by the plugins that charon runs with; every look at everything asks again.
        self._userland_esp: bool | None = None
        self._session = PersistentSession(vici_socket)
        # charon serves each session in a thread of its own: what is asked in two, it does at once.
        self._second = PersistentSession(vici_socket)
        self._mouth = InitiateSession(vici_socket)
        self._look = PendingObservation(None)
        self._link = NetlinkSocket()

    @cached_property
    def _nft(self) -> NftTable:
        """libnftables acts in the namespace that it was opened in, so that is where it is used."""
        return NftTable(self._link)

    def start_observation(self, connection: str | None) -> None:
        """Begin to look at one connection, or at all: charon is at it while the caller goes on.

        The next look, if it is that one, takes the answers, and fails where this did. What charon
        said of earlier starts has been reported when this returns.
        """
        self._look = PendingObservation(connection)
        with suppress(GatewayError):
            self._request_lists()

    def _request_lists(self) -> ReadConnections:
        """Ask for what has not been asked for.

        Of one connection, what runs is asked for when the other answer is there, which is waited
        for: charon's two walks take from each other what the machine has of cores.
        """
        look = self._look
        # Before charon is at a start of that tunnel, a look would not find it.
        self._mouth.settle(look.connection)
        if look.connection is None:
            self._request_sas()
        if look.connections is None:
            look.connections = self._session.start(
                lambda charon: charon.start_list_conns(look.connection)
            )
        return look.connections

    def _request_sas(self) -> ReadIkeSas:
        look = self._look
        if look.ike_sas is None:
            asked = self._second.start(lambda charon: charon.start_list_sas(look.connection))
            look.ike_sas = cache(asked)
        return look.ike_sas

    def observe(
        self, scope: Scope | None = None, expected: Mapping[str, Connection] = NOTHING
    ) -> tuple[ReadIkeSas, Observed]:
        """The same but for associations, and what to call for those: charon takes long to tell.

        What was asked for is not asked for again, and what runs not before something was ended:
        charon walks through all associations to tell those of one connection.
        """
        connection = scope.connection if scope else None
        if self._look.connection != connection:
            self._look = PendingObservation(connection)
        loaded = self._request_lists()
        elements = self._nft.elements_at(scope.elements) if scope else self._nft.elements()
        addresses = self._addresses.now()
        self._look.connections = None
        connections = loaded(expected)
        running = self._request_sas()
        with self._session.use() as charon:
            if scope is None or self._userland_esp is None:
                self._userland_esp = charon.userland_esp()
            userland_esp = self._userland_esp
            foreign = () if scope else charon.foreign_connections()
            secrets = None if scope else charon.list_shared()
        return running, Observed(
            connections=connections,
            secrets=secrets,
            ike_sas=(),
            elements=elements,
            rules_current=self._nft.rules_are_current(userland_esp),
            addresses=addresses.own,
            loopback_addresses=addresses.loopback,
            userland_esp=userland_esp,
            foreign_connections=foreign,
            drop_counters={} if scope else self._dropped(userland_esp),
        )

    def _dropped(self, userland_esp: bool) -> dict[str, int]:
        counted = self._nft.drop_counters()
        return counted if userland_esp else {**counted, "by_esp": iproute.dropped_by_kernel_esp()}

    def apply(self, plan: Plan, userland_esp: bool, report: Report) -> dict[str, str]:
        """Take the steps of a plan; the answer has charon's reason for each connection it refused.

        After a refusal only the loading was done: what was loaded before still stands, and
        whoever asked looks again without the refused revision. Of one connection, charon is asked
        what the next look wants to know as soon as its part is done.
        """
        if plan.terminates_sas:
            self._look.ike_sas = None
        with self._session.use() as charon:
            for address in plan.add_addresses:
                iproute.add_loopback_address(address)
                report(Step("", f"Gave the gateway the address {address} in a hosted subnet"))
            _end(charon, plan.terminate_dialing, report, terminated_step)
            if refused := self._load(charon, plan, report):
                return refused
            self._take_away(charon, plan, report)
        if self._look.connection is not None:
            with suppress(GatewayError):
                self._request_lists()
        self._translate(plan, userland_esp, report)
        for address in plan.remove_addresses:
            iproute.remove_loopback_address(address)
        return {}

    def initiate(self, starts: tuple[Start, ...], report: Report) -> int:
        """Start children, without waiting for what becomes of them; so many are left over.

        `report` may be called later on, with what charon refused to start.
        """
        started = 0
        with Initiator(self._mouth, self._vici_socket, report) as starter:
            for one in pacing.initiate_paced(starter, starts):
                text = f"Started the negotiation of {one.child}"
                report(Step(one.connection, text, is_repair=False))
                started += 1
        return len(starts) - started

    def first_rekey(self, connection: str, report: Report) -> bool | None:
        """Renew the keys of a tunnel's children now: only that shows whether PFS agrees.

        None when that is not known yet: nothing is up, or the peer takes its time.
        """
        agreed = self.rekey(connection)
        if agreed is not None:
            report(Step(connection, vici_rekey.WORDS[agreed], ok=agreed, is_repair=False))
        return agreed

    def rekey(self, connection: str) -> bool | None:
        """Renew the keys of a tunnel's children: False when the peer refused, None as above."""
        with self._session.use() as charon:
            return vici_rekey.rekey(charon, connection)

    def terminate(self, ending: Iterable[StaleSa], report: Report) -> None:
        """End associations now, whether or not their peers answer."""
        with self._session.use() as charon:
            _end(charon, ending, report, reconnect_step)

    def ping(self, target: IPv4Address, sources: frozenset[IPv4Address]) -> bool:
        """Whether an address behind a tunnel answers this gateway from one of its own addresses."""
        return iproute.ping(target, min(sources, default=None))

    def _load(self, charon: CharonSession, plan: Plan, report: Report) -> dict[str, str]:
        """What charon refused; a connection of which it has the new secret only loses that."""
        refused = {}
        for one, refusal in charon.load(_in_order(plan)):
            if isinstance(one, Secret):
                name, what, which = one.connection, "the preshared key", ""
            else:
                name, what, which = one.name, "the connection", f" {one.name}"
            if refusal:
                refused[name] = refusal
                report(Step(name, f"charon refused {what}: {refusal}", ok=False))
            else:
                report(Step(name, f"Loaded {what}{which}"))
        for secret in plan.load_secrets:
            if secret.connection in refused:
                charon.unload_shared(secret.id)
        return refused

    def _take_away(self, charon: CharonSession, plan: Plan, report: Report) -> None:
        for name in plan.unload_connections:
            charon.unload(name)
            report(Step(name, f"Unloaded the connection {name}"))
        for identifier in plan.unload_secrets:
            charon.unload_shared(identifier)
        _end(charon, plan.terminate, report, terminated_step)

    def _translate(self, plan: Plan, userland_esp: bool, report: Report) -> None:
        self._nft.change(plan.remove_elements, plan.add_elements, plan.write_rules, userland_esp)
        conntrack.delete_flows(
            self._link,
            plan.remove_elements.keys(NatMap.INBOUND),
            plan.remove_elements.keys(NatMap.OUTBOUND),
        )
        if plan.write_rules:
            report(Step("", "Wrote the rules that keep traffic inside the tunnels"))
        if plan.remove_elements or plan.add_elements:
            # Each translation is an element of either map.
            count = (len(plan.remove_elements.all_keys() | plan.add_elements.all_keys()) + 1) // 2
            report(Step("", f"Changed the address translations ({count})"))


def _end(
    charon: CharonSession,
    ending: Iterable[StaleSa],
    report: Report,
    step: Callable[[StaleSa], Step],
) -> None:
    for stale in ending:
        charon.terminate(stale)
        report(step(stale))


def _in_order(plan: Plan) -> Iterator[Loadable]:
    """Each secret just before its connection: of very many, no revision is read twice."""
    secrets = {secret.connection: secret for secret in plan.load_secrets}
    for connection in plan.load_connections:
        if secret := secrets.pop(connection.name, None):
            yield secret
        yield connection
    yield from secrets.values()
