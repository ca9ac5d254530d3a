"""The rules: which message of charon shows which cause.

Messages are those of strongSwan 5.9.8 and 6.0.1. `docs/diagnosis.md` has the table of causes for
people.
"""

from __future__ import annotations

import re

from vpnportal.domain.diagnosis import symptoms
from vpnportal.domain.diagnosis.attempts import Attempt, Symptom
from vpnportal.domain.diagnosis.findings import Cause
from vpnportal.domain.diagnosis.log_lines import LogLine

_RULES: tuple[tuple[re.Pattern[str], symptoms.Rule], ...] = tuple(
    (re.compile(pattern), rule)
    for pattern, rule in (
        (
            r"received NO_PROPOSAL_CHOSEN (?:error notify|notify error|notify, no CHILD_SA built)",
            symptoms.no_proposal_chosen,
        ),
        (
            r"no proposal found|received proposals unacceptable|no acceptable proposal found"
            r"|no matching proposal found, sending NO_PROPOSAL_CHOSEN",
            symptoms.no_common_proposal,
        ),
        (
            r"received AUTHENTICATION_FAILED (?:error notify|notify error)",
            symptoms.authentication_failed,
        ),
        (r"tried \d+ shared keys? for .*, but MAC mismatched", symptoms.rejected(Cause.KEY)),
        (
            r"could not decrypt payloads|received HASH payload does not match"
            r"|calculated HASH does not match HASH payload",
            symptoms.not_decrypted,
        ),
        (r"received PAYLOAD_MALFORMED error notify", symptoms.not_decrypted),
        (r"no shared key found for '.*", symptoms.rejected(Cause.NO_KEY)),
        (
            r"received INVALID_KE_PAYLOAD error notify"
            r"|parsed INFORMATIONAL_V1 request \d+ \[ N\(INVAL_KE\) \]",
            symptoms.invalid_ke_payload,
        ),
        (
            r"peer didn't accept (?:DH group|key exchange method) (?P<ours>\S+),"
            r" it requested (?P<theirs>\S+)",
            symptoms.group_requested,
        ),
        (
            r"IDir '(?P<theirs>.*)' does not match to '(?P<ours>.*)'",
            symptoms.rejected(Cause.IDENTITY),
        ),
        (
            r"constraint check failed: identity '(?P<ours>[^']*)' (?:\(\w+\) )?required ?"
            r"(?:, not matched by '(?P<theirs>.*)' \(\w+\))?",
            symptoms.rejected(Cause.IDENTITY),
        ),
        (r"no (?:matching )?peer config found", symptoms.no_peer_config),
        (r"no IKE config found for .*, sending NO_PROPOSAL_CHOSEN", symptoms.no_ike_config),
        (
            r"received unsupported IKE version (?P<theirs>\S+) from .*",
            symptoms.unsupported_version,
        ),
        (
            r"received INVALID_MAJOR_VERSION (?:error notify|notify error)",
            symptoms.unsupported_version,
        ),
        (r"received INVALID_ID_INFORMATION error notify", symptoms.invalid_id_information),
        (r"received TS_UNACCEPTABLE notify, no CHILD_SA built", symptoms.traffic_selectors),
        (
            r"no matching CHILD_SA config found for (?P<remote>.*) === (?P<local>.*)",
            symptoms.traffic_selectors,
        ),
        (
            r"traffic selectors (?P<local>.*) === (?P<remote>.*) unacceptable",
            symptoms.traffic_selectors,
        ),
        (
            r"[A-Z_]+_(?:ALGORITHM|FUNCTION) (?P<name>\S+)(?: \(key size \d+\))? not supported!",
            symptoms.algorithm_not_supported,
        ),
        (
            r"failed to create ESP context: unsupported \w+ algorithm (?P<name>\S+)",
            symptoms.algorithm_not_supported,
        ),
        (
            r"algorithm (?P<name>\S+) not supported by kernel!",
            symptoms.algorithm_not_supported,
        ),
        (
            r"(?:configured |negotiated )?(?:DH group|key exchange method) (?P<name>[A-Z]+_\d+)"
            r" not supported",
            symptoms.algorithm_not_supported,
        ),
        (r"negotiated DH group not supported", symptoms.algorithm_not_supported),
        (r"ignoring IKE_SA setup from \S+, .*", symptoms.half_open_limit),
        (
            r"(?:sending )?retransmit \d+ of request .*|giving up after \d+ retransmits",
            symptoms.retransmit,
        ),
        (
            r"received retransmit of request with ID \d+, retransmitting response",
            symptoms.peer_retransmit,
        ),
        (
            r"deleting half open IKE_SA with \S+ after timeout",
            symptoms.half_open_timeout,
        ),
        (r"received DELETE for IKE_SA .*", symptoms.ike_sa_deleted),
    )
)


def symptom_of(attempt: Attempt, line: LogLine) -> Symptom | None:
    """Return the symptom that a line shows, or None; `attempt` must have read the line."""
    for pattern, rule in _RULES:
        if match := pattern.fullmatch(line.text):
            return rule(attempt, match)
    return None
