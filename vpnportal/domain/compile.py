"""The one place where specifications become what a concentrator holds.

Keys of the sections: https://docs.strongswan.org/docs/5.9/swanctl/swanctlConf.html. The settings
shorten no security: the customers' words choose the proposals, and only those are offered.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network
from itertools import product

from vpnportal.domain.algorithms import esp_proposal, ike_proposal
from vpnportal.domain.desired import Connection, Desired, Element, Map, Secret, Section
from vpnportal.domain.names import connection_of, fingerprint
from vpnportal.domain.spec import TunnelSpec

# A device that restarted without a word is noticed within this time (RFC 3706; IKEv1 only).
DPD_DELAY = "15s"
DPD_TIMEOUT = "45s"


def compile_specs(specs: Iterable[TunnelSpec], key: bytes) -> Desired:
    """All of these specifications together; none of them may have a problem left.

    `key` keys the fingerprints; another key renames, and so renegotiates, everything.
    """
    everything = tuple(specs)
    pairs = [_connection(spec, key) for spec in everything]
    return Desired(
        connections={connection.name: connection for connection, _ in pairs},
        secrets={secret.id: secret for _, secret in pairs},
        elements=frozenset(element for spec in everything for element in _elements(spec)),
        hosted=frozenset(network for spec in everything for network in spec.hosted_subnets),
    )


def _connection(spec: TunnelSpec, key: bytes) -> tuple[Connection, Secret]:
    name = connection_of(spec.tunnel_id)
    ike = _ike(spec)
    ike_print = fingerprint(key, [ike, spec.preshared_key])
    children: Section = {}
    for selectors in _selectors(spec):
        child = _child(spec, *selectors)
        children[f"{name}-{ike_print}-{fingerprint(key, child)}"] = child
    secret = Secret(
        f"{name}-{ike_print}",
        name,
        (str(spec.hosted_peer), str(spec.remote_peer)),
        spec.preshared_key,
    )
    return Connection(name, frozenset(children), {**ike, "children": children}), secret


def _ike(spec: TunnelSpec) -> Section:
    """Phase one. charon renegotiates at nine tenths of the key life and gives up at its end."""
    one = spec.phase_one
    early = one.keylife // 10
    return {
        "version": str(spec.ike_version),
        "local_addrs": [str(spec.hosted_peer)],
        "remote_addrs": [str(spec.remote_peer)],
        "proposals": [ike_proposal(one.encryption, one.authentication, one.group)],
        "rekey_time": f"{one.keylife - early}s",
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


def _child(
    spec: TunnelSpec, local: tuple[IPv4Network, ...], remote: tuple[IPv4Network, ...]
) -> Section:
    """Phase two. `start_action` stays none: the plan says when a child is started."""
    two = spec.phase_two
    early = two.keylife // 10
    return {
        "local_ts": [str(network) for network in local],
        "remote_ts": [str(network) for network in remote],
        "esp_proposals": [
            esp_proposal(two.encryption, two.authentication, two.group if two.pfs else 0)
        ],
        "rekey_time": f"{two.keylife - early}s",
        "life_time": f"{two.keylife}s",
        "rand_time": f"{early // 2}s",
        "dpd_action": "restart",
        "start_action": "none",
        "close_action": "none",
    }


def _selectors(
    spec: TunnelSpec,
) -> Iterable[tuple[tuple[IPv4Network, ...], tuple[IPv4Network, ...]]]:
    """Traffic selectors of each child: IKEv1 has one pair in a Quick Mode (RFC 2409, 5.5)."""
    hosted, remote = sorted(spec.hosted_subnets), sorted(spec.remote_subnets)
    if spec.ike_version == 1:
        return [((one,), (other,)) for one, other in product(hosted, remote)]
    return [(tuple(hosted), tuple(remote))]


def _elements(spec: TunnelSpec) -> Iterable[Element]:
    for row in spec.translations:
        yield Element(Map.INBOUND, row.internal, row.customer)
        yield Element(Map.OUTBOUND, row.customer, row.internal)
