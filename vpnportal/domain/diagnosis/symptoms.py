"""The rules: which line of charon, at which point of an attempt, shows which cause.

The messages are those of strongSwan 5.9.8; the payloads and notifies those of RFC 2408, 2409 and
7296. `docs/diagnosis.md` has the table for people.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

from vpnportal.domain.diagnosis.attempts import Attempt, Phase, Stage, Symptom
from vpnportal.domain.diagnosis.findings import Cause
from vpnportal.domain.diagnosis.proposals import differences, word
from vpnportal.domain.lines import Line, Role

# A responder's IKE_SA of IKEv1 that is ended so soon was not liked for its identity.
AT_ONCE = timedelta(seconds=2)
Rule = Callable[[Attempt, re.Match[str]], Symptom | None]


def symptom_of(attempt: Attempt, line: Line) -> Symptom | None:
    """What a line shows of an attempt that has read it; None for most lines."""
    for pattern, rule in _RULES:
        if match := pattern.fullmatch(line.text):
            return rule(attempt, match)
    return None


def _no_proposal_chosen(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """The peer refuses: which proposal tells the exchange that it answers."""
    if attempt.phase is Phase.REKEY:
        return Symptom(Cause.PFS, Stage.RENEWED)
    if attempt.phase is Phase.TWO or "CHILD_SA" in match[0]:
        return Symptom(Cause.PHASE_TWO, Stage.UP)
    return Symptom(Cause.PHASE_ONE, Stage.AGREED)


def _no_match(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """This end refuses; which proposals, charon says in a line near this one."""
    theirs, ours = attempt.offers.get("received", ""), attempt.offers.get("configured", "")
    if theirs.startswith("IKE:") or (not theirs and attempt.phase is Phase.ONE):
        return Symptom(Cause.PHASE_ONE, Stage.AGREED, theirs, ours, here=True)
    if differences(theirs, ours, attempt.phase is Phase.AUTH) == ("groups",):
        return Symptom(Cause.PFS, Stage.RENEWED, theirs, ours, here=True)
    return Symptom(Cause.PHASE_TWO, Stage.UP, theirs, ours, here=True)


def _authentication_failed(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """In IKEv1 the notify is protected by the key, so that the key is not what differs."""
    protected = attempt.version == 1 and attempt.protected
    return _unauthenticated(Cause.IDENTITY if protected else Cause.KEY_OR_IDENTITY)


def _not_decrypted(attempt: Attempt, match: re.Match[str]) -> Symptom | None:
    """The keys of IKEv1's Main Mode are made with the preshared key (RFC 2409, 5)."""
    if attempt.version == 1 and Stage.AUTHENTICATED not in attempt.reached:
        return _unauthenticated(Cause.KEY, here=True)
    return None


def _no_key_there(attempt: Attempt, match: re.Match[str]) -> Symptom | None:
    """strongSwan says so in Main Mode when it knows no key, after it agreed to the group."""
    if attempt.version != 1:
        return None
    if attempt.phase is Phase.TWO:
        return Symptom(Cause.PFS, Stage.UP)
    return _unauthenticated(Cause.NO_KEY)


def _other_group(attempt: Attempt, match: re.Match[str]) -> Symptom:
    one = attempt.phase in (Phase.ONE, Phase.AUTH)
    cause, beyond = (Cause.PHASE_ONE, Stage.AGREED) if one else (Cause.PFS, Stage.RENEWED)
    return Symptom(cause, beyond, word(match["theirs"]), word(match["ours"]))


