"""The rules: which line of charon shows which cause. The messages are those of strongSwan 5.9.8.

`docs/diagnosis.md` has the table for people.
"""

from __future__ import annotations

import re

from vpnportal.domain.diagnosis.attempts import Attempt, Symptom
from vpnportal.domain.diagnosis.findings import Cause
from vpnportal.domain.diagnosis.log_lines import LogLine
from vpnportal.domain.diagnosis.symptoms import (
    Rule,
    algorithm,
    authentication_failed,
    deleted,
    given_up,
    here,
    invalid_id,
    limit,
    no_configuration,
    no_key_there,
    no_match,
    no_proposal_chosen,
    not_decrypted,
    not_known,
    other_group,
    silence,
    subnets,
    unheard,
    version,
)

_RULES: tuple[tuple[re.Pattern[str], Rule], ...] = tuple(
    (re.compile(pattern), rule)
    for pattern, rule in (
        (
            r"received NO_PROPOSAL_CHOSEN (?:error notify|notify error|notify, no CHILD_SA built)",
            no_proposal_chosen,
        ),
        (
            r"no proposal found|received proposals unacceptable|no acceptable proposal found"
            r"|no matching proposal found, sending NO_PROPOSAL_CHOSEN",
            no_match,
        ),
        (r"received AUTHENTICATION_FAILED (?:error notify|notify error)", authentication_failed),
        (r"tried \d+ shared keys? for .*, but MAC mismatched", here(Cause.KEY)),
        (
            r"could not decrypt payloads|received HASH payload does not match"
            r"|calculated HASH does not match HASH payload",
            not_decrypted,
        ),
        (r"received PAYLOAD_MALFORMED error notify", not_decrypted),
        (r"no shared key found for '.*", here(Cause.NO_KEY)),
        (
            r"received INVALID_KE_PAYLOAD error notify"
            r"|parsed INFORMATIONAL_V1 request \d+ \[ N\(INVAL_KE\) \]",
            no_key_there,
        ),
        (r"peer didn't accept DH group (?P<ours>\S+), it requested (?P<theirs>\S+)", other_group),
        (
            r"IDir '(?P<theirs>.*)' does not match to '(?P<ours>.*)'",
            here(Cause.IDENTITY),
        ),
        (
            r"constraint check failed: identity '(?P<ours>.*)' required ?",
            here(Cause.IDENTITY),
        ),
        (r"no (?:matching )?peer config found", not_known),
        (r"no IKE config found for .*, sending NO_PROPOSAL_CHOSEN", no_configuration),
        (
            r"received unsupported IKE version (?P<theirs>\S+) from .*",
            version,
        ),
        (r"received INVALID_MAJOR_VERSION (?:error notify|notify error)", version),
        (r"received INVALID_ID_INFORMATION error notify", invalid_id),
        (r"received TS_UNACCEPTABLE notify, no CHILD_SA built", subnets),
        (r"no matching CHILD_SA config found for (?P<remote>.*) === (?P<local>.*)", subnets),
        (r"traffic selectors (?P<local>.*) === (?P<remote>.*) unacceptable", subnets),
        (
            r"[A-Z_]+_(?:ALGORITHM|FUNCTION) (?P<what>\S+)(?: \(key size \d+\))? not supported!",
            algorithm,
        ),
        (r"failed to create ESP context: unsupported \w+ algorithm (?P<what>\S+)", algorithm),
        (r"algorithm (?P<what>\S+) not supported by kernel!", algorithm),
        (r"(?:configured |negotiated )?DH group (?P<what>[A-Z]+_\d+) not supported", algorithm),
        (r"negotiated DH group not supported", algorithm),
        (r"ignoring IKE_SA setup from \S+, .*", limit),
        (r"(?:sending )?retransmit \d+ of request .*|giving up after \d+ retransmits", silence),
        (r"received retransmit of request with ID \d+, retransmitting response", unheard),
        (r"deleting half open IKE_SA with \S+ after timeout", given_up),
        (r"received DELETE for IKE_SA .*", deleted),
    )
)


def symptom_of(attempt: Attempt, line: LogLine) -> Symptom | None:
    """What a line shows of an attempt that has read it; None for most lines."""
    for pattern, rule in _RULES:
        if match := pattern.fullmatch(line.text):
            return rule(attempt, match)
    return None
