"""Compilation of specifications into the desired state of a concentrator.

Settings in the vici sections: https://docs.strongswan.org/docs/5.9/swanctl/swanctlConf.html.
A connection offers only the proposals that the customer chose.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
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
from vpnportal.domain.gateway_config.names import (
    connection_of,
    fingerprint,
    fingerprint_in_names,
    lineage,
)
from vpnportal.domain.gateway_config.nat_elements import packed
from vpnportal.domain.gateway_config.proposals import esp_proposal, ike_proposal
from vpnportal.domain.tunnel.algorithms import Suite, esp_suite, ike_suite
from vpnportal.domain.tunnel.spec import Starts, TunnelSpec

# charon's names of the IKE versions in list-conns.
VERSIONS = {0: "IKEv1/2", 1: "IKEv1", 2: "IKEv2"}
# charon's names of `unique` in list-conns.
UNIQUE, UNIQUE_DURING_ROTATION = "UNIQUE_REPLACE", "UNIQUE_NEVER"
# The bits of a packet's mark that carry the mark of a tunnel.
MARK_BITS = 0xFFFF
# charon's priority of a policy is 400,000 less 512 for each bit of both prefix lengths. The kernel
# takes the lowest, and of equal ones the oldest. Policies with a mark come before those without.
# Otherwise the policy of an old CHILD_SA refuses what arrives through its marked successor.
MARKED_PRIORITY, BIT_PRIORITY = 300_000, 512
# Used by IKEv1 only: an IKEv2 peer is dead when it leaves a request unanswered.
DPD_INTERVALS_BEFORE_TIMEOUT = 3


@dataclass(frozen=True, slots=True)
class InlineSettings:
    """A `SettingsSource` that holds the settings and the preshared keys in memory."""

    settings: ViciSection = field(repr=False)
    preshared_key: str = field(repr=False)
    next_key: str = field(default="", repr=False)


def compile_tunnel(spec: TunnelSpec, key: bytes, mark: int = 0) -> CompiledTunnel:
    """Return the connection, secret, translations and networks of a tunnel.

    `key` is the HMAC key of the fingerprints in the names of CHILD_SAs and the id of the secret.
    `mark` is the tunnel's number at its concentrator: packets with this mark, and no others, are
    the tunnel's. With 0, the tunnel is selected by its networks alone.
    """
    name = connection_of(spec.tunnel_id)
    ike = _ike_settings(spec)
    actual = fingerprint(key, [ike, spec.preshared_key])
    ike_fingerprint = fingerprint_in_names(actual, spec.lineage)
    # charon reuses an IKE_SA if two connections have equal IKE settings, even with another key.
    # aaa_id is never sent with a preshared key, but charon compares it. A new key thus gets a
    # new IKE_SA.
    ike["local"] = {"auth": "psk", "id": str(spec.hosted_peer), "aaa_id": ike_fingerprint}
    # The initiator, the priority of policies and `unique` are not negotiated. They are outside the
    # fingerprints, so that a change of them renames and renegotiates nothing.
    initiates = spec.starts is not Starts.OTHER
    if not initiates:
        ike["keyingtries"] = "1"
    if spec.next_key:
        # A peer with the next key proves it before it rejects the old one of the concentrator.
        # charon would replace the running IKE_SA in between.
        ike["unique"] = "never"
    children: ViciSection = {}
    loaded_children = []
    for local, remote in selectors(spec):
        child = _child_settings(spec, local, remote, mark)
        child_name = f"{name}-{ike_fingerprint}-{fingerprint(key, child)}"
        if mark:
            child["priority"] = str(_marked_priority(local, remote))
        children[child_name] = child if initiates else {**child, "dpd_action": "clear"}
        rekey = _interned(_rekey_seconds(spec.phase_two.keylife))
        dpd_action = "start" if initiates else "none"
        loaded_children.append(LoadedChild(child_name, local, remote, rekey, dpd_action))
    peers = (str(spec.hosted_peer), str(spec.remote_peer))
    translations = (packed(int(row.internal), int(row.customer)) for row in spec.translations)
    as_loaded = LoadedConnection(
        VERSIONS[spec.ike_version],
        # The addresses are the identities, too.
        (*peers, *peers),
        ike_fingerprint,
        _interned(_rekey_seconds(spec.phase_one.keylife)),
        tuple(sorted(loaded_children)),
        UNIQUE_DURING_ROTATION if spec.next_key else UNIQUE,
    )
    source = InlineSettings({**ike, "children": children}, spec.preshared_key, spec.next_key)
    next_secret = None
    if spec.next_key:
        next_id = f"{name}-{fingerprint(key, [_ike_settings(spec), spec.next_key])}"
        next_secret = Secret(next_id, name, peers, source, is_next=True)
    return CompiledTunnel(
        Connection(name, as_loaded, *suites(spec), source, initiates, mark),
        Secret(f"{name}-{actual}", name, peers, source),
        mark,
        array("Q", sorted(translations)),
        tuple(map(_interned, spec.hosted_subnets)),
        tuple(map(str, (*spec.remote_subnets, *spec.static_nat_subnets))),
        0 if spec.translated_only else len(spec.remote_subnets),
        (*map(str, spec.static_nat_subnets), f"{spec.hosted_peer}/32"),
        next_secret,
    )


def with_next_key_only(spec: TunnelSpec, key: bytes) -> TunnelSpec:
    """Return the specification after a rotation: the next key, and the same names of CHILD_SAs.

    `key` is the HMAC key of the fingerprints, as of `compile_tunnel`.
    """
    ike = _ike_settings(spec)
    old, new = (fingerprint(key, [ike, text]) for text in (spec.preshared_key, spec.next_key))
    name = fingerprint_in_names(old, spec.lineage)
    return replace(spec, preshared_key=spec.next_key, next_key="", lineage=lineage(new, name))


def _interned(value: object) -> str:
    """Return `str(value)` as an interned text, which equal values share in memory."""
    return intern(str(value))


def suites(spec: TunnelSpec) -> tuple[Suite, Suite]:
    """Return the suites of the tunnel's IKE_SAs and of its CHILD_SAs."""
    phase_one, phase_two = spec.phase_one, spec.phase_two
    return (
        ike_suite(phase_one.encryption, phase_one.authentication, phase_one.group),
        esp_suite(
            phase_two.encryption, phase_two.authentication, phase_two.group if phase_two.pfs else 0
        ),
    )


