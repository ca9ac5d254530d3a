"""What a line of charon shows at the point that an attempt has come to.

The payloads and notifies are those of RFC 2408, 2409 and 7296.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

from vpnportal.domain.diagnosis.attempts import Attempt, Phase, Stage, Symptom
from vpnportal.domain.diagnosis.findings import Cause
from vpnportal.domain.diagnosis.log_lines import Role
from vpnportal.domain.diagnosis.proposal_parser import differences, word

# A responder's IKE_SA of IKEv1 that is ended so soon was not liked for its identity.
AT_ONCE = timedelta(seconds=2)
Rule = Callable[[Attempt, re.Match[str]], Symptom | None]


def no_proposal_chosen(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """The peer refuses: which proposal tells the exchange that it answers."""
    if attempt.phase is Phase.REKEY:
        return Symptom(Cause.PFS, Stage.RENEWED)
    if attempt.phase is Phase.TWO or "CHILD_SA" in match[0]:
        return Symptom(Cause.PHASE_TWO, Stage.UP)
    return Symptom(Cause.PHASE_ONE, Stage.AGREED)


def no_match(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """This end refuses; which proposals, charon says in a line near this one."""
    theirs, ours = attempt.offers.get("received", ""), attempt.offers.get("configured", "")
    if theirs.startswith("IKE:") or (not theirs and attempt.phase is Phase.ONE):
        return Symptom(Cause.PHASE_ONE, Stage.AGREED, theirs, ours, here=True)
    if differences(theirs, ours, attempt.phase is Phase.AUTH) == ("groups",):
        return Symptom(Cause.PFS, Stage.RENEWED, theirs, ours, here=True)
    return Symptom(Cause.PHASE_TWO, Stage.UP, theirs, ours, here=True)


def authentication_failed(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """In IKEv1 the notify is protected by the key, so that the key is not what differs."""
    protected = attempt.version == 1 and attempt.protected
    return _unauthenticated(Cause.IDENTITY if protected else Cause.KEY_OR_IDENTITY)


def not_decrypted(attempt: Attempt, match: re.Match[str]) -> Symptom | None:
    """The keys of IKEv1's Main Mode are made with the preshared key (RFC 2409, 5)."""
    if attempt.version == 1 and Stage.AUTHENTICATED not in attempt.reached:
        return _unauthenticated(Cause.KEY, here=True)
    return None


def no_key_there(attempt: Attempt, match: re.Match[str]) -> Symptom | None:
    """strongSwan says so in Main Mode when it knows no key, after it agreed to the group."""
    if attempt.version != 1:
        return None
    if attempt.phase is Phase.TWO:
        return Symptom(Cause.PFS, Stage.UP)
    return _unauthenticated(Cause.NO_KEY)


def other_group(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """The peer's answer names the group that it wants (RFC 7296, 1.3)."""
    one = attempt.phase in (Phase.ONE, Phase.AUTH)
    cause, beyond = (Cause.PHASE_ONE, Stage.AGREED) if one else (Cause.PFS, Stage.RENEWED)
    return Symptom(cause, beyond, word(match["theirs"]), word(match["ours"]))


def not_known(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """No connection has the peer's identity, or the one that it expects of us."""
    mine, theirs = attempt.identities
    return _unauthenticated(Cause.IDENTITY, theirs, mine, here=True)


def no_configuration(attempt: Attempt, match: re.Match[str]) -> Symptom | None:
    """This end has the peer's address for the other version only."""
    if not attempt.version:
        return None
    return Symptom(Cause.IKE_VERSION, Stage.AGREED, f"IKEv{attempt.version}", here=True)


def version(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """A daemon does not do this version at all."""
    theirs = match.groupdict().get("theirs", "")
    return Symptom(
        Cause.IKE_VERSION, Stage.AGREED, theirs and f"IKEv{theirs[0]}", here=bool(theirs)
    )


def invalid_id(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """In Quick Mode the identities are the networks (RFC 2409, 5.5)."""
    if attempt.phase is Phase.TWO:
        return Symptom(Cause.SUBNETS, Stage.UP)
    return _unauthenticated(Cause.IDENTITY)


def subnets(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """What the peer asks for: this end's networks, as it knows them, and its own."""
    if "local" not in match.groupdict():
        return Symptom(Cause.SUBNETS, Stage.UP)
    theirs = f"{match['local']} at this end, {match['remote']} at the other"
    return Symptom(Cause.SUBNETS, Stage.UP, theirs, here=True)


def algorithm(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """charon agreed on what none of its plugins brings."""
    what = match.groupdict().get("what")
    two = attempt.phase in (Phase.TWO, Phase.REKEY) or Stage.AUTHENTICATED in attempt.reached
    beyond = Stage.UP if two else Stage.AUTHENTICATED
    return Symptom(Cause.ALGORITHM, beyond, ours=word(what) if what else "", here=True)


def silence(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """A request is sent again: whether any port of the peer was heard tells where it is lost."""
    waiting = Stage.AUTHENTICATED not in attempt.reached
    if waiting and attempt.sent_to == "4500" and attempt.answered == {"500"}:
        return Symptom(Cause.NAT_T, Stage.AUTHENTICATED, weak=True)
    return Symptom(Cause.NO_ANSWER, Stage.HEARD, weak=True)


def given_up(attempt: Attempt, match: re.Match[str]) -> Symptom | None:
    """A peer that began, was answered, and was not heard again: not where it should go on."""
    if attempt.asked_again or "4500" in attempt.answered:
        return None
    return Symptom(Cause.NAT_T, Stage.AUTHENTICATED, here=True, weak=True)


def unheard(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """The peer asks again what was answered: the answers are lost."""
    attempt.asked_again = True
    return Symptom(Cause.NO_ANSWER, Stage.AUTHENTICATED, here=True, weak=True)


def deleted(attempt: Attempt, match: re.Match[str]) -> Symptom | None:
    """In IKEv1 an initiator that does not like our identity ends the IKE_SA it just made."""
    since = attempt.reached.get(Stage.AUTHENTICATED)
    soon = since is not None and attempt.lines[-1].at - since <= AT_ONCE
    if soon and attempt.role is Role.RESPONDER and attempt.version == 1 and not attempt.quick_mode:
        return Symptom(Cause.IDENTITY, Stage.UP)
    return None


def _unauthenticated(cause: Cause, theirs: str = "", ours: str = "", here: bool = False) -> Symptom:
    return Symptom(cause, Stage.AUTHENTICATED, theirs, ours, here)


def here(cause: Cause) -> Rule:
    """This end does not accept what the peer is, says or has."""

    def rule(attempt: Attempt, match: re.Match[str]) -> Symptom:
        told = match.groupdict()
        return _unauthenticated(cause, told.get("theirs") or "", told.get("ours") or "", here=True)

    return rule


def limit(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """charon does not even look at packets of a peer that left too much half open."""
    return Symptom(Cause.DOS_LIMIT, Stage.AUTHENTICATED, here=True)
