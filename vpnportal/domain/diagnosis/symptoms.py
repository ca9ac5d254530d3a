"""Symptoms: the meaning of a message of charon at the current point of an attempt.

Payloads and notifies are those of RFC 2408, 2409 and 7296.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

from vpnportal.domain.diagnosis.attempts import Attempt, Phase, Stage, Symptom
from vpnportal.domain.diagnosis.findings import Cause
from vpnportal.domain.diagnosis.local_settings import selectors_text
from vpnportal.domain.diagnosis.log_lines import Role
from vpnportal.domain.diagnosis.proposal_parser import algorithm_name, differences

# An IKEv1 initiator that rejects our identity deletes its new IKE_SA within this time.
IDENTITY_DELETE_TIME = timedelta(seconds=2)
Rule = Callable[[Attempt, re.Match[str]], Symptom | None]


def no_proposal_chosen(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """Return the symptom of a rejected proposal; the current exchange shows which phase."""
    if attempt.phase is Phase.REKEY:
        return Symptom(Cause.PFS, Stage.REKEYED)
    if attempt.phase is Phase.TWO or "CHILD_SA" in match[0]:
        return Symptom(Cause.PHASE_TWO, Stage.UP)
    return Symptom(Cause.PHASE_ONE, Stage.AGREED)


def no_common_proposal(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """Return the symptom of different proposals, from the two lists that charon logged before."""
    theirs = attempt.proposals.get("received", "")
    ours = attempt.proposals.get("configured", "")
    if theirs.startswith("IKE:") or (not theirs and attempt.phase is Phase.ONE):
        return Symptom(Cause.PHASE_ONE, Stage.AGREED, theirs, ours, is_local=True)
    if differences(theirs, ours, attempt.phase is Phase.AUTH) == ("groups",):
        return Symptom(Cause.PFS, Stage.REKEYED, theirs, ours, is_local=True)
    return Symptom(Cause.PHASE_TWO, Stage.UP, theirs, ours, is_local=True)


def authentication_failed(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """Return an identity symptom if IKEv1 keys protect the notify.

    Otherwise, the preshared key or the identity may be the cause.
    """
    is_protected = attempt.version == 1 and attempt.is_encrypted
    return _unauthenticated(Cause.IDENTITY if is_protected else Cause.KEY_OR_IDENTITY)


def not_decrypted(attempt: Attempt, match: re.Match[str]) -> Symptom | None:
    """Return a key symptom in IKEv1 before authentication, otherwise None.

    The keys of Main Mode derive from the preshared key (RFC 2409, 5).
    """
    if attempt.version == 1 and Stage.AUTHENTICATED not in attempt.reached:
        return _unauthenticated(Cause.KEY, is_local=True)
    return None


def invalid_ke_payload(attempt: Attempt, match: re.Match[str]) -> Symptom | None:
    """Return a missing key symptom in Main Mode, a PFS symptom in Quick Mode, or None in IKEv2.

    Without a preshared key, strongSwan sends this notify in Main Mode despite a valid group.
    """
    if attempt.version != 1:
        return None
    if attempt.phase is Phase.TWO:
        return Symptom(Cause.PFS, Stage.UP)
    return _unauthenticated(Cause.NO_KEY)


def group_requested(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """Return a group symptom with the group in the peer's INVALID_KE_PAYLOAD (RFC 7296, 1.3)."""
    is_phase_one = attempt.phase in (Phase.ONE, Phase.AUTH)
    cause, cleared_by = (
        (Cause.PHASE_ONE, Stage.AGREED) if is_phase_one else (Cause.PFS, Stage.REKEYED)
    )
    theirs, ours = algorithm_name(match["theirs"]), algorithm_name(match["ours"])
    return Symptom(cause, cleared_by, theirs, ours)


