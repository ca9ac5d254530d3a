"""What a symptom means for this tunnel: the finding, in words."""

from __future__ import annotations

from collections.abc import Callable

from vpnportal.domain.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS, IKE_VERSIONS
from vpnportal.domain.diagnosis.attempts import Stage
from vpnportal.domain.diagnosis.evidence import Shown
from vpnportal.domain.diagnosis.findings import Cause, Finding
from vpnportal.domain.diagnosis.proposals import differences, in_words
from vpnportal.domain.lines import Role
from vpnportal.domain.spec import TunnelSpec

Words = Callable[[TunnelSpec, Shown], Finding]
_FIELDS = {"encryption": "encryption", "authentication": "authentication", "groups": "group"}


def finding(spec: TunnelSpec, shown: Shown) -> Finding:
    """The finding for a symptom."""
    return _WORDS[shown.symptom.cause](spec, shown)


def phase_one_of(spec: TunnelSpec) -> str:
    """Such as "AES256, SHA256, group 5"."""
    one = spec.phase_one
    return f"{one.encryption}, {one.authentication}, group {one.group}"


def phase_two_of(spec: TunnelSpec) -> str:
    """Such as "AES256, SHA256, no PFS"; an AEAD has no authentication of its own."""
    two = spec.phase_two
    digest = "" if ENCRYPTIONS[two.encryption].aead else f", {two.authentication}"
    return f"{two.encryption}{digest}, {pfs_of(spec)}"


def pfs_of(spec: TunnelSpec) -> str:
    """Such as "group 5" or "no PFS"."""
    return f"group {spec.phase_two.group}" if spec.phase_two.pfs else "no PFS"


def subnets_of(spec: TunnelSpec) -> str:
    """Both ends' networks, as this end has them."""
    here = ", ".join(str(network) for network in sorted(spec.hosted_subnets))
    there = ", ".join(str(network) for network in sorted(spec.remote_subnets))
    return f"{here} at this end, {there} at the other"


def _algorithm(spec: TunnelSpec, shown: Shown) -> Finding:
    # Only of a group charon does not always tell the name.
    what = shown.symptom.ours or f"group {spec.phase_one.group}"
    return Finding(
        shown.symptom.cause,
        _field_of(what, two=shown.symptom.beyond > Stage.AUTHENTICATED),
        f"The gateway's strongSwan cannot do {what}, which both ends agreed on.",
        "Choose another one at both ends, or have the operator load the plugin that brings it.",
        ours=what,
        lines=shown.lines,
    )


def _field_of(what: str, two: bool) -> str:
    phase = "phase_two" if two else "phase_one"
    if what in ENCRYPTIONS:
        return f"{phase}_encryption"
    if what in AUTHENTICATIONS:
        return f"{phase}_authentication"
    return f"{phase}_group" if what in {f"group {number}" for number in GROUPS} else ""


def _no_key(spec: TunnelSpec, shown: Shown) -> Finding:
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


def _key(spec: TunnelSpec, shown: Shown) -> Finding:
    return Finding(
        shown.symptom.cause,
        "preshared_key",
        "The two ends have different preshared keys.",
        "Enter the same key at both ends: mind capitals, blanks at the end, and quotes.",
        lines=shown.lines,
        request="Your preshared key is not ours. Please enter the one we agreed on again.",
    )


