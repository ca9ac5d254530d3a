"""The driver of a gateway: observes charon, nftables and addresses, and applies plans to them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from ipaddress import IPv4Address, IPv4Network
from itertools import chain

from vpnportal.domain.gateway_config.desired import Connection, Secret
from vpnportal.domain.gateway_config.names import connection_of_secret
from vpnportal.domain.gateway_config.nat_elements import NatMap
from vpnportal.domain.gateway_config.nat_flows import flows_of
from vpnportal.domain.planning.kernel_ipsec import KernelIpsec
from vpnportal.domain.planning.observed import Observed, Scope
from vpnportal.domain.planning.plan import Plan, Start
from vpnportal.domain.planning.stale_sas import StaleSa
from vpnportal.gateway import kernel_settings
from vpnportal.gateway.announced_routes import AnnouncedRoutes, add_routes, remove_routes
from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.kernel_leftovers import KernelLeftovers
from vpnportal.gateway.links import LinkReader
from vpnportal.gateway.local_addresses import (
    LocalAddresses,
    add_loopback_address,
    remove_loopback_address,
)
from vpnportal.gateway.netfilter.conntrack import Conntrack
from vpnportal.gateway.netfilter.netlink import (
    NetlinkSocket,
)
from vpnportal.gateway.netfilter.nft_table import NftTable
from vpnportal.gateway.netfilter.ruleset import DECRYPTED_MARK
from vpnportal.gateway.ping import ping
from vpnportal.gateway.steps import (
    Report,
    Step,
    ended_flows_step,
    reconnect_step,
    terminated_step,
)
from vpnportal.gateway.tunnel_route import (
    add_tunnel_route,
    has_tunnel_route,
    public_interface,
    refusing_route,
)
from vpnportal.gateway.vici import pacing
from vpnportal.gateway.vici import rekey as vici_rekey
from vpnportal.gateway.vici.initiator import InitiateSession, Initiator
from vpnportal.gateway.vici.persistent_session import PersistentSession
from vpnportal.gateway.vici.pipelined_load import Loadable
from vpnportal.gateway.vici.session import (
    NO_CONNECTIONS,
    CharonSession,
    ReadConnections,
    ReadIkeSas,
)
from vpnportal.gateway.xfrm_counters import read_policy_drops

# Routes that a step names.
MAX_NAMED_ROUTES = 4


@dataclass(slots=True)
class PendingObservation:
    """List requests that were sent to charon for the next observation.

    `connection` is the observed connection, or None for all. `kernel` was read before the SAs were
    requested. Each other field is the function that reads a reply, or None if the request is not
    sent. `read_ike_sas` can be called again and returns the same reply. `read_connections` cannot.
    """

    connection: str | None
    kernel: KernelIpsec = field(default_factory=KernelIpsec)
    read_ike_sas: ReadIkeSas | None = None
    read_connections: ReadConnections | None = None


class GatewayDriver:
    """The driver of the gateway in whose network namespace this process runs.

    Its methods raise GatewayError if charon or the kernel does not answer or refuses.
    """

    def __init__(self, vici_socket: str) -> None:
        self._vici_socket = vici_socket
        self._addresses, self._links = LocalAddresses(), LinkReader()
        self._routes = AnnouncedRoutes()
        # Depends on charon's plugins. Each full observation reads it again.
        self._userland_esp: bool | None = None
        # Once it exists, only full observations look for it.
        self._has_tunnel_route = False
        # charon serves each session in a thread of its own, so requests in two sessions overlap.
        self._session = PersistentSession(vici_socket)
        self._sa_session = PersistentSession(vici_socket)
        self._initiate_session = InitiateSession(vici_socket)
        self._pending = PendingObservation(None)
        self._netlink = NetlinkSocket()
        self._conntrack = Conntrack(self._netlink)
        self.leftovers = KernelLeftovers(vici_socket, self._session)

    @cached_property
    def _nft(self) -> NftTable:
        """The portal's nftables table, created at the first access.

        libnftables works in the network namespace in which it is first used.
        """
        return NftTable(self._netlink)

    def start_observation(self, connection: str | None) -> None:
        """Send the list requests for the next observation: of one connection, or of all.

        `observe` for the same scope reads the replies, and raises the errors of this call. The
        reply to an earlier initiation is read first, and a refusal is reported.
        """
        self._pending = PendingObservation(connection)
        with suppress(GatewayError):
            self._request_lists()

    def _request_lists(self) -> ReadConnections:
        """Send each unsent list request; return the function that reads the connections.

        For a single connection, the SAs are requested only after `list-conns` has answered.
        charon's walks of connections and SAs compete for the CPU, and `observe` waits for the
        shorter walk.
        """
        pending = self._pending
        # charon may not have begun this initiation; an earlier list would not contain it.
        self._initiate_session.read_pending_reply(pending.connection)
        if pending.connection is None:
            self._request_sas()
        if pending.read_connections is None:
            pending.read_connections = self._session.send(
                lambda charon: charon.start_list_conns(pending.connection)
            )
        return pending.read_connections

    def _request_sas(self) -> ReadIkeSas:
        pending = self._pending
        if pending.read_ike_sas is None:
            if pending.connection is None and not self._is_userland_esp():
                # Before charon's list: all that charon has in the kernel now is in it.
                pending.kernel = self.leftovers.read()
            pending.read_ike_sas = cache(
                self._sa_session.send(lambda charon: charon.start_list_sas(pending.connection))
            )
        return pending.read_ike_sas

    def observe(
        self,
        scope: Scope | None = None,
        expected: Mapping[str, Connection] = NO_CONNECTIONS,
        internal: Container[int] = (),
        hosted: Iterable[IPv4Network] = (),
    ) -> tuple[ReadIkeSas, Observed]:
        """Return a function that reads the IKE_SAs, and an `Observed` with everything else.

        charon takes longest for the IKE_SAs, so the caller reads them last. `scope` is one tunnel,
        or None for all. A connection equal to its entry in `expected` is returned as that object.
        The flows of the addresses in `internal` are read; none if it is empty. The interfaces that
        lead to the `hosted` networks are observed, too.

        Requests that were already sent for the same scope are reused. The SA list is requested
        again only after `start_observation` or an `apply` that terminates SAs. charon walks all SAs
        for each request.
        """
        connection = scope.connection if scope else None
        if self._pending.connection != connection:
            self._pending = PendingObservation(connection)
        read_connections = self._request_lists()
        rules = self._nft.rules()
        elements = self._nft.elements_at(scope.elements) if scope else self._nft.elements()
        leftover_flows = self._conntrack.leftover_flows(elements, internal)
        addresses = self._addresses.read()
        routes = self._routes.read(scope.routes if scope else None)
        self._pending.read_connections = None
        connections = read_connections(expected)
        read_ike_sas = self._request_sas()
        with self._session.use() as charon:
            if scope is None or self._userland_esp is None:
                self._userland_esp = charon.userland_esp()
            userland_esp = self._userland_esp
            foreign_connections = () if scope else charon.foreign_connections()
            secrets = self._secrets(charon, scope)
        if scope is None or not self._has_tunnel_route:
            self._has_tunnel_route = userland_esp or has_tunnel_route()
        ends = [connection.as_loaded.ends for connection in expected.values()]
        ends += [loaded.ends for loaded in connections.values()]
        hosted_peers, remote_peers = {end[0] for end in ends}, (end[1] for end in ends)
        return read_ike_sas, Observed(
            connections=connections,
            secrets=secrets,
            ike_sas=(),
            elements=elements,
            rules_current=rules.are_current(userland_esp)
            and (scope is not None or kernel_settings.marks_are_reflected()),
            addresses=addresses.own,
            loopback_addresses=addresses.loopback,
            userland_esp=userland_esp,
            routes=routes,
            has_tunnel_route=self._has_tunnel_route,
            public_interface="" if self._has_tunnel_route else public_interface(remote_peers),
            foreign_connections=foreign_connections,
            drop_counters={} if scope else self._drop_counters(userland_esp),
            kernel=KernelIpsec() if userland_esp else self._pending.kernel,
            leftover_flows=leftover_flows,
            links=self._links.read(
                addresses, hosted_peers, hosted, rules.hosted_side, scope is None
            ),
        )

    def _secrets(self, charon: CharonSession, scope: Scope | None) -> tuple[str, ...] | None:
        if scope is None:
            return charon.list_shared()
        if not scope.lists_secrets:
            return None
        loaded = charon.list_shared()
        return tuple(name for name in loaded if connection_of_secret(name) == scope.connection)

    def _is_userland_esp(self) -> bool:
        if self._userland_esp is None:
            with self._session.use() as charon:
                self._userland_esp = charon.userland_esp()
        return self._userland_esp

    def _drop_counters(self, userland_esp: bool) -> dict[str, int]:
        counters = self._nft.drop_counters()
        # Userland ESP reports its drops in charon's log, which the monitor counts.
        return counters if userland_esp else {**counters, "by_esp": read_policy_drops()}

    def apply(self, plan: Plan, userland_esp: bool, report: Report) -> dict[str, str]:
        """Apply a plan except its initiations, and report each step.

        Returns charon's reason for each refused connection, by connection name. After a refusal
        nothing in the plan was unloaded and no translation changed; plan again without the refused
        revision.

        For a single connection, the lists for the next observation are requested before the
        translations change.
        """
        if plan.terminates_sas:
            self._pending.read_ike_sas = None
        self.leftovers.remove(plan.remove_leftovers, report)
        self._prepare(plan, userland_esp, report)
        if plan.tunnel_route_over:
            add_tunnel_route(plan.tunnel_route_over)
            report(Step("", f"Added the route into tunnels over {plan.tunnel_route_over}"))
        with self._session.use() as charon:
            for address in plan.add_addresses:
                add_loopback_address(address)
                report(Step("", f"Added the loopback address {address} in a hosted subnet"))
            _terminate(charon, plan.terminate_dialing, report, terminated_step)
            if refused := self._load(charon, plan, report):
                return refused
            _change_routes(remove_routes, plan.remove_routes, report, "Stopped announcing")
            self._unload(charon, plan, report)
        if self._pending.connection is not None:
            with suppress(GatewayError):
                self._request_lists()
        self._translate(plan, userland_esp, report)
        _change_routes(add_routes, plan.add_routes, report, "Announced")
        for address in plan.remove_addresses:
            remove_loopback_address(address)
        return {}

    def initiate(self, starts: tuple[Start, ...], report: Report) -> int:
        """Initiate CHILD_SAs without waiting for their negotiation.

        Returns the number of CHILD_SAs that were not initiated within the time limit of `pacing`. A
        later call of this driver may call `report` with charon's refusal.
        """
        initiated = 0
        with Initiator(self._initiate_session, self._vici_socket, report) as initiator:
            for start in pacing.initiate_paced(initiator, starts):
                text = f"Initiated CHILD_SA {start.child}"
                report(Step(start.connection, text, is_repair=False))
                initiated += 1
        return len(starts) - initiated

    def first_rekey(self, connection: str, report: Report) -> bool | None:
        """Call `rekey` for a tunnel, report a result other than None, and return the result.

        Only a rekey shows whether the peers agree on Perfect Forward Secrecy.
        """
        agreed = self.rekey(connection)
        if agreed is not None:
            report(Step(connection, vici_rekey.STEP_TEXTS[agreed], ok=agreed, is_repair=False))
        return agreed

    def rekey(self, connection: str) -> bool | None:
        """Return True if the CHILD_SAs of a tunnel have new keys, False if the peer refused.

        Returns None if no CHILD_SA is up or if the peer does not answer in time.
        """
        with self._session.use() as charon:
            return vici_rekey.rekey(charon, connection)

    def terminate(self, stale_sas: Iterable[StaleSa], report: Report) -> None:
        """Terminate SAs at once, for the command Reconnect; no peer's answer is awaited."""
        with self._session.use() as charon:
            _terminate(charon, stale_sas, report, reconnect_step)

    def zones_in_use(self) -> frozenset[int]:
        """Return the conntrack zones that have a flow."""
        return self._conntrack.zones()

    def ping(self, target: IPv4Address, sources: frozenset[IPv4Address], mark: int) -> bool:
        """Return True if `target` answers a ping from the lowest address in `sources`.

        The ping goes into the tunnel with this mark or, while it is down, nowhere. If `sources` is
        empty, the kernel chooses the source address.
        """
        return ping(target, min(sources, default=None), DECRYPTED_MARK | mark if mark else 0)

    def refused_network(self, networks: Iterable[str]) -> tuple[str, str]:
        """Return the first remote network that a route of the gateway refuses, and its type.

        Both are "" if there is none. charon's own routes precede others on the userland plane.
        """
        for network in () if self._userland_esp else networks:
            if route_type := refusing_route(IPv4Network(network)):
                return network, route_type
        return "", ""

    def _load(self, charon: CharonSession, plan: Plan, report: Report) -> dict[str, str]:
        """Load a plan's secrets and connections; return charon's refusals by connection name.

        The secret of a refused connection is unloaded again.
        """
        refused = {}
        for item, refusal in charon.load(_in_load_order(plan)):
            if isinstance(item, Secret):
                name, noun, suffix = item.connection, "the preshared key", ""
            else:
                name, noun, suffix = item.name, "the connection", f" {item.name}"
            if refusal:
                refused[name] = refusal
                report(Step(name, f"charon refused {noun}: {refusal}", ok=False))
            else:
                report(Step(name, f"Loaded {noun}{suffix}"))
        for secret in plan.load_secrets:
            if secret.connection in refused:
                charon.unload_shared(secret.id)
        return refused

    def _unload(self, charon: CharonSession, plan: Plan, report: Report) -> None:
        for name in plan.unload_connections:
            charon.unload(name)
            report(Step(name, f"Unloaded the connection {name}"))
        for identifier in plan.unload_secrets:
            charon.unload_shared(identifier)
        _terminate(charon, plan.terminate, report, terminated_step)

    def _prepare(self, plan: Plan, userland_esp: bool, report: Report) -> None:
        """Make sure that a new tunnel gets packets of the hosted side only."""
        if plan.write_rules:
            kernel_settings.reflect_marks()
        remove, add = plan.remove_interfaces, plan.add_interfaces
        self._nft.prepare(plan.write_rules, userland_esp, remove, add)
        for name in add:
            report(Step("", f"Added the interface {name} to the hosted side"))
        for name in remove:
            report(Step("", f"Removed the interface {name} from the hosted side"))

    def _translate(self, plan: Plan, userland_esp: bool, report: Report) -> None:
        remove, add = plan.remove_elements, plan.add_elements
        self._nft.change(remove, add, plan.write_rules, userland_esp)
        if plan.write_rules:
            report(Step("", "Restored the forwarding rules"))
        if translations := remove.internal_addresses() | add.internal_addresses():
            report(Step("", f"Changed the address translations ({len(translations)})"))
        if networks := {*remove.keys(NatMap.NETWORKS), *add.keys(NatMap.NETWORKS)}:
            report(Step("", f"Changed the remote networks ({len(networks)})"))
        # The flows of the removed elements are in no report: they end in each removal.
        self._conntrack.end_flows(flows_of(remove), plan.end_flows, self._addresses.read().own)
        if plan.end_flows:
            report(ended_flows_step(plan.end_flows))


def _change_routes(
    change: Callable[[Iterable[str]], None], routes: tuple[str, ...], report: Report, verb: str
) -> None:
    if routes:
        change(routes)
        more = len(routes) - MAX_NAMED_ROUTES
        named = ", ".join(routes[:MAX_NAMED_ROUTES]) + (f" and {more} more" if more > 0 else "")
        report(Step("", f"{verb} {named}"))


def _terminate(
    charon: CharonSession,
    stale_sas: Iterable[StaleSa],
    report: Report,
    step: Callable[[StaleSa], Step],
) -> None:
    for stale in stale_sas:
        charon.terminate(stale)
        report(step(stale))


def _in_load_order(plan: Plan) -> Iterator[Loadable]:
    """Yield the secrets just before their connection, so that each revision is decrypted once.

    The secrets of a connection keep their order: charon authenticates with the last one.
    """
    secrets: dict[str, list[Secret]] = {}
    for secret in plan.load_secrets:
        secrets.setdefault(secret.connection, []).append(secret)
    for connection in plan.load_connections:
        yield from secrets.pop(connection.name, ())
        yield connection
    yield from chain.from_iterable(secrets.values())