def no_peer_config(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """Return an identity symptom with the peer's identity and the one it expects of us."""
    ours, theirs = attempt.identities
    return _unauthenticated(Cause.IDENTITY, theirs, ours, is_local=True)


def no_ike_config(attempt: Attempt, match: re.Match[str]) -> Symptom | None:
    """Report the peer's IKE version: our connection for its address has the other version."""
    if not attempt.version:
        return None
    return Symptom(Cause.IKE_VERSION, Stage.AGREED, f"IKEv{attempt.version}", is_local=True)


def unsupported_version(attempt: Attempt, match: re.Match[str]) -> Symptom | None:
    """Report the peer's IKE version if charon names it. Others than 1 and 2 are of no device."""
    theirs = match.groupdict().get("theirs", "")
    if theirs and theirs.partition(".")[0] not in ("1", "2"):
        return None
    return Symptom(
        Cause.IKE_VERSION, Stage.AGREED, theirs and f"IKEv{theirs[0]}", is_local=bool(theirs)
    )


def invalid_id_information(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """Return a subnets symptom in Quick Mode, otherwise an identity symptom.

    The identities of Quick Mode are networks (RFC 2409, 5.5).
    """
    if attempt.phase is Phase.TWO:
        return Symptom(Cause.SUBNETS, Stage.UP)
    return _unauthenticated(Cause.IDENTITY)


def traffic_selectors(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """Report the networks that the peer requested, if charon names them."""
    if "local" not in match.groupdict():
        return Symptom(Cause.SUBNETS, Stage.UP)
    theirs = selectors_text(match["local"], match["remote"])
    return Symptom(Cause.SUBNETS, Stage.UP, theirs, is_local=True)


def algorithm_not_supported(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """Report a negotiated algorithm that no plugin of charon provides."""
    name = match.groupdict().get("name")
    is_phase_two = (
        attempt.phase in (Phase.TWO, Phase.REKEY) or Stage.AUTHENTICATED in attempt.reached
    )
    cleared_by = Stage.UP if is_phase_two else Stage.AUTHENTICATED
    ours = algorithm_name(name) if name else ""
    return Symptom(Cause.ALGORITHM, cleared_by, ours=ours, is_local=True)


def retransmit(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """Return a NAT-T symptom if the peer answers from port 500, but not from port 4500.

    In all other cases, the result is a symptom of no answer.
    """
    is_waiting = Stage.AUTHENTICATED not in attempt.reached
    if is_waiting and attempt.target_port == "4500" and attempt.peer_ports == {"500"}:
        return Symptom(Cause.NAT_T, Stage.AUTHENTICATED, is_inferred=True)
    return Symptom(Cause.NO_ANSWER, Stage.RECEIVED, is_inferred=True)


def half_open_timeout(attempt: Attempt, match: re.Match[str]) -> Symptom | None:
    """Return a NAT-T symptom if the peer stopped before its first packet from port 4500."""
    if attempt.has_peer_retransmitted or "4500" in attempt.peer_ports:
        return None
    return Symptom(Cause.NAT_T, Stage.AUTHENTICATED, is_local=True, is_inferred=True)


def peer_retransmit(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """Report lost responses: the peer repeats a request that charon has answered."""
    attempt.has_peer_retransmitted = True
    return Symptom(Cause.NO_ANSWER, Stage.AUTHENTICATED, is_local=True, is_inferred=True)


def ike_sa_deleted(attempt: Attempt, match: re.Match[str]) -> Symptom | None:
    """Return an identity symptom if an IKEv1 initiator deletes its new IKE_SA at once, or None."""
    since = attempt.reached.get(Stage.AUTHENTICATED)
    is_early = since is not None and attempt.lines[-1].at - since <= IDENTITY_DELETE_TIME
    is_responder = attempt.role is Role.RESPONDER
    if is_early and is_responder and attempt.version == 1 and not attempt.has_quick_mode:
        return Symptom(Cause.IDENTITY, Stage.UP)
    return None


def rejected(cause: Cause) -> Rule:
    """Return a rule for a message with which charon rejects the peer's authentication."""

    def rule(attempt: Attempt, match: re.Match[str]) -> Symptom:
        values = match.groupdict()
        theirs, ours = values.get("theirs") or "", values.get("ours") or ""
        return _unauthenticated(cause, theirs, ours, is_local=True)

    return rule


def half_open_limit(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """Report that charon ignores a peer with too many half-open IKE_SAs."""
    return Symptom(Cause.DOS_LIMIT, Stage.AUTHENTICATED, is_local=True)


def _unauthenticated(
    cause: Cause, theirs: str = "", ours: str = "", is_local: bool = False
) -> Symptom:
    return Symptom(cause, Stage.AUTHENTICATED, theirs, ours, is_local)
