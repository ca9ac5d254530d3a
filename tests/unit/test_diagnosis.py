"""Findings from charon's lines: cases that the laboratory cannot provoke, and the texts.

The lines are those of strongSwan 5.9.8, as the system tests of diagnosis record them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.samples import example, networks
from vpnportal.domain.diagnosis import Cause, Evidence, Finding, diagnose, message_for_peer
from vpnportal.domain.diagnosis.diagnose import FINDINGS
from vpnportal.domain.diagnosis.log_lines import LogLine, Role

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
BEGUN = (
    "initiating Main Mode IKE_SA ctx42[3] to 203.0.113.2",
    "generating ID_PROT request 0 [ SA V V V V V ]",
    "sending packet: from 203.0.113.1[500] to 203.0.113.2[500] (180 bytes)",
)
ANSWERED = (
    *BEGUN,
    "received packet: from 203.0.113.2[500] to 203.0.113.1[500] (160 bytes)",
    "parsed ID_PROT response 0 [ SA V V V V ]",
    "selected proposal: IKE:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_1536",
    "generating ID_PROT request 0 [ KE No NAT-D NAT-D ]",
    "parsed ID_PROT response 0 [ KE No NAT-D NAT-D ]",
    "generating ID_PROT request 0 [ ID HASH N(INITIAL_CONTACT) ]",
)
ESTABLISHED = (
    *ANSWERED,
    "parsed ID_PROT response 0 [ ID HASH ]",
    "IKE_SA ctx42[3] established between 203.0.113.1[203.0.113.1]...203.0.113.2[203.0.113.2]",
    "generating QUICK_MODE request 1629566285 [ HASH SA No KE ID ID ]",
)
UP = (
    *ESTABLISHED,
    "parsed QUICK_MODE response 1629566285 [ HASH SA No KE ID ID ]",
    "CHILD_SA ctx42-32f5219c-19cfe880{1} established with SPIs 7d420075_i efbad199_o"
    " and TS 10.2.0.0/24 === 192.168.10.0/24",
)
REFUSED_ONE = (
    *BEGUN,
    "parsed INFORMATIONAL_V1 request 991098855 [ N(NO_PROP) ]",
    "received NO_PROPOSAL_CHOSEN error notify",
)
OTHER_KEY = (*ANSWERED, "could not decrypt payloads")
RESPONDED = (
    "received packet: from 203.0.113.2[500] to 203.0.113.1[500] (180 bytes)",
    "parsed ID_PROT request 0 [ SA V V V V V ]",
)


def lines(
    *texts: str, at: datetime = NOON, role: Role = Role.INITIATOR, ike: str = "1"
) -> tuple[LogLine, ...]:
    """Return an attempt that begins at a time, with a line per millisecond."""
    step = timedelta(milliseconds=1)
    return tuple(LogLine(at + step * number, role, text, ike) for number, text in enumerate(texts))


def later(**time: int) -> datetime:
    return NOON + timedelta(**time)


def findings(*attempts: tuple[LogLine, ...], **evidence) -> tuple[Finding, ...]:
    log = tuple(line for attempt in attempts for line in attempt)
    return diagnose(example(), Evidence(log, **evidence))


def causes(*attempts: tuple[LogLine, ...], **evidence) -> list[Cause]:
    return [finding.cause for finding in findings(*attempts, **evidence)]


def only_finding(*attempts: tuple[LogLine, ...], **evidence) -> Finding:
    (finding,) = findings(*attempts, **evidence)
    return finding


def test_no_evidence_and_unknown_lines_give_no_finding():
    assert causes() == []
    assert causes(lines("some line of a later strongSwan", *BEGUN)) == []
    assert causes(lines(*UP), up=True) == []


@pytest.mark.parametrize(
    ("texts", "cause"),
    [
        (("received INVALID_MAJOR_VERSION notify error",), Cause.IKE_VERSION),
        (("received PAYLOAD_MALFORMED error notify",), Cause.KEY),
        (("constraint check failed: identity '203.0.113.2' required ",), Cause.IDENTITY),
        (("received INVALID_ID_INFORMATION error notify",), Cause.IDENTITY),
        (("algorithm DES_CBC not supported by kernel!",), Cause.ALGORITHM),
        (("configured DH group MODP_768 not supported",), Cause.ALGORITHM),
        (
            ("peer didn't accept DH group MODP_1536, it requested MODP_2048",),
            Cause.PHASE_ONE,
        ),
    ],
)
def test_answers_of_other_vendors_have_the_same_causes(texts, cause):
    assert causes(lines(*ANSWERED, *texts)) == [cause]


@pytest.mark.parametrize(
    ("texts", "cause"),
    [
        (
            ("constraint check failed: identity '203.0.113.2' (ID_IPV4_ADDR) required",),
            Cause.IDENTITY,
        ),
        (("configured key exchange method MODP_1536 not supported",), Cause.ALGORITHM),
        (("negotiated key exchange method MODP_1536 not supported",), Cause.ALGORITHM),
    ],
)
def test_the_texts_of_strongswan_6_have_the_same_causes(texts, cause):
    assert causes(lines(*ANSWERED, *texts)) == [cause]


def test_the_finding_names_the_identity_that_strongswan_6_received():
    check = (
        "constraint check failed: identity '203.0.113.2' (ID_IPV4_ADDR) required,"
        " not matched by 'customer.example' (ID_FQDN)"
    )

    finding = only_finding(lines(*ANSWERED, check))

    assert (finding.cause, finding.theirs) == (Cause.IDENTITY, "customer.example")
    assert finding.ours == "203.0.113.2"


@pytest.mark.parametrize("group", ["DH group", "key exchange method"])
def test_the_finding_names_the_group_that_the_peer_requests(group):
    requested = lines(*BEGUN, f"peer didn't accept {group} MODP_1536, it requested MODP_2048")

    finding = only_finding(requested)

    assert (finding.field, finding.theirs) == ("phase_one_group", "group 14")


def test_proposals_of_a_peer_have_the_portals_names_and_the_most_similar_counts():
    offers = (
        "IKE:3DES_CBC/HMAC_MD5_96/PRF_HMAC_MD5/MODP_1024,"
        " IKE:AES_CBC_256/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1536,"
        " IKE:CHACHA20_POLY1305/PRF_HMAC_SHA2_256/CURVE_25519"
    )
    ours = "IKE:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_1536"

    finding = only_finding(
        lines(
            *RESPONDED,
            f"received proposals: {offers}",
            f"configured proposals: {ours}",
            "no proposal found",
            role=Role.RESPONDER,
        )
    )

    assert finding.field == "phase_one_authentication"
    assert finding.ours == "AES256 / SHA256 / group 5"
    assert finding.theirs == (
        "3DES / MD5 / group 2 or AES256 / SHA1 / group 5 or ChaCha20-Poly1305 / SHA256 / group 31"
    )


def test_proposals_of_an_initiating_peer_are_preferred_to_its_bare_notify():
    offer, ours = "AES_CBC_128/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024", "AES_CBC_256/MODP_1536"
    proposed = lines(
        *RESPONDED,
        f"received proposals: IKE:{offer}",
        f"configured proposals: IKE:{ours}",
        "no proposal found",
        role=Role.RESPONDER,
        ike="2",
    )
    refused = lines(*REFUSED_ONE, at=later(seconds=1), ike="1")

    assert only_finding(refused).theirs == ""
    assert only_finding(proposed, refused).theirs == "AES128 / SHA1 / group 2"


def test_an_exact_cause_replaces_a_vague_cause():
    refused = lines(*REFUSED_ONE, ike="1")
    other_version = lines(
        "parsed IKE_SA_INIT request 0 [ SA KE No ]",
        "no IKE config found for 203.0.113.1...203.0.113.2, sending NO_PROPOSAL_CHOSEN",
        role=Role.RESPONDER,
        ike="2",
    )

    assert causes(refused) == [Cause.PHASE_ONE]
    # Any host could have sent that packet, so the peer's own answer stays, and is first.
    assert causes(refused, other_version) == [Cause.PHASE_ONE, Cause.IKE_VERSION]


def test_a_rejection_may_be_logged_before_its_exchange():
    refused = lines(
        "no IKE config found for 203.0.113.1...203.0.113.2, sending NO_PROPOSAL_CHOSEN",
        "parsed ID_PROT request 0 [ SA V V V V V ]",
        role=Role.RESPONDER,
    )

    assert only_finding(refused).cause is Cause.IKE_VERSION
    assert only_finding(refused).theirs == "IKEv1"


def test_a_cause_ends_when_a_later_attempt_gets_further():
    first = lines(*REFUSED_ONE, ike="1")
    second = lines(*OTHER_KEY, at=later(seconds=30), ike="2")
    third = lines(*UP, at=later(minutes=1), ike="3")

    assert causes(first) == [Cause.PHASE_ONE]
    assert causes(first, second) == [Cause.KEY]
    assert causes(first, second, third, up=True) == []

    initiated = lines(*RESPONDED, "could not decrypt payloads", at=later(seconds=30), ike="2")
    theirs = tuple(replace(line, role=Role.RESPONDER) for line in initiated)
    assert causes(first, theirs) == [Cause.KEY]


def test_a_cause_that_returns_after_the_tunnel_was_up_is_reported():
    up = lines(*UP, ike="1")
    again = lines(*OTHER_KEY, at=later(minutes=1), ike="2")

    assert causes(up, again) == [Cause.KEY]


def test_a_rejected_child_is_reported_although_another_is_up():
    refused = "received INVALID_ID_INFORMATION error notify"
    degraded = lines(*ESTABLISHED, refused, *UP[-2:])

    assert causes(degraded, up=False) == [Cause.SUBNETS]
    assert causes(degraded, up=True) == []


def test_silence_after_a_reported_cause_is_not_a_cause():
    again = "sending retransmit 1 of request message ID 0, seq 3"

    assert causes(lines(*OTHER_KEY, again, "giving up after 5 retransmits")) == [Cause.KEY]


def test_a_peer_that_answers_again_is_not_silent():
    silent = (*BEGUN, "sending retransmit 1 of request message ID 0, seq 1")

    assert causes(lines(*silent)) == [Cause.NO_ANSWER]
    assert causes(lines(*silent, *ANSWERED[3:])) == []


def test_an_icmp_error_counts_only_while_its_port_is_silent():
    icmp = "icmp: 203.0.113.2 says nothing listens at port 500 of 203.0.113.2"
    refused = lines(icmp, at=later(seconds=1), ike="")

    assert causes(lines(*BEGUN), refused) == [Cause.REFUSED]
    assert causes(lines(*UP, at=later(seconds=2)), refused, up=True) == []
    # Any host can send such a packet.
    assert causes(refused) == []
    between = lines(icmp, at=NOON + timedelta(microseconds=2_500), ike="")
    assert causes(lines(*ANSWERED), between) == []


def test_unauthenticated_packets_do_not_count_for_a_tunnel_that_is_up():
    up = lines(*UP)
    forged = lines(
        *RESPONDED, "no proposal found", at=later(minutes=1), role=Role.RESPONDER, ike="2"
    )
    rekey = lines(
        "parsed CREATE_CHILD_SA request 0 [ N(REKEY_SA) SA No KE TSi TSr ]",
        "received proposals: ESP:AES_CBC_256/HMAC_SHA2_256_128/MODP_2048/NO_EXT_SEQ",
        "configured proposals: ESP:AES_CBC_256/HMAC_SHA2_256_128/MODP_1536/NO_EXT_SEQ",
        "no acceptable proposal found",
        at=later(minutes=1),
        role=Role.RESPONDER,
    )

    assert causes(up, forged) == [Cause.PHASE_ONE]
    assert causes(up, forged, up=True) == []
    assert causes(up, rekey, up=True) == [Cause.PFS]


def test_silence_of_an_established_tunnel_is_reported_and_old_symptoms_are_not():
    up = lines(*UP)
    silent = lines("retransmit 1 of request with message ID 7", at=later(minutes=5))

    assert causes(up, silent) == [Cause.NO_ANSWER]
    assert causes(lines(*REFUSED_ONE), lines(*BEGUN, at=later(hours=1), ike="2")) == []


def test_a_refused_rekey_is_reported_without_its_lines():
    finding = only_finding(up=True, rekey_refused=True)

    assert (finding.cause, finding.field) == (Cause.PFS, "phase_two_group")


def test_anomalies_of_the_running_tunnel_are_reported():
    narrowed = (("10.2.0.0/24",), ("192.168.10.0/25",))

    assert causes(up=True, narrowed=narrowed) == [Cause.NARROWED]
    assert causes(up=True, one_way_seconds=40) == [Cause.ONE_WAY]
    assert causes(up=True, downs=4) == [Cause.FLAPPING]
    assert causes(up=True, downs=3) == []
    assert causes(up=True, duplicates=2) == [Cause.DUPLICATES]


def test_findings_are_sorted_by_decisiveness():
    key = lines(*OTHER_KEY)
    limit = lines(
        "ignoring IKE_SA setup from 203.0.113.2, per-IP half-open IKE_SA limit of 5 reached",
        role=Role.RESPONDER,
        ike="",
    )

    assert causes(limit, key, downs=9) == [Cause.KEY, Cause.DOS_LIMIT, Cause.FLAPPING]


def test_the_message_for_the_peer_names_the_settings_and_contains_no_secret():
    spec = example(remote_subnets=networks("192.168.10.0/24"))
    (finding,) = diagnose(spec, Evidence(lines(*REFUSED_ONE)))

    text = message_for_peer(spec, finding)

    assert text.splitlines() == [
        "IPsec tunnel (IKEv1) between our gateway 203.0.113.1 and your device 203.0.113.2:",
        "Your device answers NO_PROPOSAL_CHOSEN in phase 1. Please set IKEv1 / AES256 / SHA256 /"
        " group 5 for the peer 203.0.113.1.",
        "Configured on our gateway: AES256 / SHA256 / group 5.",
    ]
    lost = lines(*BEGUN, "no shared key found for '203.0.113.1' - '203.0.113.2'")
    (local,) = diagnose(spec, Evidence(lost))
    assert message_for_peer(spec, local) == ""


def test_every_cause_that_a_rule_can_show_has_a_finding():
    of_a_running_tunnel = {Cause.NARROWED, Cause.ONE_WAY, Cause.FLAPPING, Cause.DUPLICATES}

    assert set(FINDINGS) == set(Cause) - of_a_running_tunnel


UNSUPPORTED = "received unsupported IKE version {} from 203.0.113.2, sending INVALID_MAJOR_VERSION"
OTHER_VERSION = (
    "received packet: from 203.0.113.2[500] to 203.0.113.1[500] (432 bytes)",
    "parsed IKE_SA_INIT request 0 [ SA KE No N(NATD_S_IP) N(NATD_D_IP) ]",
    "no IKE config found for 203.0.113.1...203.0.113.2, sending NO_PROPOSAL_CHOSEN",
)


@pytest.mark.parametrize("version", ["9.7", "3.0", "0.1", "15.15"])
def test_s12_a_version_that_no_device_has_is_no_finding(version):
    assert not findings(lines(UNSUPPORTED.format(version), role=Role.RESPONDER, ike=""))


def test_s12_a_first_packet_of_any_host_comes_after_what_our_own_attempt_showed():
    spoofed = lines(*OTHER_VERSION, at=NOON + timedelta(seconds=9), role=Role.RESPONDER, ike="9")

    found = findings(lines(*REFUSED_ONE), spoofed)

    assert [(finding.cause, bool(finding.caution)) for finding in found] == [
        (Cause.PHASE_ONE, False),
        (Cause.IKE_VERSION, True),
    ]
    message = message_for_peer(example(), found[1])
    assert "Received with the address of your device: IKEv2." in message


def test_s12_a_second_request_is_from_the_host_at_the_peers_address():
    refused = (
        *RESPONDED,
        "parsed ID_PROT request 0 [ KE No NAT-D NAT-D ]",
        "could not decrypt payloads",
    )

    (found,) = findings(lines(*refused, role=Role.RESPONDER, ike="9"))

    assert (found.cause, found.caution) == (Cause.KEY, "")