def _not_known(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """No connection has the peer's identity, or the one that it expects of us."""
    mine, theirs = attempt.identities
    return _unauthenticated(Cause.IDENTITY, theirs, mine, here=True)


def _no_configuration(attempt: Attempt, match: re.Match[str]) -> Symptom | None:
    if not attempt.version:
        return None
    return Symptom(Cause.IKE_VERSION, Stage.AGREED, f"IKEv{attempt.version}", here=True)


def _version(attempt: Attempt, match: re.Match[str]) -> Symptom:
    theirs = match.groupdict().get("theirs", "")
    return Symptom(
        Cause.IKE_VERSION, Stage.AGREED, theirs and f"IKEv{theirs[0]}", here=bool(theirs)
    )


def _invalid_id(attempt: Attempt, match: re.Match[str]) -> Symptom:
    if attempt.phase is Phase.TWO:
        return Symptom(Cause.SUBNETS, Stage.UP)
    return _unauthenticated(Cause.IDENTITY)


def _subnets(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """What the peer asks for: this end's networks, as it knows them, and its own."""
    if "local" not in match.groupdict():
        return Symptom(Cause.SUBNETS, Stage.UP)
    theirs = f"{match['local']} at this end, {match['remote']} at the other"
    return Symptom(Cause.SUBNETS, Stage.UP, theirs, here=True)


def _algorithm(attempt: Attempt, match: re.Match[str]) -> Symptom:
    what = match.groupdict().get("what")
    two = attempt.phase in (Phase.TWO, Phase.REKEY) or Stage.AUTHENTICATED in attempt.reached
    beyond = Stage.UP if two else Stage.AUTHENTICATED
    return Symptom(Cause.ALGORITHM, beyond, ours=word(what) if what else "", here=True)


def _silence(attempt: Attempt, match: re.Match[str]) -> Symptom:
    waiting = Stage.AUTHENTICATED not in attempt.reached
    if waiting and attempt.sent_to == "4500" and attempt.answered == {"500"}:
        return Symptom(Cause.NAT_T, Stage.AUTHENTICATED, weak=True)
    return Symptom(Cause.NO_ANSWER, Stage.HEARD, weak=True)


def _given_up(attempt: Attempt, match: re.Match[str]) -> Symptom | None:
    """A peer that began, was answered, and was not heard again: not where it should go on."""
    if attempt.asked_again or "4500" in attempt.answered:
        return None
    return Symptom(Cause.NAT_T, Stage.AUTHENTICATED, here=True, weak=True)


def _unheard(attempt: Attempt, match: re.Match[str]) -> Symptom:
    """The peer asks again what was answered: the answers are lost."""
    attempt.asked_again = True
    return Symptom(Cause.NO_ANSWER, Stage.AUTHENTICATED, here=True, weak=True)


def _deleted(attempt: Attempt, match: re.Match[str]) -> Symptom | None:
    """In IKEv1 an initiator that does not like our identity ends the IKE_SA it just made."""
    since = attempt.reached.get(Stage.AUTHENTICATED)
    soon = since is not None and attempt.lines[-1].at - since <= AT_ONCE
    if soon and attempt.role is Role.RESPONDER and attempt.version == 1 and not attempt.quick_mode:
        return Symptom(Cause.IDENTITY, Stage.UP)
    return None


def _unauthenticated(cause: Cause, theirs: str = "", ours: str = "", here: bool = False) -> Symptom:
    return Symptom(cause, Stage.AUTHENTICATED, theirs, ours, here)


def _here(cause: Cause) -> Rule:
    """This end does not accept what the peer is, says or has."""

    def rule(attempt: Attempt, match: re.Match[str]) -> Symptom:
        told = match.groupdict()
        return _unauthenticated(cause, told.get("theirs") or "", told.get("ours") or "", here=True)

    return rule


def _limit(attempt: Attempt, match: re.Match[str]) -> Symptom:
    return Symptom(Cause.DOS_LIMIT, Stage.AUTHENTICATED, here=True)


_RULES: tuple[tuple[re.Pattern[str], Rule], ...] = tuple(
    (re.compile(pattern), rule)
    for pattern, rule in (
        (
            r"received NO_PROPOSAL_CHOSEN (?:error notify|notify error|notify, no CHILD_SA built)",
            _no_proposal_chosen,
        ),
        (
            r"no proposal found|received proposals unacceptable|no acceptable proposal found"
            r"|no matching proposal found, sending NO_PROPOSAL_CHOSEN",
            _no_match,
        ),
        (r"received AUTHENTICATION_FAILED (?:error notify|notify error)", _authentication_failed),
        (r"tried \d+ shared keys? for .*, but MAC mismatched", _here(Cause.KEY)),
        (
            r"could not decrypt payloads|received HASH payload does not match"
            r"|calculated HASH does not match HASH payload",
            _not_decrypted,
        ),
        (r"received PAYLOAD_MALFORMED error notify", _not_decrypted),
        (r"no shared key found for '.*", _here(Cause.NO_KEY)),
        (
            r"received INVALID_KE_PAYLOAD error notify"
            r"|parsed INFORMATIONAL_V1 request \d+ \[ N\(INVAL_KE\) \]",
            _no_key_there,
        ),
        (r"peer didn't accept DH group (?P<ours>\S+), it requested (?P<theirs>\S+)", _other_group),
        (
            r"IDir '(?P<theirs>.*)' does not match to '(?P<ours>.*)'",
            _here(Cause.IDENTITY),
        ),
        (
            r"constraint check failed: identity '(?P<ours>.*)' required ?",
            _here(Cause.IDENTITY),
        ),
        (r"no (?:matching )?peer config found", _not_known),
        (r"no IKE config found for .*, sending NO_PROPOSAL_CHOSEN", _no_configuration),
        (
            r"received unsupported IKE version (?P<theirs>\S+) from .*",
            _version,
        ),
        (r"received INVALID_MAJOR_VERSION (?:error notify|notify error)", _version),
        (r"received INVALID_ID_INFORMATION error notify", _invalid_id),
        (r"received TS_UNACCEPTABLE notify, no CHILD_SA built", _subnets),
        (r"no matching CHILD_SA config found for (?P<remote>.*) === (?P<local>.*)", _subnets),
        (r"traffic selectors (?P<local>.*) === (?P<remote>.*) unacceptable", _subnets),
        (
            r"[A-Z_]+_(?:ALGORITHM|FUNCTION) (?P<what>\S+)(?: \(key size \d+\))? not supported!",
            _algorithm,
        ),
        (r"failed to create ESP context: unsupported \w+ algorithm (?P<what>\S+)", _algorithm),
        (r"algorithm (?P<what>\S+) not supported by kernel!", _algorithm),
        (r"(?:configured |negotiated )?DH group (?P<what>[A-Z]+_\d+) not supported", _algorithm),
        (r"negotiated DH group not supported", _algorithm),
        (r"ignoring IKE_SA setup from \S+, .*", _limit),
        (r"(?:sending )?retransmit \d+ of request .*|giving up after \d+ retransmits", _silence),
        (r"received retransmit of request with ID \d+, retransmitting response", _unheard),
        (r"deleting half open IKE_SA with \S+ after timeout", _given_up),
        (r"received DELETE for IKE_SA .*", _deleted),
    )
)
