"""A concentrator with its portal: many tunnels loaded, some peers answering, the rest silent.

Peers that answer are up. Silent ones are dialled and no more: ten thousand real peers would take a
charon of one machine most of an hour.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

from lab.many_peers import ManyPeers, enter_namespace
from lab.topology import CONCENTRATOR
from tests.bench.bare import Bare
from tests.bench.portal import Portal, specification
from tests.observation import observe
from vpnportal.domain.gateway_config.desired import Desired
from vpnportal.domain.gateway_config.names import tunnel_id
from vpnportal.domain.planning.plan import make_plan
from vpnportal.domain.planning.sa_status import SaStatus, sa_status_by_tunnel
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.gateway.driver import GatewayDriver as Device
from vpnportal.gateway.vici.session import CharonSession
from vpnportal.reconciler import reconcile
from vpnportal.reconciler.target import load_target

STATE = Path(os.environ["VPNPORTAL_STATE"])
PREFIX = os.environ["VPNPORTAL_LAB"]
# Ten thousand tunnels would fill the log with their negotiations, and a device that answers a
# hundred at once is not what is measured. Silent peers are dialled every half minute, for ever.
QUIET = """
charon {
    dos_protection = no
    retransmit_timeout = 30
    retransmit_base = 1
    retransmit_tries = 100
    ikesa_table_size = 4096
    ikesa_table_segments = 16
    filelog {
        laboratory {
            default = 0
            ike = 0
            cfg = 0
            net = 0
        }
    }
}
"""


class Stage:
    """`name` is one or two letters; the first `played` tunnels are up, the rest is silent."""

    def __init__(
        self,
        name: str,
        tunnels: int,
        played: int,
        *,
        mappings: int = 0,
        ike_version: int = 1,
        more: str = QUIET,
        loaded: bool = True,
    ) -> None:
        self.many = ManyPeers(
            PREFIX + name,
            STATE / name,
            played,
            silent=tunnels - played,
            ike_version=ike_version,
            proposal="aes128-sha1-modp768",
            more=more,
        )
        self.played = played
        self.socket = self.many.concentrator.socket
        self.portal = Portal(STATE / name / "portal.sqlite3", self.socket)
        self._loaded = loaded
        everybody = (*self.many.peers, *self.many.silent)
        self.specs = [specification(peer, mappings, ike_version) for peer in everybody]

    @contextmanager
    def running(self) -> Iterator[Stage]:
        """While the block runs; everything is loaded, and what can be up is up, unless told not."""
        with self.many.running():
            self.portal.make()
            self.portal.add(self.specs)
            if self._loaded:
                with self.inside():
                    self.fill()
            yield self
            connection.close()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Where the worker of this concentrator runs."""
        self.portal.use()
        with enter_namespace(self.many.prefix, CONCENTRATOR):
            yield

    def fill(self) -> None:
        """Loads and starts everything: `start_action` saves charon a search for each silent one.

        Not those that are changed later: charon walks through all that runs to end what such a
        connection had started when another one takes its place. The product loads none.
        """
        tools, device = Bare(self.socket), Device(str(self.socket))
        desired = self.desired()
        # First those that answer: nothing of them is lost among ten thousand others.
        tools.load_all(desired, lambda number: number <= self.played)
        for name, one in desired.connections.items():
            if tunnel_id(name) <= self.played:
                tools.initiate(one)
        self.wait_until_up()
        tools.load_all(desired, lambda number: number > self.played, start_action="start")
        seen = observe(device)
        plan = make_plan(desired, seen).without_initiation()
        device.apply(plan, seen.userland_esp, lambda step: None)

    def desired(self) -> Desired:
        """All that it should hold."""
        return load_target(self.portal.concentrator, None).desired

    def wait_until_up(self, seconds: float = 120) -> float:
        """So many seconds it took until every peer that is played had its tunnel."""
        began = time.perf_counter()
        while (up := self.up()) < self.played:
            if time.perf_counter() - began > seconds:
                raise TimeoutError(f"{up} of {self.played} tunnels came up")
            # Asking takes charon long where there are many.
            time.sleep((time.perf_counter() - began) / 10 + 0.02)
        return time.perf_counter() - began

    def up(self) -> int:
        """How many tunnels are."""
        with CharonSession(str(self.socket)) as charon:
            running = charon.list_sas()
            return sum(any(child.state == "INSTALLED" for child in sa.children) for sa in running)

    def settled(self, spec: TunnelSpec) -> None:
        """Waits until a tunnel is up with its newest settings, and the older ones are gone."""
        for _ in range(200):
            reconcile.converge(self.portal.concentrator.pk, spec.tunnel_id)
            name = f"ctx{spec.tunnel_id}"
            with CharonSession(str(self.socket)) as charon:
                seen = sa_status_by_tunnel(charon.list_conns(name), charon.list_sas(name))
            if seen.get(spec.tunnel_id) is SaStatus.UP:
                return
            time.sleep(0.02)
        raise TimeoutError(f"{name} is {seen} after its change")

    def converge(self, spec: TunnelSpec | None = None) -> bool:
        """What the worker does with a message."""
        return reconcile.converge(self.portal.concentrator.pk, spec and spec.tunnel_id)
