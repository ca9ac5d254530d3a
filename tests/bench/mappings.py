"""10,000 mappings in one apply, against a bare nftables transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from itertools import cycle

from tests.bench.bare_calls import BareCalls
from tests.bench.bench import Bench
from tests.bench.figures import Figure, at_most, in_turn, median, milliseconds
from tests.desired_state import compile_specs
from vpnportal.domain.tunnel.spec import Translation, TunnelSpec
from vpnportal.encryption import fingerprint_key

COUNT, ROUNDS = 10_000, 7
INTERNAL, CUSTOMER = IPv4Network("12.0.0.0/16"), IPv4Network("172.16.0.0/16")


def run(bench: Bench) -> Iterator[Figure]:
    """Measure one tunnel a round; all its mappings are new and are removed afterwards."""
    lab = bench.small
    tunnels = cycle(lab.specs[2:])

    def ours() -> float:
        spec = next(tunnels)
        with lab.inside():
            lab.portal.apply([with_mappings(spec)])
            duration = milliseconds(lambda: lab.converge(spec))
            lab.portal.apply([spec])
            lab.converge(spec)
        return duration

    def bare() -> float:
        elements = tuple(compile_specs([with_mappings(lab.specs[0])], fingerprint_key()).elements)
        with lab.inside():
            calls = BareCalls(lab.socket)
            duration = milliseconds(lambda: calls.translate(add=elements))
            calls.translate(remove=elements)
        return duration

    value, floor = map(median, in_turn(ROUNDS, ours, bare))
    yield at_most("10,000 mappings at once", value, 1.5, floor)


def with_mappings(spec: TunnelSpec) -> TunnelSpec:
    """Return the tunnel with COUNT mappings and no other change, so that it stays up."""
    rows = (Translation(INTERNAL[n], CUSTOMER[n]) for n in range(1, COUNT + 1))
    return replace(spec, translations=tuple(rows))