def _identity(spec: TunnelSpec, shown: Shown) -> Finding:
    symptom = shown.symptom
    ours, theirs = str(spec.hosted_peer), symptom.theirs
    if not symptom.here:
        return Finding(
            symptom.cause,
            "remote_peer",
            f"The other end does not accept our identity, which is {ours}.",
            f"At the other end, set the remote identity (peer ID) to {ours}.",
            ours=ours,
            lines=shown.lines,
            request=f"Please set the remote identity (peer ID) to the address {ours}.",
        )
    expects = symptom.ours not in ("", ours, "%any") and theirs in ("", str(spec.remote_peer))
    if expects:
        return Finding(
            symptom.cause,
            "remote_peer",
            f"The other end expects that this end calls itself {symptom.ours}; it is {ours}.",
            f"At the other end, set the remote identity (peer ID) to {ours}.",
            symptom.ours,
            ours,
            shown.lines,
            f"Please set the remote identity (peer ID) to the address {ours}.",
        )
    expected = str(spec.remote_peer)
    return Finding(
        symptom.cause,
        "remote_peer",
        f"The other end calls itself {theirs or 'something else'}; {expected} is expected.",
        f"At the other end, set the local identity (local ID) to its address {expected}.",
        theirs,
        expected,
        shown.lines,
        f"Please set the local identity (local ID) to your address {expected}.",
    )


def _key_or_identity(spec: TunnelSpec, shown: Shown) -> Finding:
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


def _ike_version(spec: TunnelSpec, shown: Shown) -> Finding:
    ours, theirs = IKE_VERSIONS[spec.ike_version], shown.symptom.theirs
    uses = f"uses {theirs}" if theirs else f"does not accept {ours}"
    return Finding(
        shown.symptom.cause,
        "ike_version",
        f"The other end {uses}, and this tunnel is set to {ours}.",
        f"Choose {theirs or 'the other version'} here, or {ours} at the other end.",
        theirs,
        ours,
        shown.lines,
        f"Please set the tunnel to {ours}.",
    )


def _phase_one(spec: TunnelSpec, shown: Shown) -> Finding:
    symptom = shown.symptom
    ours = phase_one_of(spec)
    if not symptom.theirs:
        version = IKE_VERSIONS[spec.ike_version]
        return Finding(
            symptom.cause,
            "phase_one_encryption",
            "The other end refuses our proposal for phase one, and does not tell its own.",
            f"Set {version}, {ours} at both ends. A device that does not know this gateway's"
            " address, or does not do this IKE version with it, answers the same.",
            ours=ours,
            lines=shown.lines,
            request=f"Your device answers NO_PROPOSAL_CHOSEN in phase one. Please set {version},"
            f" {ours} for the peer {spec.hosted_peer}.",
        )
    parts = differences(symptom.theirs, symptom.ours)
    part = _FIELDS[parts[0]] if parts else "group"
    return _proposal(shown, f"phase_one_{part}", "phase one", ours)


def _phase_two(spec: TunnelSpec, shown: Shown) -> Finding:
    symptom = shown.symptom
    ours = phase_two_of(spec)
    if not symptom.theirs:
        return Finding(
            symptom.cause,
            "phase_two_encryption",
            "The other end refuses our proposal for phase two, and does not tell its own.",
            f"Set {ours} in phase two at both ends"
            + (
                ", the group of Perfect Forward Secrecy included." if spec.ike_version == 1 else "."
            ),
            ours=ours,
            lines=shown.lines,
            request=f"Your device answers NO_PROPOSAL_CHOSEN in phase two. Please set {ours}.",
        )
    # The first CHILD_SA of IKEv2 is proposed without a group; later ones show it as PFS.
    without = spec.ike_version == 2
    parts = differences(symptom.theirs, symptom.ours, without)
    part = next((_FIELDS[part] for part in parts), "encryption")
    return _proposal(shown, f"phase_two_{part}", "phase two", ours, without)


def _proposal(
    shown: Shown, field: str, phase: str, ours: str, without_group: bool = False
) -> Finding:
    theirs = in_words(shown.symptom.theirs, without_group) or shown.symptom.theirs
    if without_group:
        ours = in_words(shown.symptom.ours, without_group)
    return Finding(
        shown.symptom.cause,
        field,
        f"The two ends propose different algorithms for {phase}.",
        f"Choose {theirs} for {phase} here, or {ours} at the other end.",
        theirs,
        ours,
        shown.lines,
        f"The algorithms of {phase} differ. Please set {ours}, or tell us to take yours.",
    )


