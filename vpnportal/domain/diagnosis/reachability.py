"""Findings about packets that do not arrive."""

from __future__ import annotations

from vpnportal.domain.diagnosis.evidence import ActiveSymptom
from vpnportal.domain.diagnosis.findings import Finding
from vpnportal.domain.diagnosis.log_lines import Role
from vpnportal.domain.tunnel.spec import TunnelSpec


def dos_limit(spec: TunnelSpec, active: ActiveSymptom) -> Finding:
    return Finding(
        active.symptom.cause,
        "",
        "Too many half-open negotiations: the concentrator ignores the peer for a while",
        "Fix the other findings first; the limit ends within a minute. If many tunnels use the same"
        " peer address, ask the operator to raise charon.block_threshold.",
        lines=active.lines,
        request="Your device starts more negotiations than it completes. Please increase its retry"
        " interval.",
    )


def refused(spec: TunnelSpec, active: ActiveSymptom) -> Finding:
    port = active.symptom.theirs
    return Finding(
        active.symptom.cause,
        "remote_peer",
        f"UDP port {port} of {spec.remote_peer} is unreachable (ICMP error)",
        "Check the Remote Peer Address. If it is correct, the IPsec service of the peer is not"
        f" running, or a firewall rejects UDP {port} from {spec.hosted_peer}.",
        lines=active.lines,
        request=f"{spec.remote_peer} rejects UDP {port} from {spec.hosted_peer}. Please start the"
        " IPsec service and allow UDP 500 and 4500.",
    )


def nat_t(spec: TunnelSpec, active: ActiveSymptom) -> Finding:
    if active.symptom.is_local:
        text = "The peer does not continue on UDP 4500 after our answer on UDP 500"
        hint = " The peer may also have given up, for example without a preshared key."
    else:
        text = "The peer answers on UDP 500, but not on UDP 4500"
        hint = ""
    if 1 in (spec.ike_version, active.version):
        hint += " An IKEv1 peer with another preshared key may also be silent."
    return Finding(
        active.symptom.cause,
        "remote_peer",
        text,
        f"Allow UDP 4500 (NAT traversal) between {spec.hosted_peer} and {spec.remote_peer} in all"
        f" firewalls.{hint}",
        lines=active.lines,
        request=f"UDP 4500 between {spec.hosted_peer} and {spec.remote_peer} seems to be blocked."
        " Please allow it.",
    )


def no_answer(spec: TunnelSpec, active: ActiveSymptom) -> Finding:
    if active.role is Role.RESPONDER and active.symptom.is_local:
        text = "The peer repeats its requests: our answers do not arrive"
    else:
        text = f"{spec.remote_peer} does not answer"
    ikev1 = " A peer that supports IKEv1 only may ignore IKEv2, which this tunnel tries first."
    return Finding(
        active.symptom.cause,
        "remote_peer",
        text,
        f"Check that {spec.remote_peer} is the address of the peer, that the peer is on, and that"
        f" its firewall allows UDP 500 and 4500 from and to {spec.hosted_peer}."
        + (ikev1 if spec.ike_version == 0 and active.role is Role.INITIATOR else ""),
        lines=active.lines,
        request=f"Your device does not answer {spec.hosted_peer}. Please check that it is on, and"
        " allow UDP 500 and 4500 in both directions.",
    )
