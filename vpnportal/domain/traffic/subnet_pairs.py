"""Pairs of configured subnets, matched with the CHILD_SAs that carry their traffic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network

from vpnportal.domain.addresses import overlaps
from vpnportal.domain.traffic.counters import ChildSaSample, IkeSaSample, pair_of

Selectors = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class SubnetPair:
    """Local and remote subnets; `child_sa` carries their traffic, and is None while down."""

    local_ts: tuple[str, ...]
    remote_ts: tuple[str, ...]
    child_sa: ChildSaSample | None = None

    @property
    def name(self) -> str:
        """The key of the traffic between these subnets in `Traffic.pairs`."""
        return pair_of(self.local_ts, self.remote_ts)


def match_pairs(selectors: Iterable[Selectors], ike_sas: Iterable[IkeSaSample]) -> list[SubnetPair]:
    """Return the pairs of the newest settings in order, then the pairs of all other CHILD_SAs.

    `selectors` are the local and remote networks of each configured child.
    """
    child_sas = _by_pair(child for ike_sa in ike_sas for child in ike_sa.child_sas)
    pairs: list[SubnetPair] = []
    for local, remote in selectors:
        if child := child_sas.pop(pair_of(local, remote), None):
            pairs.append(SubnetPair(local, remote, child))
        else:
            pairs += _down_pairs(local, remote, list(child_sas.values()))
    return pairs + [
        SubnetPair(child.local_ts, child.remote_ts, child) for child in child_sas.values()
    ]


def _by_pair(child_sas: Iterable[ChildSaSample]) -> dict[str, ChildSaSample]:
    """Return one CHILD_SA per pair: with loaded settings if possible, then the last installed."""
    ordered = sorted(child_sas, key=lambda child: (not child.older, child.installed_at))
    return {child.pair: child for child in ordered}


def _down_pairs(
    local: tuple[str, ...], remote: tuple[str, ...], child_sas: list[ChildSaSample]
) -> list[SubnetPair]:
    """Return the subnet pairs of the selectors that no CHILD_SA covers.

    If no pair is covered, the result is one `SubnetPair` with all subnets.
    """
    pairs = [
        (own, other)
        for own in local
        for other in remote
        if not any(
            _overlaps(own, child.local_ts) and _overlaps(other, child.remote_ts)
            for child in child_sas
        )
    ]
    if len(pairs) == len(local) * len(remote):
        return [SubnetPair(local, remote)]
    return [SubnetPair((own,), (other,)) for own, other in pairs]


def _overlaps(network: str, others: tuple[str, ...]) -> bool:
    """Return True if a subnet overlaps another; selectors with ranges or ports must be equal."""
    if network in others:
        return True
    try:
        return bool(overlaps([IPv4Network(network)], [IPv4Network(other) for other in others]))
    except ValueError:
        return False