def pfs(spec: TunnelSpec, theirs: str = "", lines: tuple[str, ...] = ()) -> Finding:
    """Perfect Forward Secrecy, or its group, is not the same at both ends."""
    ours = pfs_of(spec)
    differs = theirs == "no PFS" or not spec.phase_two.pfs
    later = " The tunnel is up until its keys are to be renewed." if spec.ike_version == 2 else ""
    return Finding(
        Cause.PFS,
        "phase_two_pfs" if differs else "phase_two_group",
        f"The two ends differ in Perfect Forward Secrecy or its group.{later}",
        f"Choose {theirs} in phase two here, or {ours} at the other end."
        if theirs
        else f"Set {ours} in phase two at both ends.",
        theirs,
        ours,
        lines,
        f"Perfect Forward Secrecy of phase two differs. Please set {ours}.",
    )


def _pfs(spec: TunnelSpec, shown: Shown) -> Finding:
    theirs = in_words(shown.symptom.theirs) or shown.symptom.theirs
    # Of "AES256, SHA256, group 14" only the last part is the difference.
    each = dict.fromkeys(one.rpartition(", ")[2] for one in theirs.split(" or "))
    return pfs(spec, " or ".join(each), shown.lines)


def _subnets(spec: TunnelSpec, shown: Shown) -> Finding:
    theirs, ours = shown.symptom.theirs, subnets_of(spec)
    if theirs:
        text = "The other end asks for other networks than this tunnel has."
        advice = f"Protect {theirs} here, or set {ours} at the other end."
    else:
        text = "The other end does not protect the networks that this tunnel has."
        advice = f"Set the same networks at both ends: {ours}."
    mirrored = (
        f"remote {', '.join(map(str, sorted(spec.hosted_subnets)))},"
        f" local {', '.join(map(str, sorted(spec.remote_subnets)))}"
    )
    return Finding(
        shown.symptom.cause,
        "remote_subnets",
        text,
        advice,
        theirs,
        ours,
        shown.lines,
        f"The protected networks differ. Please set {mirrored}, with the same masks.",
    )


def _dos_limit(spec: TunnelSpec, shown: Shown) -> Finding:
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


def _refused(spec: TunnelSpec, shown: Shown) -> Finding:
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


def _nat_t(spec: TunnelSpec, shown: Shown) -> Finding:
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
        " firewalls at the other end and on the way." + (silent if spec.ike_version == 1 else ""),
        lines=shown.lines,
        request=f"UDP 4500 between {spec.hosted_peer} and {spec.remote_peer} seems to be blocked."
        " Please allow it.",
    )


def _no_answer(spec: TunnelSpec, shown: Shown) -> Finding:
    if shown.role is Role.RESPONDER and shown.symptom.here:
        text = "The other end asks again and again: our answers do not arrive there."
    else:
        text = f"{spec.remote_peer} does not answer."
    return Finding(
        shown.symptom.cause,
        "remote_peer",
        text,
        f"Check that {spec.remote_peer} is the address of the other end, that its device is on, and"
        f" that its firewall allows UDP 500 and 4500 from and to {spec.hosted_peer}.",
        lines=shown.lines,
        request=f"Your device does not answer {spec.hosted_peer}. Please check that it is on, and"
        " allow UDP 500 and 4500 in both directions.",
    )


_WORDS: dict[Cause, Words] = {
    Cause.ALGORITHM: _algorithm,
    Cause.NO_KEY: _no_key,
    Cause.KEY: _key,
    Cause.IDENTITY: _identity,
    Cause.KEY_OR_IDENTITY: _key_or_identity,
    Cause.IKE_VERSION: _ike_version,
    Cause.PHASE_ONE: _phase_one,
    Cause.PHASE_TWO: _phase_two,
    Cause.PFS: _pfs,
    Cause.SUBNETS: _subnets,
    Cause.DOS_LIMIT: _dos_limit,
    Cause.REFUSED: _refused,
    Cause.NAT_T: _nat_t,
    Cause.NO_ANSWER: _no_answer,
}
