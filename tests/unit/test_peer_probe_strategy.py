"""Asking a peer: what is offered, when it ends, and that the answer is what the peer has."""

from __future__ import annotations

import json

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
from vpnportal.domain.peer_probe.result import in_words, learned_fields, summary
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


def ask(peer: Peer, can: ProbeAlgorithms = ALL, with_phase_two: bool = True) -> list[OfferReply]:
    """The whole conversation; more than forty offers are no conversation."""
    replies: list[OfferReply] = []
    while offer := next_offer(replies, can, with_phase_two):
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
def test_the_answer_is_what_the_peer_accepts_whatever_that_is(version, one, two):
    known = learned_fields(ask(Peer(version, one, two)))

    group = {"phase_two_group": two[2]} if two[2] else {}
    assert known == {
        "ike_version": version,
        "phase_one_encryption": one[0],
        "phase_one_authentication": one[1],
        "phase_one_group": one[2],
        "phase_two_encryption": two[0],
        "phase_two_authentication": two[1],
        "phase_two_pfs": bool(two[2]),
        **group,
    }


@given(suites(sorted(ENCRYPTIONS), REAL), suites(sorted(ENCRYPTIONS), list(GROUPS)))
def test_ikev2_learns_aead_ciphers_too_and_their_prf(one, two):
    known = learned_fields(ask(Peer(2, one, two)))

    assert (known["phase_one_encryption"], known["phase_one_authentication"]) == one[:2]
    assert known["phase_two_encryption"] == two[0]
    assert known.get("phase_two_authentication") == (None if ENCRYPTIONS[two[0]].aead else two[1])


@pytest.mark.parametrize("one", [AES_SHA_5, ("3DES", "MD5", 2), DES_MD5_1, ("AES192", "SHA1", 5)])
def test_an_old_device_that_never_says_no_is_found_by_its_likely_settings(one):
    replies = ask(Peer(1, one, one, talks=False))

    assert sum(reply.heard is OfferResult.SILENT for reply in replies) <= 2
    assert learned_fields(replies)["phase_two_group"] == one[2]


def test_where_nobody_is_three_offers_are_made_and_the_remark_names_the_address():
    replies = ask(Peer(9, DES_MD5_1, DES_MD5_1, talks=False))

    assert [reply.offer for reply in replies] == [
        "IKEv2, good algorithms",
        "IKEv1, the usual combinations",
        "IKEv1, the oldest combinations",
    ]
    assert learned_fields(replies) == {}
    assert summary(replies, EXAMPLE).startswith("No answer from 203.0.113.2 on UDP port 500.")


def test_a_peer_that_refuses_everything_is_offered_everything_once():
    replies = ask(Peer(9, DES_MD5_1, DES_MD5_1))

    names = [reply.offer for reply in replies]
    assert len(names) == len(set(names))
    assert "refuses everything" in summary(replies, EXAMPLE)


@pytest.mark.parametrize("version", [1, 2])
def test_a_peer_that_would_rather_have_it_weak_is_learnt_with_its_good_algorithms(version):
    good = ("AES128", "SHA256", 14)
    peers = [Peer(version, one, one) for one in (DES_MD5_1, good)]

    class Both(Peer):
        def reply(self, offer: ProbeOffer) -> OfferReply:
            replies = [peer.reply(offer) for peer in peers]
            return next((one for one in replies if one.heard is OfferResult.SELECTED), replies[0])

    known = learned_fields(ask(Both(version, good, good), with_phase_two=False))

    assert (known["phase_one_encryption"], known["phase_one_group"]) == ("AES128", 14)


def test_only_what_the_running_charon_can_do_is_offered():
    can = probe_algorithms(EVERYTHING - {"DES_CBC", "AES_GCM_16", "PRF_HMAC_MD5", "MODP_768"})
    words = {
        word
        for one in every_offer(can)
        for text in (*one.ike, *one.esp)
        for word in text.split("-")
    }

    assert {"aes256", "sha1", "modp1024"} <= words
    assert not words & {"des", "aes256gcm16", "md5", "prfmd5", "modp768"}


def test_an_offer_of_ikev1_fits_in_one_packet():
    assert max(len(one.ike) for one in every_offer(ALL) if one.version == 1) <= 27


