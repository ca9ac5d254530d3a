"""The one place where specifications become what a concentrator holds.

Keys of the sections: https://docs.strongswan.org/docs/5.9/swanctl/swanctlConf.html. The settings
shorten no security: the customers' words choose the proposals, and only those are offered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from sys import intern

from vpnportal.domain.gateway_config.desired import (
    CompiledTunnel,
    Connection,
    LoadedChild,
    LoadedConnection,
    Secret,
    ViciSection,
)
from vpnportal.domain.gateway_config.names import connection_of, fingerprint
from vpnportal.domain.gateway_config.nat_elements import NatElements
from vpnportal.domain.gateway_config.proposals import esp_proposal, ike_proposal
from vpnportal.domain.tunnel.algorithms import Suite, esp_suite, ike_suite
from vpnportal.domain.tunnel.spec import Starts, TunnelSpec

# charon's words for the versions, as it lists connections.
VERSIONS = {0: "IKEv1/2", 1: "IKEv1", 2: "IKEv2"}
# IKEv1 gives up a peer that was asked so often; IKEv2 one that leaves a request unanswered.
ASKED = 3


@dataclass(frozen=True, slots=True)
class InlineSettings:
    """A source that has everything at hand."""

    settings: ViciSection = field(repr=False)
    preshared_key: str = field(repr=False)


def compile_tunnel(spec: TunnelSpec, key: bytes) -> CompiledTunnel:
    """What one specification becomes."""
    name = connection_of(spec.tunnel_id)
    ike = _ike(spec)
    mark = fingerprint(key, [ike, spec.preshared_key])
    # Never sent with a preshared key, but two connections that differ in it are not the same to
    # charon: a new key is negotiated in a new IKE_SA instead of reusing the one with the old key.
    ike["local"] = {"auth": "psk", "id": str(spec.hosted_peer), "aaa_id": mark}
    # Who begins is no part of what is negotiated: it renames, and so renegotiates, nothing.
    dials = spec.starts is not Starts.OTHER
    if not dials:
        ike["keyingtries"] = "1"
    children: ViciSection = {}
    shapes = []
    for local, remote in selectors(spec):
        child = _child(spec, local, remote)
        child_name = f"{name}-{mark}-{fingerprint(key, child)}"
        children[child_name] = child if dials else {**child, "dpd_action": "clear"}
        rekey, when_dead = _text(_rekey(spec.phase_two.keylife)), "start" if dials else "none"
        shapes.append(LoadedChild(child_name, local, remote, rekey, when_dead))
    ends = (str(spec.hosted_peer), str(spec.remote_peer))
    keylife = _text(_rekey(spec.phase_one.keylife))
    version = VERSIONS[spec.ike_version]
    shape = LoadedConnection(version, (*ends, *ends), mark, keylife, tuple(sorted(shapes)))
    source = InlineSettings({**ike, "children": children}, spec.preshared_key)
    return CompiledTunnel(
        Connection(name, shape, *suites(spec), source, dials),
        Secret(f"{name}-{mark}", name, ends, source),
        NatElements.translating(
            (int(row.internal), int(row.customer)) for row in spec.translations
        ),
        tuple(map(_text, spec.hosted_subnets)),
        tuple(map(str, (*spec.remote_subnets, *spec.static_nat_subnets))),
    )


def _text(value: object) -> str:
    """What ten thousand tunnels have in common is one text in memory."""
    return intern(str(value))


def suites(spec: TunnelSpec) -> tuple[Suite, Suite]:
    """What an IKE_SA runs with, and what each child does."""
    one, two = spec.phase_one, spec.phase_two
    group = two.group if two.pfs else 0
    return (
        ike_suite(one.encryption, one.authentication, one.group),
        esp_suite(two.encryption, two.authentication, group),
    )


def _rekey(keylife: int) -> int:
    """When charon renegotiates, in seconds: at nine tenths of the key life."""
    return keylife - keylife // 10


def _ike(spec: TunnelSpec) -> ViciSection:
    """Phase one; charon gives up when the key life ends."""
    one = spec.phase_one
    early = one.keylife // 10
    return {
        "version": str(spec.ike_version),
        "local_addrs": [str(spec.hosted_peer)],
        "remote_addrs": [str(spec.remote_peer)],
        "proposals": [ike_proposal(one.encryption, one.authentication, one.group)],
        "rekey_time": f"{_rekey(one.keylife)}s",
        "over_time": f"{early}s",
        "rand_time": f"{early // 2}s",
        "reauth_time": "0s",
        "dpd_delay": f"{spec.dpd_seconds}s",
        "dpd_timeout": f"{spec.dpd_seconds * ASKED}s",
        "keyingtries": "0",
        "unique": "replace",
        "mobike": "no",
        "aggressive": "no",
        "local": {"auth": "psk", "id": str(spec.hosted_peer)},
        "remote": {"auth": "psk", "id": str(spec.remote_peer)},
    }


def _child(spec: TunnelSpec, local: tuple[str, ...], remote: tuple[str, ...]) -> ViciSection:
    """Phase two. `start_action` stays none: the plan says when a child is started."""
    two = spec.phase_two
    return {
        "local_ts": list(local),
        "remote_ts": list(remote),
        "esp_proposals": [
            esp_proposal(two.encryption, two.authentication, two.group if two.pfs else 0)
        ],
        "rekey_time": f"{_rekey(two.keylife)}s",
        "life_time": f"{two.keylife}s",
        "rand_time": f"{two.keylife // 20}s",
        "dpd_action": "restart",
        "start_action": "none",
        "close_action": "none",
    }


def selectors(spec: TunnelSpec) -> Iterable[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Traffic selectors of each child: one pair, or all of both ends."""
    hosted = tuple(map(_text, sorted(spec.hosted_subnets)))
    remote = tuple(map(str, sorted(spec.remote_subnets)))
    if spec.has_child_per_pair:
        return [((one,), (other,)) for one, other in product(hosted, remote)]
    return [(hosted, remote)]