def _rekey_seconds(keylife: int) -> int:
    """Return the age in seconds at which charon rekeys an SA: nine tenths of the key life."""
    return keylife - keylife // 10


def _ike_settings(spec: TunnelSpec) -> ViciSection:
    """Return the vici settings of phase one; charon replaces an IKE_SA before its key life ends."""
    phase_one = spec.phase_one
    tenth = phase_one.keylife // 10
    return {
        "version": str(spec.ike_version),
        "local_addrs": [str(spec.hosted_peer)],
        "remote_addrs": [str(spec.remote_peer)],
        "proposals": [
            ike_proposal(phase_one.encryption, phase_one.authentication, phase_one.group)
        ],
        "rekey_time": f"{_rekey_seconds(phase_one.keylife)}s",
        "over_time": f"{tenth}s",
        "rand_time": f"{tenth // 2}s",
        "reauth_time": "0s",
        "dpd_delay": f"{spec.dpd_seconds}s",
        "dpd_timeout": f"{spec.dpd_seconds * DPD_INTERVALS_BEFORE_TIMEOUT}s",
        "keyingtries": "0",
        "unique": "replace",
        "mobike": "no",
        "aggressive": "no",
        "local": {"auth": "psk", "id": str(spec.hosted_peer)},
        "remote": {"auth": "psk", "id": str(spec.remote_peer)},
    }


def _child_settings(
    spec: TunnelSpec, local: tuple[str, ...], remote: tuple[str, ...], mark: int
) -> ViciSection:
    """Return the settings of phase two. `start_action` is none: the plan initiates children.

    `set_mark_in` marks decrypted packets. Policies apply to packets with the mark only.
    """
    phase_two = spec.phase_two
    marked = f"{mark}/{MARK_BITS:#x}"
    marks = dict.fromkeys(("mark_in", "mark_out", "set_mark_in"), marked) if mark else {}
    return {
        "local_ts": list(local),
        "remote_ts": list(remote),
        "esp_proposals": [
            esp_proposal(
                phase_two.encryption,
                phase_two.authentication,
                phase_two.group if phase_two.pfs else 0,
            )
        ],
        "rekey_time": f"{_rekey_seconds(phase_two.keylife)}s",
        "life_time": f"{phase_two.keylife}s",
        "rand_time": f"{phase_two.keylife // 20}s",
        "dpd_action": "restart",
        "start_action": "none",
        "close_action": "none",
        **marks,
    }


def _marked_priority(local: tuple[str, ...], remote: tuple[str, ...]) -> int:
    """Return the priority of the policies of a marked child: smaller networks come first."""
    bits = sum(min(_prefix_length(network) for network in side) for side in (local, remote))
    return MARKED_PRIORITY - BIT_PRIORITY * bits


def _prefix_length(network: str) -> int:
    return int(network.rpartition("/")[2])


def selectors(spec: TunnelSpec) -> Iterable[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return the local and remote traffic selectors of each child: one subnet each, or all."""
    hosted = tuple(map(_interned, sorted(spec.hosted_subnets)))
    remote = tuple(map(str, sorted(spec.remote_subnets)))
    if spec.has_child_per_pair:
        return [((local,), (far,)) for local, far in product(hosted, remote)]
    return [(hosted, remote)]
