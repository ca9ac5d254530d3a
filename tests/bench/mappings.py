"""Ten thousand mappings applied in one go, against one bare nftables transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from itertools import cycle

from tests.bench.bare import Bare
from tests.bench.bench import Bench
from tests.bench.figures import Figure, at_most, in_turn, median, milliseconds
from vpnportal.domain.compile import compile_specs
from vpnportal.domain.spec import Translation, TunnelSpec
from vpnportal.seal import fingerprint_key

COUNT, ROUNDS = 10_000, 7
INTERNAL, CUSTOMER = IPv4Network("12.0.0.0/16"), IPv4Network("172.16.0.0/16")


def run(bench: Bench) -> Iterator[Figure]:
    """Each round takes another tunnel, all of whose mappings are new; afterwards they go again."""
    stage = bench.small
    # The ends stay as they are, so that the tunnels do.
    tunnels = cycle(stage.specs[2:])

    def ours() -> float:
        spec = next(tunnels)
        with stage.inside():
            settle(replace(spec, remote_subnets=(CUSTOMER,)))
            stage.portal.apply([filled(spec)])
            took = milliseconds(lambda: stage.converge(spec))
            settle(spec)
        return took

    def settle(spec: TunnelSpec) -> None:
        stage.portal.apply([spec])
        stage.converge(spec)

    def bare() -> float:
        elements = compile_specs([filled(stage.specs[0])], fingerprint_key()).elements
        elements = {
            one for one in elements if IPv4Address(one.key) in INTERNAL or one.key in CUSTOMER
        }
        with stage.inside():
            tools = Bare(stage.socket)
            took = milliseconds(lambda: tools.translate(add=elements))
            tools.translate(remove=elements)
        return took

    mine, floor = (median(one) for one in in_turn(ROUNDS, ours, bare))
    yield at_most("10,000 mappings at once", mine, 1.5, floor)


def filled(spec: TunnelSpec) -> TunnelSpec:
    """The tunnel with all the mappings and nothing else that is new."""
    rows = (Translation(INTERNAL[n], CUSTOMER[n]) for n in range(1, COUNT + 1))
    return replace(
        spec,
        remote_subnets=(CUSTOMER,),
        static_nat_subnets=(INTERNAL,),
        translations=tuple(rows),
    )
