"""Findings about packets that do not get through."""

from __future__ import annotations

from vpnportal.domain.diagnosis.evidence import ActiveSymptom
from vpnportal.domain.diagnosis.findings import Finding
from vpnportal.domain.diagnosis.log_lines import Role
from vpnportal.domain.tunnel.spec import TunnelSpec


def dos_limit(spec: TunnelSpec, shown: ActiveSymptom) -> Finding:
    """This end ignores the peer for a while."""
    return Finding(
        shown.symptom.cause,
        "",
        "The other end starts more negotiations than it finishes, and the gateway answers no more"
        " of them for a while.",
        "Mend what is named beside this; the limit ends by itself within a minute. Where many"
        " tunnels come from one address, ask the operator to raise charon.block_threshold.",
        lines=shown.lines,
        request="Your device starts negotiations faster than it finishes them. Please let it wait"
        " longer between two attempts.",
    )


def refused(spec: TunnelSpec, shown: ActiveSymptom) -> Finding:
    """A device says that the port cannot be reached."""
    port = shown.symptom.theirs
    return Finding(
        shown.symptom.cause,
        "remote_peer",
        f"UDP port {port} of {spec.remote_peer} is refused, there or by a firewall before it.",
        "Check the address of the other end. If it is right: its IPsec service does not run, or"
        f" its firewall rejects UDP {port} from {spec.hosted_peer}.",
        lines=shown.lines,
        request=f"{spec.remote_peer} rejects UDP {port} from {spec.hosted_peer}. Please start the"
        " IPsec service and allow UDP 500 and 4500.",
    )


def nat_t(spec: TunnelSpec, shown: ActiveSymptom) -> Finding:
    """The peer is heard on one port only."""
    if shown.symptom.here:
        text = (
            "The other end begins on UDP 500, is answered, and is not heard again: UDP 4500 from"
            " it does not arrive, or it gives up by itself, as without a key for this end."
        )
    else:
        text = "The other end answers on UDP 500 and is silent on UDP 4500."
    silent = " A device of IKEv1 that has another key may be silent there, too."
    return Finding(
        shown.symptom.cause,
        "remote_peer",
        text,
        f"Allow UDP 4500 (NAT traversal) between {spec.hosted_peer} and {spec.remote_peer} in the"
        " firewalls at the other end and on the way."
        + (silent if 1 in (spec.ike_version, shown.version) else ""),
        lines=shown.lines,
        request=f"UDP 4500 between {spec.hosted_peer} and {spec.remote_peer} seems to be blocked."
        " Please allow it.",
    )


def no_answer(spec: TunnelSpec, shown: ActiveSymptom) -> Finding:
    """One end does not hear the other."""
    if shown.role is Role.RESPONDER and shown.symptom.here:
        text = "The other end asks again and again: our answers do not arrive there."
    else:
        text = f"{spec.remote_peer} does not answer."
    ikev1 = " A device that speaks IKEv1 only may be silent to IKEv2, with which this end begins."
    return Finding(
        shown.symptom.cause,
        "remote_peer",
        text,
        f"Check that {spec.remote_peer} is the address of the other end, that its device is on, and"
        f" that its firewall allows UDP 500 and 4500 from and to {spec.hosted_peer}."
        + (ikev1 if spec.ike_version == 0 and shown.role is Role.INITIATOR else ""),
        lines=shown.lines,
        request=f"Your device does not answer {spec.hosted_peer}. Please check that it is on, and"
        " allow UDP 500 and 4500 in both directions.",
    )
