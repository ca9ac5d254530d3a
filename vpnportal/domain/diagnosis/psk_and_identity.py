"""Findings about who the ends are and what they share: keys and identities."""

from __future__ import annotations

from vpnportal.domain.diagnosis.evidence import ActiveSymptom
from vpnportal.domain.diagnosis.findings import Finding
from vpnportal.domain.tunnel.spec import TunnelSpec


def no_key(spec: TunnelSpec, shown: ActiveSymptom) -> Finding:
    """A key is missing, at this end or the other."""
    ends = f"{spec.hosted_peer} and {spec.remote_peer}"
    if shown.symptom.here:
        return Finding(
            shown.symptom.cause,
            "preshared_key",
            f"The gateway has no preshared key for {ends}.",
            "Press Apply Configurations again; if it stays, ask the operator of the gateway.",
            lines=shown.lines,
        )
    return Finding(
        shown.symptom.cause,
        "preshared_key",
        f"The other end seems to have no preshared key for {ends}.",
        f"At the other end, enter the key for the peer {spec.hosted_peer}.",
        lines=shown.lines,
        request=f"Your device seems to have no preshared key for {spec.hosted_peer}."
        " Please enter the one we agreed on.",
    )


def key(spec: TunnelSpec, shown: ActiveSymptom) -> Finding:
    """Both ends have a key, and not the same."""
    return Finding(
        shown.symptom.cause,
        "preshared_key",
        "The two ends have different preshared keys.",
        "Enter the same key at both ends: mind capitals, blanks at the end, and quotes.",
        lines=shown.lines,
        request="Your preshared key is not ours. Please enter the one we agreed on again.",
    )


def identity(spec: TunnelSpec, shown: ActiveSymptom) -> Finding:
    """One end is not who the other expects."""
    symptom, ours, expected = shown.symptom, str(spec.hosted_peer), str(spec.remote_peer)
    if not symptom.here:
        text = f"The other end does not accept our identity, which is {ours}."
        return _ours_differs(spec, shown, text)
    if symptom.ours not in ("", ours, "%any") and symptom.theirs in ("", expected):
        text = f"The other end expects that this end calls itself {symptom.ours}; it is {ours}."
        return _ours_differs(spec, shown, text, symptom.ours)
    return Finding(
        symptom.cause,
        "remote_peer",
        f"The other end calls itself {symptom.theirs or 'something else'}; {expected} is expected.",
        f"At the other end, set the local identity (local ID) to its address {expected}.",
        symptom.theirs,
        expected,
        shown.lines,
        f"Please set the local identity (local ID) to your address {expected}.",
    )


def _ours_differs(spec: TunnelSpec, shown: ActiveSymptom, text: str, theirs: str = "") -> Finding:
    ours = str(spec.hosted_peer)
    return Finding(
        shown.symptom.cause,
        "remote_peer",
        text,
        f"At the other end, set the remote identity (peer ID) to {ours}.",
        theirs,
        ours,
        shown.lines,
        f"Please set the remote identity (peer ID) to the address {ours}.",
    )


def key_or_identity(spec: TunnelSpec, shown: ActiveSymptom) -> Finding:
    """The other end refuses, and does not tell which of the two differs."""
    return Finding(
        shown.symptom.cause,
        "preshared_key",
        "The other end does not accept our authentication, and does not tell why.",
        "Enter the same preshared key at both ends. If it is the same, the identities differ: the"
        f" other end must call itself {spec.remote_peer} and expect {spec.hosted_peer}.",
        lines=shown.lines,
        request="Your device answers AUTHENTICATION_FAILED. Please enter the preshared key again,"
        f" and set its local identity to {spec.remote_peer} and the remote one to"
        f" {spec.hosted_peer}.",
    )