def every_offer(can: ProbeAlgorithms) -> list[ProbeOffer]:
    """Everything that peers are offered that refuse all, or stop at phase two, or never answer."""
    made: list[ProbeOffer] = []

    class Keeping(Peer):
        def reply(self, offer: ProbeOffer) -> OfferReply:
            made.append(offer)
            return super().reply(offer)

    for version in (1, 2):
        ask(Keeping(version, AES_SHA_5, AES_SHA_5), can)
        ask(Keeping(9, AES_SHA_5, AES_SHA_5), can)
    ask(Keeping(9, AES_SHA_5, AES_SHA_5, talks=False), can)
    return made


def test_phase_two_waits_for_a_key_and_both_subnets_and_the_remark_says_so():
    bare = example(preshared_key="", remote_subnets=())
    replies = ask(Peer(1, AES_SHA_5, AES_SHA_5), with_phase_two=wants_phase_two(bare))

    assert not wants_phase_two(bare)
    assert wants_phase_two(EXAMPLE)
    assert {reply.phase for reply in replies} == {1}
    assert summary(replies, bare) == (
        "Phase two can be asked too once the tunnel has the preshared key and a subnet of the "
        "customer's end."
    )


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("wrong", "start"),
    [
        ({"key": False}, "the preshared key does not fit"),
        ({"subnets": False}, "the key fits, but the other end knows no tunnel"),
    ],
)
def test_a_wrong_key_or_subnet_ends_it_and_leaves_phase_one_known(version, wrong, start):
    replies = ask(Peer(version, AES_SHA_5, AES_SHA_5, **wrong))

    assert [reply.phase for reply in replies].count(2) == 1
    assert learned_fields(replies)["phase_one_encryption"] == "AES256"
    assert not any(field.startswith("phase_two") for field in learned_fields(replies))
    assert start in summary(replies, EXAMPLE)


def test_an_offer_that_was_answered_without_a_decision_is_made_once_more():
    unclear = OfferReply("IKEv2, good algorithms", 2, 1, OfferResult.UNCLEAR)

    again = next_offer([unclear], ALL, True)
    then = next_offer([unclear, OfferReply(again.name, 2, 1, OfferResult.UNCLEAR)], ALL, True)

    assert again.name == "IKEv2, good algorithms, again"
    assert then.name == "IKEv2, every algorithm"


def test_a_first_child_of_ikev2_says_nothing_about_pfs_before_its_keys_are_renewed():
    suite = Suite("AES_CBC-256", "HMAC_SHA2_256_128")
    one = Peer(2, AES_SHA_5, AES_SHA_5).reply(ProbeOffer("IKEv2", 2, offers.ikev2(ALL)))
    hidden = [one, OfferReply("phase two", 2, 2, OfferResult.SELECTED, suite)]

    assert learned_fields(hidden)["phase_two_encryption"] == "AES256"
    assert "phase_two_pfs" not in learned_fields(hidden)
    assert "Perfect Forward Secrecy" in summary(hidden, EXAMPLE)


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
def test_a_row_gives_a_reply_back_as_it_was(reply):
    assert OfferReply.of_json(json.loads(json.dumps(reply.as_json()))) == reply


PHASE_ONE = ProbeOffer("IKEv1", 1, ("aes256-sha256-modp1536",))
PHASE_TWO = ProbeOffer("phase two", 2, ("aes256-sha256-modp1536",), ("aes256-sha256",))
PACKET = "received packet: from 203.0.113.2[500] to 203.0.113.1[500] (160 bytes)"
IKE = "selected proposal: IKE:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_1536"
ESP = "selected proposal: ESP:DES_CBC/HMAC_MD5_96/MODP_768/NO_EXT_SEQ"
UP = "IKE_SA ask-1[20] established between 203.0.113.1[203.0.113.1]...203.0.113.2[203.0.113.2]"
GAVE_UP = "establishing IKE_SA 'ask-1' failed"
TIME_UP = "IKE_SA 'ask-1' not established after 1500ms"
FOUND_IKE = Suite("AES_CBC-256", "HMAC_SHA2_256_128", "PRF_HMAC_SHA2_256", "MODP_1536")


