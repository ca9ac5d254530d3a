"""A laboratory with a portal's database: many tunnels, of which some have a peer that answers.

Tunnels with a peer are up. charon initiates the other tunnels without an answer: ten thousand real
peers would take one charon most of an hour.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

from django.db import connection

from lab.many_peers import ManyPeers, enter_namespace
from lab.topology import CONCENTRATOR
from tests.bench.bare_calls import BareCalls
from tests.bench.portal import Portal, specification
from tests.observation import observe
from tests.usage_age import age_usage_record
from vpnportal.domain.gateway_config.desired import Desired
from vpnportal.domain.gateway_config.names import tunnel_id
from vpnportal.domain.planning.plan import make_plan
from vpnportal.domain.planning.sa_status import SaStatus, sa_status_by_tunnel
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.gateway.driver import GatewayDriver
from vpnportal.gateway.vici.session import CharonSession
from vpnportal.reconciler import reconcile
from vpnportal.reconciler.target import load_target

STATE = Path(os.environ["VPNPORTAL_STATE"])
PREFIX = os.environ["VPNPORTAL_LAB"]
# Without logs, which ten thousand negotiations would fill, and without DoS limits, which are not
# measured here. Messages to silent peers are retransmitted every 30 seconds, without end.
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


class BenchLab:
    """`tunnels` tunnels, of which the first `played` have a peer and are up.

    `name` is one or two letters, for namespaces and files. All customers have the `shared_network`
    if there is one. With `own_hosted`, each tunnel has a hosted subnet of its own.
    """

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
        shared_network: IPv4Network | None = None,
        own_hosted: bool = False,
    ) -> None:
        self.many = ManyPeers(
            PREFIX + name,
            STATE / name,
            played,
            silent=tunnels - played,
            ike_version=ike_version,
            proposal="aes128-sha1-modp768",
            more=more,
            shared_network=shared_network,
            own_hosted=own_hosted,
        )
        self.played = played
        self.socket = self.many.concentrator.socket
        self.portal = Portal(STATE / name / "portal.sqlite3", self.socket)
        self._loaded = loaded
        peers = (*self.many.peers, *self.many.silent)
        self.specs = [specification(peer, mappings, ike_version) for peer in peers]

    @contextmanager
    def running(self) -> Iterator[BenchLab]:
        """Run for the duration of the block; load all tunnels unless `loaded` is false."""
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
        """Use this database and the concentrator's namespace, like its worker."""
        self.portal.use()
        with enter_namespace(self.many.prefix, CONCENTRATOR):
            yield

    def fill(self) -> None:
        """Load and initiate all tunnels.

        Silent tunnels have a `start_action`, which saves charon a search for each. Tunnels that are
        changed later have none, as in the product: when such a connection is replaced, charon walks
        all IKE_SAs to terminate the SAs of its `start_action`.
        """
        calls, driver = BareCalls(self.socket), GatewayDriver(str(self.socket))
        desired = self.desired()
        # Tunnels with a peer first, so that no message of theirs is lost among the others.
        calls.load_all(desired, lambda number: number <= self.played)
        for name, ike_connection in desired.connections.items():
            if tunnel_id(name) <= self.played:
                calls.initiate(ike_connection)
        self.wait_until_up()
        calls.load_all(desired, lambda number: number > self.played, start_action="start")
        observed = observe(driver)
        plan = make_plan(desired, observed).without_initiation()
        driver.apply(plan, observed.userland_esp, lambda step: None)
        # As on a gateway whose rules are older than any flow.
        age_usage_record()

    def desired(self) -> Desired:
        """Return the desired state of all tunnels."""
        return load_target(self.portal.concentrator, None).desired

    def wait_until_up(self, seconds: float = 300) -> float:
        """Wait until every tunnel with a peer is up; return the seconds."""
        began = time.perf_counter()
        while (up := self.count_up()) < self.played:
            if time.perf_counter() - began > seconds:
                raise TimeoutError(f"{up} of {self.played} tunnels came up")
            # A list of many SAs takes charon long, so do not request it often.
            time.sleep((time.perf_counter() - began) / 10 + 0.02)
        return time.perf_counter() - began

    def count_up(self) -> int:
        """Return the number of tunnels that are up."""
        with CharonSession(str(self.socket)) as charon:
            ike_sas = charon.list_sas()
            return sum(any(child.state == "INSTALLED" for child in sa.children) for sa in ike_sas)

    def wait_until_settled(self, spec: TunnelSpec) -> None:
        """Wait until a tunnel is up with its newest settings and without old SAs."""
        for _ in range(200):
            self.converge(spec)
            name = f"ctx{spec.tunnel_id}"
            with CharonSession(str(self.socket)) as charon:
                statuses = sa_status_by_tunnel(charon.list_conns(name), charon.list_sas(name))
            if statuses.get(spec.tunnel_id) is SaStatus.UP:
                return
            time.sleep(0.02)
        raise TimeoutError(f"{name} is {statuses} after its change")

    def converge(self, spec: TunnelSpec | None = None) -> bool:
        """Converge as the worker does for a message; return True if initiations are left."""
        return reconcile.converge(self.portal.concentrator_id, spec and spec.tunnel_id)
