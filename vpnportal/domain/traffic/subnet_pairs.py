"""The pairs of subnets a tunnel should carry, beside the associations that do carry some."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network

from vpnportal.domain.addresses import overlaps
from vpnportal.domain.traffic.counters import ChildSaSample, IkeSaSample, pair_of

Selectors = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class SubnetPair:
    """Subnets here and there with what carries them: one association, or None."""

    local_ts: tuple[str, ...]
    remote_ts: tuple[str, ...]
    child_sa: ChildSaSample | None = None

    @property
    def name(self) -> str:
        """The text under which their amounts are kept."""
        return pair_of(self.local_ts, self.remote_ts)


def match_pairs(wanted: Iterable[Selectors], lines: Iterable[IkeSaSample]) -> list[SubnetPair]:
    """What is wanted in its order, as it is carried; then what is carried beyond it.

    `wanted` are the selectors of each child of the newest settings.
    """
    carriers = _by_selectors(carrier for line in lines for carrier in line.child_sas)
    found: list[SubnetPair] = []
    for local, remote in wanted:
        if one := carriers.pop(pair_of(local, remote), None):
            found.append(SubnetPair(local, remote, one))
        else:
            found += _missing(local, remote, list(carriers.values()))
    return found + [SubnetPair(one.local_ts, one.remote_ts, one) for one in carriers.values()]


def _by_selectors(carriers: Iterable[ChildSaSample]) -> dict[str, ChildSaSample]:
    """While keys are renewed there are two for a while: of the newest settings, the youngest."""
    ordered = sorted(carriers, key=lambda one: (not one.older, one.installed_at))
    return {one.pair: one for one in ordered}


def _missing(
    local: tuple[str, ...], remote: tuple[str, ...], carriers: list[ChildSaSample]
) -> list[SubnetPair]:
    """What of these subnets nobody carries: all of them as one, or each that is left over."""
    left = [
        (here, there)
        for here in local
        for there in remote
        if not any(_meet(here, one.local_ts) and _meet(there, one.remote_ts) for one in carriers)
    ]
    if len(left) == len(local) * len(remote):
        return [SubnetPair(local, remote)]
    return [SubnetPair((here,), (there,)) for here, there in left]


def _meet(network: str, others: tuple[str, ...]) -> bool:
    """Whether a subnet has an address in common with others; a range or a port is like itself."""
    if network in others:
        return True
    try:
        return bool(overlaps([IPv4Network(network)], [IPv4Network(one) for one in others]))
    except ValueError:
        return False
