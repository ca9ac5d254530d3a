"""The only stand-in of the tests: a concentrator that holds what a plan loads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from itertools import count

from vpnportal.domain.addresses import AddressSet
from vpnportal.domain.gateway_config.desired import Connection, Secret
from vpnportal.domain.gateway_config.names import ike_fingerprint_of
from vpnportal.domain.gateway_config.nat_elements import NatElement, NatElements
from vpnportal.domain.planning.observed import ChildSa, IkeSa, Observed, Scope
from vpnportal.domain.planning.plan import Plan, Start
from vpnportal.domain.planning.stale_sas import StaleSa
from vpnportal.gateway import GatewayError
from vpnportal.gateway.steps import Report, Step


class FakeGateway:
    """Behaves as the laboratory's: an unknown thing to take away is fine, an old name is replaced.

    `refuses` maps names of connections to charon's reason; `unreachable` is a reason for
    everything; `peer_answers` says whether an initiated child comes up. `refuses_starts` are names
    of connections: charon's answer is reported when the next look begins. `waited` tells how many
    plans had been applied each time that somebody waited to be told what runs; with
    `tells_what_runs` off that fails.
    """

    def __init__(self) -> None:
        self.connections: dict[str, Connection] = {}
        self.secrets: dict[str, Secret] = {}
        self.associations: list[IkeSa] = []
        self.elements: set[NatElement] = set()
        self.rules_stand = False
        self.anchors: set[IPv4Address] = set()
        self.refuses: dict[str, str] = {}
        self.unreachable = ""
        self.peer_answers = True
        self.refuses_starts: set[str] = set()
        self.rekey_agrees = True
        self.started: list[str] = []
        self.rekeyed: list[str] = []
        self.answering: set[IPv4Address] = set()
        self.plans: list[Plan] = []
        self.scopes: list[Scope | None] = []
        self.waited: list[int] = []
        self.tells_what_runs = True
        self._ids = count(1)
        self._unanswered: list[tuple[Report, Step]] = []

    def start_observation(self, connection: str | None) -> None:
        for report, step in self._unanswered:
            report(step)
        self._unanswered.clear()

    def observe(
        self, scope: Scope | None = None, expected: Mapping[str, Connection] | None = None
    ) -> tuple[Callable[[], tuple[IkeSa, ...]], Observed]:
        if self.unreachable:
            raise GatewayError(self.unreachable)
        self.scopes.append(scope)
        name = scope.connection if scope else None
        there = NatElements.from_elements(self.elements)
        asked = tuple(sa for sa in self.associations if name in (None, sa.connection))

        def running() -> tuple[IkeSa, ...]:
            self.waited.append(len(self.plans))
            if not self.tells_what_runs:
                raise GatewayError("charon does not answer.")
            return asked

        return running, Observed(
            connections={
                one.name: one.as_loaded
                for one in self.connections.values()
                if name in (None, one.name)
            },
            secrets=None if scope else frozenset(self.secrets),
            ike_sas=(),
            elements=there.under(scope.elements) if scope else there,
            rules_current=self.rules_stand,
            addresses=AddressSet((IPv4Address("10.2.0.1"),)),
            loopback_addresses=AddressSet(self.anchors),
            userland_esp=True,
        )

    def apply(self, plan: Plan, userland_esp: bool, report: Report) -> dict[str, str]:
        self.plans.append(plan)
        self.anchors |= set(plan.add_addresses)
        self._terminate(plan.terminate_dialing)
        if refused := self._load(plan, report):
            return refused
        for name in plan.unload_connections:
            self.connections.pop(name, None)
            report(Step(name, f"Unloaded the connection {name}"))
        for identifier in plan.unload_secrets:
            self.secrets.pop(identifier, None)
        self._terminate(plan.terminate)
        self.rules_stand |= plan.write_rules
        self._translate(plan)
        self.anchors -= set(plan.remove_addresses)
        self.initiate(plan.initiate, report)
        return {}

    def initiate(self, starts: tuple[Start, ...], report: Report) -> int:
        for one in starts:
            self.started.append(one.child)
            if one.connection in self.refuses_starts:
                report(Step(one.connection, "Initiated it", is_repair=False))
                refusal = Step(
                    one.connection, "charon refused to initiate it", ok=False, is_repair=False
                )
                self._unanswered.append((report, refusal))
                continue
            self._initiate(one.connection, one.child)
        return 0

    def peers_dial(self) -> None:
        """The peers begin what only they may begin."""
        for connection in self.connections.values():
            there = {child.name for sa in self.associations for child in sa.children}
            for child in sorted(connection.children - there) if not connection.initiates else ():
                self._initiate(connection.name, child)

    def first_rekey(self, connection: str, report: Report) -> bool | None:
        self.rekeyed.append(connection)
        return self.rekey_agrees

    def rekey(self, connection: str) -> bool | None:
        if not any(sa.connection == connection for sa in self.associations):
            return None
        self.rekeyed.append(connection)
        return self.rekey_agrees

    def terminate(self, ending: Iterable[StaleSa], report: Report) -> None:
        for stale in ending:
            self._terminate((stale,))
            report(Step(stale.connection, "Terminated an IKE_SA to reconnect", is_repair=False))

    def ping(self, target: IPv4Address, sources: frozenset[IPv4Address]) -> bool:
        return target in self.answering

    def _load(self, plan: Plan, report: Report) -> dict[str, str]:
        refused = {
            one.name: self.refuses[one.name]
            for one in plan.load_connections
            if one.name in self.refuses
        }
        self.secrets |= {one.id: one for one in plan.load_secrets if one.connection not in refused}
        # As charon does, it takes all that there is to be loaded.
        assert all(one.data for one in plan.load_secrets) and all(
            one.settings for one in plan.load_connections
        )
        for connection in plan.load_connections:
            if connection.name not in refused:
                self.connections[connection.name] = connection
                report(Step(connection.name, f"Loaded the connection {connection.name}"))
        return refused

    def _translate(self, plan: Plan) -> None:
        assert set(plan.remove_elements) <= self.elements, (
            "nftables refuses to delete what is not there"
        )
        self.elements -= set(plan.remove_elements)
        taken = {(element.map, element.key) for element in self.elements}
        assert not taken & {(e.map, e.key) for e in plan.add_elements}, (
            "nftables refuses a second value"
        )
        self.elements |= set(plan.add_elements)

    def _terminate(self, ending: tuple[StaleSa, ...]) -> None:
        whole = {stale.unique_id for stale in ending if stale.whole_ike}
        single = {stale.unique_id for stale in ending if not stale.whole_ike}
        self.associations = [
            replace(sa, children=tuple(c for c in sa.children if c.unique_id not in single))
            for sa in self.associations
            if sa.unique_id not in whole
        ]

    def _initiate(self, connection: str, child: str) -> None:
        """Another fingerprint of IKE means another IKE_SA, which replaces the older ones."""
        wanted = self.connections[connection]
        assert child in wanted.children, "charon does not know this child"
        if not self.peer_answers:
            return
        (shape,) = (one for one in wanted.as_loaded.children if one.name == child)
        new = ChildSa(
            child,
            f"c{next(self._ids)}",
            "INSTALLED",
            wanted.child_suite,
            shape.local_ts,
            shape.remote_ts,
        )
        for at, sa in enumerate(self.associations):
            marks = {ike_fingerprint_of(one.name) for one in sa.children}
            if sa.connection == connection and marks <= {wanted.as_loaded.ike_fingerprint}:
                self.associations[at] = replace(sa, children=(*sa.children, new))
                return
        self.associations = [sa for sa in self.associations if sa.connection != connection]
        self.associations.append(
            IkeSa(
                connection,
                f"i{next(self._ids)}",
                "ESTABLISHED",
                (new,),
                initiator=wanted.initiates,
                remote_host=wanted.as_loaded.ends[1],
                suite=wanted.suite,
            )
        )
