"""Peer probe: the sequence of offers, its end, and the detected settings."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.peer import Peer
from tests.unit.samples import EXAMPLE, example
from vpnportal.domain.gateway_config.names import (
    is_portal_connection,
    is_portal_secret,
    is_probe,
    probe_of,
)
from vpnportal.domain.peer_probe import offers
from vpnportal.domain.peer_probe.connection import ProbeOffer, connection
from vpnportal.domain.peer_probe.offers import ProbeAlgorithms, probe_algorithms
from vpnportal.domain.peer_probe.reply import OfferReply, OfferResult, read
from vpnportal.domain.peer_probe.result import learned_fields, reply_text, summary
from vpnportal.domain.peer_probe.strategy import next_offer, wants_phase_two
from vpnportal.domain.tunnel.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS, UNNAMED, Suite

EVERYTHING = {
    *(e.charon_name.partition("-")[0] for e in ENCRYPTIONS.values()),
    *(word for a in AUTHENTICATIONS.values() for word in (a.charon_name, a.prf)),
    *(g.charon_name for g in GROUPS.values()),
}
ALL = probe_algorithms(EVERYTHING)
DES_MD5_1 = ("DES", "MD5", 1)
AES_SHA_5 = ("AES256", "SHA256", 5)


def probe(
    peer: Peer, algorithms: ProbeAlgorithms = ALL, with_phase_two: bool = True
) -> list[OfferReply]:
    """Return the replies to a complete probe; more than forty offers are an error."""
    replies: list[OfferReply] = []
    while offer := next_offer(replies, algorithms, with_phase_two):
        replies.append(peer.reply(offer))
        assert len(replies) < 40
    return replies


def suites(ciphers: list[str], groups: list[int]) -> st.SearchStrategy:
    return st.tuples(
        st.sampled_from(ciphers), st.sampled_from(sorted(AUTHENTICATIONS)), st.sampled_from(groups)
    )


CIPHERS = [e.name for e in ENCRYPTIONS.values() if not e.aead]
REAL = [number for number in GROUPS if number]


@given(st.sampled_from((1, 2)), suites(CIPHERS, REAL), suites(CIPHERS, list(GROUPS)))
def test_a_probe_detects_any_accepted_settings(version, phase_one, phase_two):
    fields = learned_fields(probe(Peer(version, phase_one, phase_two)))

    group = {"phase_two_group": phase_two[2]} if phase_two[2] else {}
    assert fields == {
        "ike_version": version,
        "phase_one_encryption": phase_one[0],
        "phase_one_authentication": phase_one[1],
        "phase_one_group": phase_one[2],
        "phase_two_encryption": phase_two[0],
        "phase_two_authentication": phase_two[1],
        "phase_two_pfs": bool(phase_two[2]),
        **group,
    }


@given(suites(sorted(ENCRYPTIONS), REAL), suites(sorted(ENCRYPTIONS), list(GROUPS)))
def test_a_probe_of_ikev2_detects_aead_ciphers_and_their_prf(phase_one, phase_two):
    fields = learned_fields(probe(Peer(2, phase_one, phase_two)))

    assert (fields["phase_one_encryption"], fields["phase_one_authentication"]) == phase_one[:2]
    assert fields["phase_two_encryption"] == phase_two[0]
    assert fields.get("phase_two_authentication") == (
        None if ENCRYPTIONS[phase_two[0]].aead else phase_two[1]
    )


@pytest.mark.parametrize(
    "accepted", [AES_SHA_5, ("3DES", "MD5", 2), DES_MD5_1, ("AES192", "SHA1", 5)]
)
def test_an_old_device_that_never_rejects_is_detected_by_its_likely_settings(accepted):
    replies = probe(Peer(1, accepted, accepted, is_responsive=False))

    assert sum(reply.heard is OfferResult.SILENT for reply in replies) <= 2
    assert learned_fields(replies)["phase_two_group"] == accepted[2]


def test_a_silent_peer_gets_three_offers_and_the_summary_names_its_address():
    replies = probe(Peer(9, DES_MD5_1, DES_MD5_1, is_responsive=False))

    assert [reply.offer for reply in replies] == [
        "IKEv2, good algorithms",
        "IKEv1, common combinations",
        "IKEv1, legacy combinations",
    ]
    assert learned_fields(replies) == {}
    assert summary(replies, EXAMPLE).startswith("No answer from 203.0.113.2 on UDP port 500.")


def test_a_peer_that_rejects_every_offer_gets_each_offer_once():
    replies = probe(Peer(9, DES_MD5_1, DES_MD5_1))

    names = [reply.offer for reply in replies]
    assert len(names) == len(set(names))
    assert "rejects every proposal" in summary(replies, EXAMPLE)


@pytest.mark.parametrize("version", [1, 2])
def test_a_peer_that_prefers_weak_algorithms_is_detected_with_its_good_ones(version):
    good = ("AES128", "SHA256", 14)
    peers = [Peer(version, accepted, accepted) for accepted in (DES_MD5_1, good)]

    class Both(Peer):
        def reply(self, offer: ProbeOffer) -> OfferReply:
            replies = [peer.reply(offer) for peer in peers]
            return next((r for r in replies if r.heard is OfferResult.SELECTED), replies[0])

    fields = learned_fields(probe(Both(version, good, good), with_phase_two=False))

    assert (fields["phase_one_encryption"], fields["phase_one_group"]) == ("AES128", 14)


def test_only_algorithms_of_the_running_charon_are_offered():
    missing = {"DES_CBC", "AES_GCM_16", "PRF_HMAC_MD5", "MODP_768"}
    keywords = {
        keyword
        for offer in every_offer(probe_algorithms(EVERYTHING - missing))
        for proposal in (*offer.ike, *offer.esp)
        for keyword in proposal.split("-")
    }

    assert {"aes256", "sha1", "modp1024"} <= keywords
    assert not keywords & {"des", "aes256gcm16", "md5", "prfmd5", "modp768"}


def test_an_offer_of_ikev1_fits_in_one_packet():
    assert max(len(offer.ike) for offer in every_offer(ALL) if offer.version == 1) <= 27


def every_offer(algorithms: ProbeAlgorithms) -> list[ProbeOffer]:
    """Return the offers to peers that reject all, accept phase 1 only, or never answer."""
    offers: list[ProbeOffer] = []

    class RecordingPeer(Peer):
        def reply(self, offer: ProbeOffer) -> OfferReply:
            offers.append(offer)
            return super().reply(offer)

    for version in (1, 2):
        probe(RecordingPeer(version, AES_SHA_5, AES_SHA_5), algorithms)
        probe(RecordingPeer(9, AES_SHA_5, AES_SHA_5), algorithms)
    probe(RecordingPeer(9, AES_SHA_5, AES_SHA_5, is_responsive=False), algorithms)
    return offers


def test_phase_two_needs_a_key_and_both_subnets_and_the_summary_names_them():
    bare = example(preshared_key="", remote_subnets=())
    replies = probe(Peer(1, AES_SHA_5, AES_SHA_5), with_phase_two=wants_phase_two(bare))

    assert not wants_phase_two(bare)
    assert wants_phase_two(EXAMPLE)
    assert {reply.phase for reply in replies} == {1}
    assert summary(replies, bare) == (
        "To detect phase 2 as well, add the preshared key and a remote subnet."
    )


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"has_key": False}, "preshared key mismatch"),
        ({"has_subnets": False}, "the preshared key matches, but the peer has no tunnel"),
    ],
)
def test_a_wrong_key_or_subnet_ends_the_probe_with_phase_one_detected(version, wrong, text):
    replies = probe(Peer(version, AES_SHA_5, AES_SHA_5, **wrong))

    assert [reply.phase for reply in replies].count(2) == 1
    assert learned_fields(replies)["phase_one_encryption"] == "AES256"
    assert not any(field.startswith("phase_two") for field in learned_fields(replies))
    assert text in summary(replies, EXAMPLE)


def test_an_offer_without_a_decision_is_retried_once():
    unclear = OfferReply("IKEv2, good algorithms", 2, 1, OfferResult.UNCLEAR)

    retry = next_offer([unclear], ALL, True)
    later = next_offer([unclear, OfferReply(retry.name, 2, 1, OfferResult.UNCLEAR)], ALL, True)

    assert retry.name == "IKEv2, good algorithms, retry"
    assert retry.patient
    assert later.name == "IKEv2, all algorithms"
    assert not later.patient


def test_a_peer_that_answers_too_slowly_is_not_said_to_reject_every_proposal():
    class Slow(Peer):
        def reply(self, offer: ProbeOffer) -> OfferReply:
            reply = super().reply(offer)
            is_slow = offer.name.startswith("IKEv2, all")
            return replace(reply, heard=OfferResult.UNCLEAR) if is_slow else reply

    assert summary(probe(Slow(9, DES_MD5_1, DES_MD5_1)), EXAMPLE) == (
        "203.0.113.2 was not probed to the end: the peer answers too slowly. "
        "Try again when it and the line are less busy."
    )


def test_the_first_child_sa_of_ikev2_does_not_show_pfs_before_a_rekey():
    suite = Suite("AES_CBC-256", "HMAC_SHA2_256_128")
    phase_one = Peer(2, AES_SHA_5, AES_SHA_5).reply(ProbeOffer("IKEv2", 2, offers.ikev2(ALL)))
    replies = [phase_one, OfferReply("phase 2", 2, 2, OfferResult.SELECTED, suite)]

    assert learned_fields(replies)["phase_two_encryption"] == "AES256"
    assert "phase_two_pfs" not in learned_fields(replies)
    assert "Perfect Forward Secrecy" in summary(replies, EXAMPLE)


@given(
    st.builds(
        OfferReply,
        st.text(),
        st.sampled_from((1, 2)),
        st.sampled_from((1, 2)),
        st.sampled_from(OfferResult),
        st.builds(Suite, st.text(), st.text(), st.text(), st.text()),
        st.booleans(),
    )
)
def test_a_reply_survives_json(reply):
    assert OfferReply.of_json(json.loads(json.dumps(reply.as_json()))) == reply


PHASE_ONE = ProbeOffer("IKEv1", 1, ("aes256-sha256-modp1536",))
PHASE_TWO = ProbeOffer("phase 2", 2, ("aes256-sha256-modp1536",), ("aes256-sha256",))
PACKET = "received packet: from 203.0.113.2[500] to 203.0.113.1[500] (160 bytes)"
IKE = "selected proposal: IKE:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_1536"
ESP = "selected proposal: ESP:DES_CBC/HMAC_MD5_96/MODP_768/NO_EXT_SEQ"
UP = "IKE_SA ask-1[20] established between 203.0.113.1[203.0.113.1]...203.0.113.2[203.0.113.2]"
GAVE_UP = "establishing IKE_SA 'ask-1' failed"
TIMED_OUT = "IKE_SA 'ask-1' not established after 1500ms"
FOUND_IKE = Suite("AES_CBC-256", "HMAC_SHA2_256_128", "PRF_HMAC_SHA2_256", "MODP_1536")


NO_IKE = "received NO_PROPOSAL_CHOSEN error notify"
NO_ESP = "received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built"
NO_TS = "received TS_UNACCEPTABLE notify, no CHILD_SA built"
NO_ID = "received INVALID_ID_INFORMATION error notify"
PROOF = "generating ID_PROT request 0 [ ID HASH N(INITIAL_CONTACT) ]"
NO_AUTH = "received AUTHENTICATION_FAILED notify error"
FOUND_ESP = Suite("DES_CBC", "HMAC_MD5_96", "", "MODP_768")


@pytest.mark.parametrize(
    ("offer", "lines", "result", "suite"),
    [
        (PHASE_ONE, (TIMED_OUT,), OfferResult.SILENT, UNNAMED),
        (PHASE_ONE, (PACKET, NO_IKE, GAVE_UP), OfferResult.REFUSED, UNNAMED),
        (PHASE_ONE, (PACKET, "received COOKIE notify", TIMED_OUT), OfferResult.UNCLEAR, UNNAMED),
        (PHASE_ONE, (PACKET, IKE, GAVE_UP), OfferResult.SELECTED, FOUND_IKE),
        (PHASE_TWO, (TIMED_OUT,), OfferResult.SILENT, UNNAMED),
        (PHASE_TWO, (PACKET, IKE, NO_AUTH, GAVE_UP), OfferResult.KEY, UNNAMED),
        (
            PHASE_TWO,
            (PACKET, IKE, PROOF, "could not decrypt payloads", TIMED_OUT),
            OfferResult.KEY,
            UNNAMED,
        ),
        (PHASE_TWO, (PACKET, IKE, TIMED_OUT), OfferResult.UNCLEAR, UNNAMED),
        (PHASE_TWO, (PACKET, IKE, UP, NO_TS, GAVE_UP), OfferResult.SUBNETS, UNNAMED),
        (PHASE_TWO, (PACKET, IKE, UP, NO_ID, GAVE_UP), OfferResult.SUBNETS, UNNAMED),
        (PHASE_TWO, (PACKET, IKE, UP, NO_ESP, GAVE_UP), OfferResult.REFUSED, UNNAMED),
        (PHASE_TWO, (PACKET, IKE, UP, TIMED_OUT), OfferResult.SILENT, UNNAMED),
        (PHASE_TWO, (PACKET, IKE, UP, ESP), OfferResult.SELECTED, FOUND_ESP),
    ],
)
def test_the_result_is_read_from_the_lines_of_an_attempt(offer, lines, result, suite):
    reply = read(offer, lines)

    assert (reply.offer, reply.heard, reply.suite) == (offer.name, result, suite)


def test_a_probe_of_phase_one_has_no_identities_and_one_of_phase_two_has_both():
    phase_one, phase_two = connection(EXAMPLE, PHASE_ONE), connection(EXAMPLE, PHASE_TWO)

    assert phase_one["local"]["id"] == phase_one["remote"]["id"] == "ask-42"
    assert phase_two["local"]["id"] == "203.0.113.1"
    assert phase_two["remote"]["id"] == "203.0.113.2"
    assert "children" not in phase_one
    assert EXAMPLE.preshared_key not in json.dumps([phase_one, phase_two])


def test_a_probe_replaces_no_sa_and_installs_no_policies():
    phase_two = connection(EXAMPLE, PHASE_TWO)

    assert phase_two["unique"] == "never"
    assert phase_two["children"]["ask-42"]["policies"] == "no"
    assert phase_two["children"]["ask-42"]["start_action"] == "none"


def test_names_of_probes_are_not_those_of_tunnels():
    assert probe_of(42) == "ask-42"
    assert is_probe("ask-42")
    assert not is_portal_connection("ask-42")
    assert not is_portal_secret("ask-42")
    assert not any(is_probe(name) for name in ("ctx42", "ask-", "ask-me", "task-42", "ask-42\n"))


def test_each_reply_has_a_text():
    replies = probe(Peer(1, DES_MD5_1, ("DES", "MD5", 0)))

    assert reply_text(replies[0]) == "IKEv2, good algorithms: refused"
    assert reply_text(replies[-1]) == "phase 2, PFS off: selected DES / MD5"
