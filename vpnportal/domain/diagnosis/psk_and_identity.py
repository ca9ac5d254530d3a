"""Findings about authentication: preshared keys and identities."""

from __future__ import annotations

from vpnportal.domain.diagnosis.evidence import ActiveSymptom
from vpnportal.domain.diagnosis.findings import Finding
from vpnportal.domain.tunnel.spec import TunnelSpec


def no_key(spec: TunnelSpec, active: ActiveSymptom) -> Finding:
    addresses = f"{spec.hosted_peer} and {spec.remote_peer}"
    if active.symptom.is_local:
        return Finding(
            active.symptom.cause,
            "preshared_key",
            f"The concentrator has no preshared key for {addresses}",
            "Click Apply Configurations again. If the problem remains, contact the operator of the"
            " concentrator.",
            lines=active.lines,
        )
    return Finding(
        active.symptom.cause,
        "preshared_key",
        f"The peer seems to have no preshared key for {addresses}",
        f"Configure the same key on the peer, for the remote address {spec.hosted_peer}.",
        lines=active.lines,
        request=f"Your device seems to have no preshared key for {spec.hosted_peer}."
        " Please configure the agreed key.",
    )


def key(spec: TunnelSpec, active: ActiveSymptom) -> Finding:
    return Finding(
        active.symptom.cause,
        "preshared_key",
        "Preshared key mismatch",
        "Configure the same key on both devices: check case, trailing spaces and quotes.",
        lines=active.lines,
        request="The preshared keys do not match. Please configure the agreed key again: check"
        " case, trailing spaces and quotes.",
    )


def identity(spec: TunnelSpec, active: ActiveSymptom) -> Finding:
    symptom, ours, expected = active.symptom, str(spec.hosted_peer), str(spec.remote_peer)
    if not symptom.is_local:
        return _our_identity(spec, active, f"The peer rejected our identity {ours}")
    if symptom.ours not in ("", ours, "%any") and symptom.theirs in ("", expected):
        text = f"The peer expects the identity {symptom.ours}; ours is {ours}"
        return _our_identity(spec, active, text, symptom.ours)
    received = f"received {symptom.theirs}, " if symptom.theirs else ""
    return Finding(
        symptom.cause,
        "remote_peer",
        f"Peer identity mismatch: {received}expected {expected}",
        f"On the peer, set the local identity (local ID) to its address {expected}.",
        symptom.theirs,
        expected,
        active.lines,
        f"Please set the local identity (local ID) to your address {expected}.",
    )


def _our_identity(spec: TunnelSpec, active: ActiveSymptom, text: str, theirs: str = "") -> Finding:
    ours = str(spec.hosted_peer)
    return Finding(
        active.symptom.cause,
        "remote_peer",
        text,
        f"On the peer, set the remote identity (peer ID) to {ours}.",
        theirs,
        ours,
        active.lines,
        f"Please set the remote identity (peer ID) to the address {ours}.",
    )


def key_or_identity(spec: TunnelSpec, active: ActiveSymptom) -> Finding:
    return Finding(
        active.symptom.cause,
        "preshared_key",
        "The peer rejected our authentication (AUTHENTICATION_FAILED)",
        "Configure the same preshared key on both devices. If the keys match, the identities"
        f" differ: the peer must have the local ID {spec.remote_peer} and the remote ID"
        f" {spec.hosted_peer}.",
        lines=active.lines,
        request="Your device answers AUTHENTICATION_FAILED. Please configure the preshared key"
        f" again, and set the local ID to {spec.remote_peer} and the remote ID to"
        f" {spec.hosted_peer}.",
    )
