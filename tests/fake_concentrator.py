"""The only stand-in of the tests: a concentrator that holds what a plan loads."""

from __future__ import annotations

from ipaddress import IPv4Address
from itertools import count

from vpnportal.device import DeviceError
from vpnportal.device.concentrator import Report, Step
from vpnportal.domain.desired import Connection, Element, Secret
from vpnportal.domain.diff import Plan
from vpnportal.domain.observed import ChildSa, IkeSa, Observed, Scope


class FakeConcentrator:
    """Behaves as the laboratory's: an unknown thing to take away is fine, an old name is replaced.

    `refuses` maps names of connections to charon's reason; `unreachable` is a reason for
    everything; `peer_answers` says whether an initiated child comes up.
    """

    def __init__(self) -> None:
        self.connections: dict[str, Connection] = {}
        self.secrets: dict[str, Secret] = {}
        self.associations: list[IkeSa] = []
        self.elements: set[Element] = set()
        self.rules_stand = False
        self.anchors: set[IPv4Address] = set()
        self.refuses: dict[str, str] = {}
        self.unreachable = ""
        self.peer_answers = True
        self.plans: list[Plan] = []
        self.scopes: list[Scope | None] = []
        self._ids = count(1)

    def observe(self, scope: Scope | None = None) -> Observed:
        if self.unreachable:
            raise DeviceError(self.unreachable)
        self.scopes.append(scope)
        name = scope.connection if scope else None
        return Observed(
            connections={
                one.name: one.children
                for one in self.connections.values()
                if name in (None, one.name)
            },
            secrets=None if scope else frozenset(self.secrets),
            associations=tuple(sa for sa in self.associations if name in (None, sa.connection)),
            elements=frozenset(
                element
                for element in self.elements
                if scope is None or (element.map, element.key) in scope.keys
            ),
            rules_stand=self.rules_stand,
            addresses=frozenset((IPv4Address("10.2.0.1"), *self.anchors)),
            anchors=frozenset(self.anchors),
            userland_esp=True,
        )

    def apply(self, plan: Plan, userland_esp: bool, report: Report) -> dict[str, str]:
        self.plans.append(plan)
        self.anchors |= set(plan.anchor)
        if refused := self._load(plan, report):
            return refused
        for name in plan.unload:
            self.connections.pop(name, None)
        for identifier in plan.forget:
            self.secrets.pop(identifier, None)
        self._terminate(plan)
        self.rules_stand |= plan.write_rules
        self._translate(plan)
        self.anchors -= set(plan.unanchor)
        for connection, child in plan.initiate:
            self._initiate(connection, child)
        return {}

    def _load(self, plan: Plan, report: Report) -> dict[str, str]:
        refused = {
            one.name: self.refuses[one.name] for one in plan.load if one.name in self.refuses
        }
        self.secrets |= {one.id: one for one in plan.remember if one.connection not in refused}
        for connection in plan.load:
            if connection.name not in refused:
                self.connections[connection.name] = connection
                report(Step(connection.name, f"Loaded the connection {connection.name}"))
        return refused

    def _translate(self, plan: Plan) -> None:
        assert set(plan.remove) <= self.elements, "nftables refuses to delete what is not there"
        self.elements -= set(plan.remove)
        taken = {(element.map, element.key) for element in self.elements}
        assert not taken & {(e.map, e.key) for e in plan.add}, "nftables refuses a second value"
        self.elements |= set(plan.add)

    def _terminate(self, plan: Plan) -> None:
        whole = {stale.unique_id for stale in plan.terminate if stale.whole_ike}
        single = {stale.unique_id for stale in plan.terminate if not stale.whole_ike}
        self.associations = [
            IkeSa(
                sa.connection,
                sa.unique_id,
                sa.state,
                tuple(child for child in sa.children if child.unique_id not in single),
            )
            for sa in self.associations
            if sa.unique_id not in whole
        ]

    def _initiate(self, connection: str, child: str) -> None:
        assert child in self.connections[connection].children, "charon does not know this child"
        if not self.peer_answers:
            return
        new = ChildSa(child, f"c{next(self._ids)}", "INSTALLED")
        for at, sa in enumerate(self.associations):
            if sa.connection == connection:
                self.associations[at] = IkeSa(
                    connection, sa.unique_id, sa.state, (*sa.children, new)
                )
                return
        self.associations.append(IkeSa(connection, f"i{next(self._ids)}", "ESTABLISHED", (new,)))