NO_IKE = "received NO_PROPOSAL_CHOSEN error notify"
NO_ESP = "received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built"
NO_TS = "received TS_UNACCEPTABLE notify, no CHILD_SA built"
NO_ID = "received INVALID_ID_INFORMATION error notify"
PROOF = "generating ID_PROT request 0 [ ID HASH N(INITIAL_CONTACT) ]"
NO_AUTH = "received AUTHENTICATION_FAILED notify error"
FOUND_ESP = Suite("DES_CBC", "HMAC_MD5_96", "", "MODP_768")


@pytest.mark.parametrize(
    ("offer", "lines", "heard", "suite"),
    [
        (PHASE_ONE, (TIME_UP,), OfferResult.SILENT, UNNAMED),
        (PHASE_ONE, (PACKET, NO_IKE, GAVE_UP), OfferResult.REFUSED, UNNAMED),
        (PHASE_ONE, (PACKET, "received COOKIE notify", TIME_UP), OfferResult.UNCLEAR, UNNAMED),
        (PHASE_ONE, (PACKET, IKE, GAVE_UP), OfferResult.SELECTED, FOUND_IKE),
        (PHASE_TWO, (TIME_UP,), OfferResult.SILENT, UNNAMED),
        (PHASE_TWO, (PACKET, IKE, NO_AUTH, GAVE_UP), OfferResult.KEY, UNNAMED),
        (
            PHASE_TWO,
            (PACKET, IKE, PROOF, "could not decrypt payloads", TIME_UP),
            OfferResult.KEY,
            UNNAMED,
        ),
        (PHASE_TWO, (PACKET, IKE, TIME_UP), OfferResult.UNCLEAR, UNNAMED),
        (PHASE_TWO, (PACKET, IKE, UP, NO_TS, GAVE_UP), OfferResult.SUBNETS, UNNAMED),
        (PHASE_TWO, (PACKET, IKE, UP, NO_ID, GAVE_UP), OfferResult.SUBNETS, UNNAMED),
        (PHASE_TWO, (PACKET, IKE, UP, NO_ESP, GAVE_UP), OfferResult.REFUSED, UNNAMED),
        (PHASE_TWO, (PACKET, IKE, UP, TIME_UP), OfferResult.SILENT, UNNAMED),
        (PHASE_TWO, (PACKET, IKE, UP, ESP), OfferResult.SELECTED, FOUND_ESP),
    ],
)
def test_what_charon_says_of_an_attempt_is_understood(offer, lines, heard, suite):
    reply = read(offer, lines)

    assert (reply.offer, reply.heard, reply.suite) == (offer.name, heard, suite)


def test_an_attempt_at_phase_one_names_nobody_and_one_at_phase_two_both_ends():
    one, two = connection(EXAMPLE, PHASE_ONE), connection(EXAMPLE, PHASE_TWO)

    assert one["local"]["id"] == one["remote"]["id"] == "ask-42"
    assert (two["local"]["id"], two["remote"]["id"]) == ("203.0.113.1", "203.0.113.2")
    assert "children" not in one
    assert EXAMPLE.preshared_key not in json.dumps([one, two])


def test_an_attempt_replaces_no_association_and_routes_nothing():
    two = connection(EXAMPLE, PHASE_TWO)

    assert two["unique"] == "never"
    assert two["children"]["ask-42"]["policies"] == "no"
    assert two["children"]["ask-42"]["start_action"] == "none"


def test_the_names_of_questions_are_not_those_of_tunnels():
    assert probe_of(42) == "ask-42"
    assert is_probe("ask-42")
    assert not is_portal_connection("ask-42")
    assert not is_portal_secret("ask-42")
    assert not any(is_probe(name) for name in ("ctx42", "ask-", "ask-me", "task-42", "ask-42\n"))


def test_each_reply_has_a_line_for_people():
    replies = ask(Peer(1, DES_MD5_1, ("DES", "MD5", 0)))

    assert in_words(replies[0]) == "IKEv2, good algorithms: refused"
    assert in_words(replies[-1]) == "phase two, no PFS: selected DES, MD5"
