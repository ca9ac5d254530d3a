"""Ten thousand mappings applied in one go, against one bare nftables transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from itertools import cycle

from tests.bench.bare import Bare
from tests.bench.bench import Bench
from tests.bench.figures import Figure, at_most, in_turn, median, milliseconds
from tests.desired_state import compile_specs
from vpnportal.domain.tunnel.spec import Translation, TunnelSpec
from vpnportal.encryption import fingerprint_key

COUNT, ROUNDS = 10_000, 7
INTERNAL, CUSTOMER = IPv4Network("12.0.0.0/16"), IPv4Network("172.16.0.0/16")


def run(bench: Bench) -> Iterator[Figure]:
    """Each round takes another tunnel, all of whose mappings are new; afterwards they go again."""
    stage = bench.small
    tunnels = cycle(stage.specs[2:])

    def ours() -> float:
        spec = next(tunnels)
        with stage.inside():
            stage.portal.apply([filled(spec)])
            took = milliseconds(lambda: stage.converge(spec))
            stage.portal.apply([spec])
            stage.converge(spec)
        return took

    def bare() -> float:
        everything = tuple(compile_specs([filled(stage.specs[0])], fingerprint_key()).elements)
        with stage.inside():
            tools = Bare(stage.socket)
            took = milliseconds(lambda: tools.translate(add=everything))
            tools.translate(remove=everything)
        return took

    mine, floor = (median(one) for one in in_turn(ROUNDS, ours, bare))
    yield at_most("10,000 mappings at once", mine, 1.5, floor)


def filled(spec: TunnelSpec) -> TunnelSpec:
    """The tunnel with all the mappings and nothing else that is new, so that it stays up."""
    rows = (Translation(INTERNAL[n], CUSTOMER[n]) for n in range(1, COUNT + 1))
    return replace(spec, translations=tuple(rows))
