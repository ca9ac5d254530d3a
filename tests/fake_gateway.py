"""A gateway in memory, with the methods of `GatewayDriver`: the only test double of charon.

With the kernel plane, its `leftovers` hold the kernel's states and policies.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from itertools import count, product

from vpnportal.domain.addresses import AddressSet
from vpnportal.domain.gateway_config.desired import Connection, Secret
from vpnportal.domain.gateway_config.names import ike_fingerprint_of
from vpnportal.domain.gateway_config.nat_elements import NatElement, NatElements
from vpnportal.domain.gateway_config.nat_flows import NatFlows, flows_of, flows_without_element
from vpnportal.domain.planning.kernel_ipsec import (
    Direction,
    KernelIpsec,
    KernelPolicy,
    KernelState,
    Peers,
)
from vpnportal.domain.planning.leftovers import Leftover, peers_of, still_unknown
from vpnportal.domain.planning.observed import ChildSa, IkeSa, Observed, Scope
from vpnportal.domain.planning.plan import Plan, Start
from vpnportal.domain.planning.stale_sas import StaleSa
from vpnportal.gateway import GatewayError
from vpnportal.gateway.steps import Report, Step, ended_flows_step


class FakeGateway:
    """A gateway that holds the objects of the plans that it applied.

    As in the laboratory, removing an unknown object succeeds, and loading a known name replaces it.
    A secret that is loaded is the first one.

    Controls: `load_refusals` maps connections to charon's reason. `initiation_refusals` are
    connections; the next observation reports their refusals. `unreachable` is the reason of a
    GatewayError in each observation. `peer_answers` is True if initiated children come up. With
    `lists_sas` False, reading the SA list raises GatewayError. With `userland_esp` False, the
    kernel has states and policies of each CHILD_SA. `flows` are the translated flows in conntrack.
    The next `failing_flow_deletions` deletions of flows fail.

    Records: `sa_list_reads` is the number of applied plans at each reading of the SA list;
    `flow_reads` counts the observations that read the flows.
    """

    def __init__(self, userland_esp: bool = True) -> None:
        self.userland_esp = userland_esp
        self.leftovers = FakeLeftovers(self)
        self.connections: dict[str, Connection] = {}
        self.secrets: dict[str, Secret] = {}
        self.ike_sas: list[IkeSa] = []
        self.elements: set[NatElement] = set()
        self.flows: set[NatFlows] = set()
        self.failing_flow_deletions = 0
        self.flow_reads = 0
        self.rules_current = False
        self.loopback_addresses: set[IPv4Address] = set()
        self.routes: set[str] = set()
        self.has_tunnel_route = True
        self.public_interface = "public"
        self.blackholes: set[str] = set()
        self.load_refusals: dict[str, str] = {}
        self.initiation_refusals: set[str] = set()
        self.unreachable = ""
        self.peer_answers = True
        self.lists_sas = True
        self.rekey_result: bool | None = True
        self.pingable: set[IPv4Address] = set()
        self.initiated: list[str] = []
        self.rekeyed: list[str] = []
        self.plans: list[Plan] = []
        self.scopes: list[Scope | None] = []
        self.sa_list_reads: list[int] = []
        self._ids = count(1)
        self._late_refusals: list[tuple[Report, Step]] = []

    def start_observation(self, connection: str | None) -> None:
        for report, step in self._late_refusals:
            report(step)
        self._late_refusals.clear()

    def observe(
        self,
        scope: Scope | None = None,
        expected: Mapping[str, Connection] | None = None,
        internal: Container[int] = (),
        hosted: Iterable[IPv4Network] = (),
    ) -> tuple[Callable[[], tuple[IkeSa, ...]], Observed]:
        if self.unreachable:
            raise GatewayError(self.unreachable)
        self.scopes.append(scope)
        name = scope.connection if scope else None
        elements = NatElements.from_elements(self.elements)
        ike_sas = tuple(sa for sa in self.ike_sas if name in (None, sa.connection))
        self.flow_reads += bool(internal)

        def read_ike_sas() -> tuple[IkeSa, ...]:
            self.sa_list_reads.append(len(self.plans))
            if not self.lists_sas:
                raise GatewayError("charon does not answer.")
            return ike_sas

        return read_ike_sas, Observed(
            connections={
                connection.name: connection.as_loaded
                for connection in self.connections.values()
                if name in (None, connection.name)
            },
            secrets=self._secret_ids(scope),
            ike_sas=(),
            elements=elements.under(scope.elements) if scope else elements,
            rules_current=self.rules_current,
            addresses=AddressSet((IPv4Address("10.2.0.1"),)),
            loopback_addresses=AddressSet(self.loopback_addresses),
            userland_esp=self.userland_esp,
            kernel=KernelIpsec() if scope else self.leftovers.read(),
            has_tunnel_route=self.has_tunnel_route,
            public_interface="" if self.has_tunnel_route else self.public_interface,
            routes=scope.routes & self.routes if scope else frozenset(self.routes),
            leftover_flows=frozenset(
                flows
                for flows in flows_without_element(self.flows, elements)
                if flows.pair[0] in internal
            ),
        )

    def _secret_ids(self, scope: Scope | None) -> tuple[str, ...] | None:
        """Return the ids of the secrets as charon lists them: first the one loaded last."""
        if scope is None:
            return tuple(self.secrets)
        names = [name for name, item in self.secrets.items() if item.connection == scope.connection]
        return tuple(names) if scope.lists_secrets else None

    def apply(self, plan: Plan, userland_esp: bool, report: Report) -> dict[str, str]:
        self.plans.append(plan)
        self.leftovers.remove(plan.remove_leftovers, report)
        self.has_tunnel_route |= bool(plan.tunnel_route_over)
        self.loopback_addresses |= set(plan.add_addresses)
        self._terminate(plan.terminate_dialing)
        if refusals := self._load(plan, report):
            return refusals
        self.routes -= set(plan.remove_routes)
        for name in plan.unload_connections:
            self.connections.pop(name, None)
            report(Step(name, f"Unloaded the connection {name}"))
        for secret_id in plan.unload_secrets:
            self.secrets.pop(secret_id, None)
        self._terminate(plan.terminate)
        self.rules_current |= plan.write_rules
        self._translate(plan)
        self.routes |= set(plan.add_routes)
        if plan.end_flows:
            report(ended_flows_step(plan.end_flows))
        self.loopback_addresses -= set(plan.remove_addresses)
        self.initiate(plan.initiate, report)
        return {}

    def initiate(self, starts: tuple[Start, ...], report: Report) -> int:
        for start in starts:
            self.initiated.append(start.child)
            if start.connection in self.initiation_refusals:
                report(Step(start.connection, "Initiated it", is_repair=False))
                refusal = Step(
                    start.connection, "charon refused to initiate it", ok=False, is_repair=False
                )
                self._late_refusals.append((report, refusal))
                continue
            self._initiate(start.connection, start.child)
        return 0

    def peers_initiate(self) -> None:
        """Initiate the missing children of the connections that only respond, as peers do."""
        for connection in self.connections.values():
            present = {child.name for sa in self.ike_sas for child in sa.children}
            missing = connection.children - present
            for child in () if connection.initiates else sorted(missing):
                self._initiate(connection.name, child)

    def first_rekey(self, connection: str, report: Report) -> bool | None:
        self.rekeyed.append(connection)
        return self.rekey_result

    def rekey(self, connection: str) -> bool | None:
        if not any(sa.connection == connection for sa in self.ike_sas):
            return None
        self.rekeyed.append(connection)
        return self.rekey_result

    def terminate(self, stale_sas: Iterable[StaleSa], report: Report) -> None:
        for stale in stale_sas:
            self._terminate((stale,))
            report(Step(stale.connection, "Terminated an IKE_SA to reconnect", is_repair=False))

    def zones_in_use(self) -> frozenset[int]:
        return frozenset(flows.zone for flows in self.flows)

    def ping(self, target: IPv4Address, sources: frozenset[IPv4Address], mark: int) -> bool:
        return target in self.pingable

    def refused_network(self, networks: Iterable[str]) -> tuple[str, str]:
        return next(
            ((network, "blackhole") for network in networks if network in self.blackholes), ("", "")
        )

    def _load(self, plan: Plan, report: Report) -> dict[str, str]:
        refusals = {
            connection.name: self.load_refusals[connection.name]
            for connection in plan.load_connections
            if connection.name in self.load_refusals
        }
        for secret in plan.load_secrets:
            if secret.connection not in refusals:
                others = {name: item for name, item in self.secrets.items() if name != secret.id}
                self.secrets = {secret.id: secret, **others}
        # Read each key and each section, as loading into charon does: they may be lazy.
        assert all(secret.data for secret in plan.load_secrets)
        assert all(connection.settings for connection in plan.load_connections)
        for connection in plan.load_connections:
            if connection.name not in refusals:
                self.connections[connection.name] = connection
                report(Step(connection.name, f"Loaded the connection {connection.name}"))
        return refusals

    def _translate(self, plan: Plan) -> None:
        assert set(plan.remove_elements) <= self.elements, (
            "nftables refuses to delete an element that the map does not hold"
        )
        self.elements -= set(plan.remove_elements)
        keys = {(element.map, element.key) for element in self.elements}
        new_keys = {(element.map, element.key) for element in plan.add_elements}
        assert not keys & new_keys, "nftables refuses a second value for a key"
        self.elements |= set(plan.add_elements)
        if self.failing_flow_deletions:
            self.failing_flow_deletions -= 1
            raise GatewayError("netfilter does not answer: timed out.")
        self.flows -= {*flows_of(plan.remove_elements), *plan.end_flows}

    def _terminate(self, stale_sas: tuple[StaleSa, ...]) -> None:
        before = self.child_sas()
        ike_ids = {stale.unique_id for stale in stale_sas if stale.whole_ike}
        child_ids = {stale.unique_id for stale in stale_sas if not stale.whole_ike}
        self.ike_sas = [
            replace(
                sa,
                children=tuple(child for child in sa.children if child.unique_id not in child_ids),
            )
            for sa in self.ike_sas
            if sa.unique_id not in ike_ids
        ]
        for child in before - self.child_sas():
            self.leftovers.uninstall(child)

    def child_sas(self) -> set[ChildSa]:
        """Return the CHILD_SAs of all IKE_SAs."""
        return {child for sa in self.ike_sas for child in sa.children}

    def kill_charon(self) -> None:
        """Kill charon and start it again: it knows nothing, and the kernel goes on."""
        self.connections.clear()
        self.secrets.clear()
        self.ike_sas.clear()
        self.leftovers.seconds = 1.0

    def _initiate(self, name: str, child: str) -> None:
        """Add a CHILD_SA, to an IKE_SA with the same fingerprint or to a new IKE_SA.

        A new IKE_SA replaces the older IKE_SAs of the connection.
        """
        connection = self.connections[name]
        assert child in connection.children, "charon does not know this child"
        if not self.peer_answers:
            return
        (loaded,) = (loaded for loaded in connection.as_loaded.children if loaded.name == child)
        number = next(self._ids)
        child_sa = ChildSa(
            child,
            f"c{number}",
            "INSTALLED",
            connection.child_suite,
            loaded.local_ts,
            loaded.remote_ts,
            spi_in=number * 2,
            spi_out=number * 2 + 1,
            mark=connection.mark,
        )
        self.leftovers.install(connection, child_sa)
        for index, sa in enumerate(self.ike_sas):
            fingerprints = {ike_fingerprint_of(present.name) for present in sa.children}
            if sa.connection == name and fingerprints <= {connection.as_loaded.ike_fingerprint}:
                self.ike_sas[index] = replace(sa, children=(*sa.children, child_sa))
                return
        self.ike_sas = [sa for sa in self.ike_sas if sa.connection != name]
        self.ike_sas.append(
            IkeSa(
                name,
                str(next(self._ids)),
                "ESTABLISHED",
                (child_sa,),
                initiator=connection.initiates,
                local_host=connection.as_loaded.ends[0],
                remote_host=connection.as_loaded.ends[1],
                suite=connection.suite,
            )
        )


class FakeLeftovers:
    """The kernel's IPsec with the methods of `KernelLeftovers`.

    Controls: `seconds` is the time since charon's start, `runs` is False while it is dead.
    `foreign` are IKE_SAs of other programs in charon.
    """

    def __init__(self, gateway: FakeGateway) -> None:
        self._gateway = gateway
        self.seconds = 3600.0
        self.runs = True
        self.foreign: tuple[IkeSa, ...] = ()
        self.states: set[KernelState] = set()
        # charon replaces a policy between the same networks with the same mark.
        self.held_policies: dict[tuple[Direction, str, str, int], KernelPolicy] = {}

    def install(self, connection: Connection, child: ChildSa) -> None:
        """Add the states and policies of a CHILD_SA, as charon does."""
        if self._gateway.userland_esp:
            return
        hosted, remote, mark = peers_of(connection)
        # A started charon counts from 1 again, so numbers of different children can be equal.
        reqid = 1 + sorted(connection.children).index(child.name)
        self.states |= {
            KernelState(remote, hosted, child.spi_in, reqid, output_mark=mark),
            KernelState(hosted, remote, child.spi_out, reqid, lookup_mark=mark),
        }
        for local_ts, remote_ts in product(child.local_ts, child.remote_ts):
            for direction in Direction:
                ways = ((local_ts, remote_ts), (hosted, remote))
                if direction is not Direction.OUT:
                    ways = ((remote_ts, local_ts), (remote, hosted))
                key = (direction, *ways[0], mark)
                number = (
                    self.held_policies[key].number
                    if key in self.held_policies
                    else len(self.held_policies)
                )
                self.held_policies[key] = KernelPolicy(
                    direction, number, *ways[0], *ways[1], reqid, mark
                )

    def uninstall(self, child: ChildSa) -> None:
        """Remove the states of a CHILD_SA, and the policies that no other CHILD_SA uses."""
        self.states = {
            state for state in self.states if state.spi not in (child.spi_in, child.spi_out)
        }
        used = {
            (*networks, other.mark)
            for other in self._gateway.child_sas()
            for networks in product(other.local_ts, other.remote_ts)
        }
        ended = {(*networks, child.mark) for networks in product(child.local_ts, child.remote_ts)}
        self.held_policies = {
            key: policy
            for key, policy in self.held_policies.items()
            if (*policy.networks, policy.mark) not in ended - used
        }

    def read(self) -> KernelIpsec:
        return KernelIpsec(tuple(self.states), self.policies())

    def states_between(self, peers: Iterable[Peers]) -> tuple[KernelState, ...]:
        ends = {frozenset(pair[:2]) for pair in peers}
        return tuple(
            state for state in self.states if frozenset((state.source, state.destination)) in ends
        )

    def policies(self) -> tuple[KernelPolicy, ...]:
        return tuple(self.held_policies.values())

    def charon_seconds(self) -> float:
        return self.seconds

    def charon_runs(self) -> bool:
        return self.runs

    def confirm(self, leftovers: Iterable[Leftover]) -> tuple[Leftover, ...]:
        return still_unknown(leftovers, (*self._gateway.ike_sas, *self.foreign))

    def remove(self, leftovers: Iterable[Leftover], report: Report) -> None:
        for connection, entry in leftovers:
            if isinstance(entry, KernelState):
                self.states.discard(entry)
                noun = "state"
            else:
                self.held_policies = {
                    key: policy for key, policy in self.held_policies.items() if policy != entry
                }
                noun = "policy"
            report(Step(connection, f"Removed a kernel {noun} that charon does not know"))
