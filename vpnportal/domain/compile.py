"""The one place where specifications become what a concentrator holds.

Keys of the sections: https://docs.strongswan.org/docs/5.9/swanctl/swanctlConf.html. The settings
shorten no security: the customers' words choose the proposals, and only those are offered.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from vpnportal.domain.algorithms import (
    IKE_VERSIONS,
    Suite,
    esp_proposal,
    esp_suite,
    ike_proposal,
    ike_suite,
)
from vpnportal.domain.desired import (
    ChildShape,
    Compiled,
    Connection,
    Desired,
    Element,
    Map,
    Secret,
    Section,
    Shape,
)
from vpnportal.domain.names import connection_of, fingerprint
from vpnportal.domain.spec import TunnelSpec

# A device that restarted without a word is noticed within this time (RFC 3706; IKEv1 only).
DPD_DELAY = "15s"
DPD_TIMEOUT = "45s"


def compile_specs(specs: Iterable[TunnelSpec], key: bytes) -> Desired:
    """All of these specifications together; none of them may have a problem left.

    `key` keys the fingerprints; another key renames, and so renegotiates, everything.
    """
    return Desired.of(compile_one(spec, key) for spec in specs)


def compile_one(spec: TunnelSpec, key: bytes) -> Compiled:
    """What one specification becomes."""
    name = connection_of(spec.tunnel_id)
    ike = _ike(spec)
    mark = fingerprint(key, [ike, spec.preshared_key])
    # Never sent with a preshared key, but two connections that differ in it are not the same to
    # charon: a new key is negotiated in a new IKE_SA instead of reusing the one with the old key.
    ike["local"] = {"auth": "psk", "id": str(spec.hosted_peer), "aaa_id": mark}
    children: Section = {}
    shapes = []
    for local, remote in selectors(spec):
        child = _child(spec, local, remote)
        child_name = f"{name}-{mark}-{fingerprint(key, child)}"
        children[child_name] = child
        shapes.append(ChildShape(child_name, local, remote, str(_rekey(spec.phase_two.keylife))))
    ends = (str(spec.hosted_peer), str(spec.remote_peer))
    keylife = str(_rekey(spec.phase_one.keylife))
    version = IKE_VERSIONS[spec.ike_version]
    shape = Shape(version, (*ends, *ends), mark, keylife, frozenset(shapes))
    settings: Section = {**ike, "children": children}
    preshared_key = spec.preshared_key
    return Compiled(
        Connection(name, shape, *_suites(spec, children), lambda: settings),
        Secret(f"{name}-{mark}", name, ends, lambda: preshared_key),
        tuple(_elements(spec)),
        spec.hosted_subnets,
        (*spec.remote_subnets, *spec.static_nat_subnets),
    )


def _suites(spec: TunnelSpec, children: Iterable[str]) -> tuple[Suite, dict[str, Suite]]:
    one, two = spec.phase_one, spec.phase_two
    group = two.group if two.pfs else 0
    suite = esp_suite(two.encryption, two.authentication, group)
    ike = ike_suite(one.encryption, one.authentication, one.group)
    return ike, dict.fromkeys(children, suite)


def _rekey(keylife: int) -> int:
    """When charon renegotiates, in seconds: at nine tenths of the key life."""
    return keylife - keylife // 10


def _ike(spec: TunnelSpec) -> Section:
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
        "dpd_delay": DPD_DELAY,
        "dpd_timeout": DPD_TIMEOUT,
        "keyingtries": "0",
        "unique": "replace",
        "mobike": "no",
        "aggressive": "no",
        "local": {"auth": "psk", "id": str(spec.hosted_peer)},
        "remote": {"auth": "psk", "id": str(spec.remote_peer)},
    }


def _child(spec: TunnelSpec, local: tuple[str, ...], remote: tuple[str, ...]) -> Section:
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
    """Traffic selectors of each child: IKEv1 has one pair in a Quick Mode (RFC 2409, 5.5)."""
    hosted = tuple(str(network) for network in sorted(spec.hosted_subnets))
    remote = tuple(str(network) for network in sorted(spec.remote_subnets))
    if spec.ike_version == 1:
        return [((one,), (other,)) for one, other in product(hosted, remote)]
    return [(hosted, remote)]


def _elements(spec: TunnelSpec) -> Iterable[Element]:
    for row in spec.translations:
        internal, customer = int(row.internal), int(row.customer)
        yield Element(Map.INBOUND, internal, customer)
        yield Element(Map.OUTBOUND, customer, internal)
