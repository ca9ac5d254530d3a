"""Whose line it is: what is said of one tunnel is never heard by another, and nobody talks on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from vpnportal.domain.diagnosis import log_collector
from vpnportal.domain.diagnosis.log_collector import Endpoints, LogCollector, LogEvent
from vpnportal.domain.diagnosis.log_lines import LONGEST, Role, as_json, from_json

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
OURS, THEIRS = Endpoints("203.0.113.1", "203.0.113.2"), Endpoints("203.0.113.7", "203.0.113.2")
OWNERS = {OURS: [42], THEIRS: [43]}
INIT = "parsed IKE_SA_INIT request 0 [ SA KE No ]"


def owners(ends: Endpoints) -> list[int]:
    return OWNERS.get(ends, [])


def packet(ends: Endpoints, port: int = 500, way: str = "received") -> str:
    source, target = (ends.remote, ends.local) if way == "received" else (ends.local, ends.remote)
    return f"{way} packet: from {source}[{port}] to {target}[{port}] (180 bytes)"


def hear(ears: LogCollector, *said: tuple[str, str, str], group: str = "IKE") -> None:
    """Name, number and text of each line; NET for what goes over the wire."""
    for number, (name, ike, text) in enumerate(said):
        wire = "NET" if " packet: from " in text else group
        ears.add(LogEvent(wire, name, ike, text), NOON + timedelta(milliseconds=number))


def taken(ears: LogCollector) -> dict[int, list[str]]:
    heard = ears.drain(owners, 100)
    return {tunnel: [line.text for line in one.after([])] for tunnel, one in heard.items()}


def test_a_line_without_a_name_belongs_to_the_tunnel_between_its_ike_sas_addresses():
    ears = LogCollector("e")

    hear(
        ears,
        ("(unnamed)", "1", packet(OURS)),
        ("(unnamed)", "2", packet(THEIRS)),
        ("(unnamed)", "1", "no proposal found"),
        ("(unnamed)", "2", "received proposals unacceptable"),
    )

    assert taken(ears) == {
        42: [packet(OURS), "no proposal found"],
        43: [packet(THEIRS), "received proposals unacceptable"],
    }


def test_what_leads_to_no_tunnel_of_ours_is_dropped():
    ears = LogCollector("e")

    hear(
        ears,
        ("(unnamed)", "1", packet(Endpoints("203.0.113.1", "198.51.100.9"))),
        ("(unnamed)", "1", "no peer config found"),
        ("(unnamed)", "5", "a number whose addresses nobody heard"),
        ("somebody-elses", "6", "could not decrypt payloads"),
        ("ctx42-probe", "7", "received NO_PROPOSAL_CHOSEN notify error"),
        ("", "", "spawning 16 worker threads"),
    )

    assert taken(ears) == {}


def test_a_peer_cannot_put_another_tunnels_addresses_in_its_mouth():
    ears = LogCollector("e")
    identity = f"looking for peer configs matching 203.0.113.1...203.0.113.2[{packet(THEIRS)}]"

    hear(ears, ("(unnamed)", "1", packet(OURS)))
    ears.add(LogEvent("CFG", "(unnamed)", "1", packet(THEIRS)), NOON)
    ears.add(LogEvent("CFG", "(unnamed)", "1", identity), NOON)
    ears.add(LogEvent("CFG", "(unnamed)", "1", "replaced vici connection: ctx43"), NOON)

    assert list(taken(ears)) == [42]


def test_what_a_peer_sends_is_bounded_and_has_no_character_that_hides():
    ears = LogCollector("e")
    nasty = "IDir 'a\nb\x1b[31m\u202egpj.exe" + "x" * 5_000 + "' does not match to '203.0.113.2'"

    hear(ears, ("ctx42", "1", nasty))

    (text,) = taken(ears)[42]
    assert len(text) == LONGEST
    assert text.startswith("IDir 'a?b?[31m?gpj.exe")


def test_a_talker_fills_no_memory():
    ears = LogCollector("e")

    for number in range(20_000):
        hear(ears, (f"ctx{number + 1}", str(number), "no proposal found"))
        hear(ears, ("ctx42", "1", f"line {number}"))
        hear(ears, ("(unnamed)", f"u{number}", packet(OURS)))

    assert len(ears._heard) <= log_collector.TUNNELS
    assert len(ears._talks) <= log_collector.MAX_IKE_SAS
    assert len(taken(ears).get(42, [])) <= log_collector.LINES


def test_the_longest_waiting_are_taken_first_and_the_others_wait():
    ears = LogCollector("e")
    for number in (1, 2, 3):
        hear(ears, (f"ctx{number}", str(number), "no proposal found"))

    assert list(ears.drain(owners, 2)) == [1, 2]
    assert list(ears.drain(owners, 2)) == [3]
    assert not ears.waiting


def test_who_began_is_told_by_the_exchange_and_may_change_within_an_ike_sa():
    ears = LogCollector("e")
    hear(
        ears,
        ("ctx42", "1", "generating CREATE_CHILD_SA request 2 [ N(REKEY_SA) SA No KE TSi TSr ]"),
        ("ctx42", "1", "parsed CREATE_CHILD_SA response 2 [ N(NO_PROP) ]"),
        ("ctx42", "1", "parsed CREATE_CHILD_SA request 0 [ N(REKEY_SA) SA No TSi TSr ]"),
        ("ctx42", "1", "no acceptable proposal found"),
        group="ENC",
    )

    (heard,) = ears.drain(owners, 10).values()

    ours, theirs = Role.INITIATOR, Role.RESPONDER
    assert [line.role for line in heard.lines] == [ours, ours, theirs, theirs]


def test_a_silent_device_that_is_dialled_for_ever_says_nothing_new_after_two_tries():
    ears = LogCollector("e")
    one_try = (
        ("ctx42", "1", "initiating IKE_SA ctx42[1] to 203.0.113.2"),
        ("ctx42", "1", packet(OURS, way="sending")),
        ("ctx42", "1", "retransmit 1 of request with message ID 0"),
        ("ctx42", "1", "peer not responding, trying again (2/0)"),
    )
    hear(ears, *one_try, *one_try)
    taken(ears)

    hear(ears, *one_try, *one_try)
    assert taken(ears) == {}

    hear(ears, ("ctx42", "1", packet(OURS)), ("ctx42", "1", "no proposal found"))
    assert taken(ears)[42][-1] == "no proposal found"


def test_new_settings_make_what_was_said_of_the_older_ones_count_no_more():
    ears = LogCollector("e")
    hear(ears, ("ctx42", "1", "could not decrypt payloads"))
    (before,) = ears.drain(owners, 10).values()
    earlier = before.after([])

    ears.add(
        LogEvent("CFG", "", "", "replaced vici connection: ctx42"), NOON + timedelta(seconds=1)
    )
    ears.add(
        LogEvent("IKE", "ctx42", "2", "received NO_PROPOSAL_CHOSEN notify error"),
        NOON + timedelta(seconds=2),
    )

    (heard,) = ears.drain(owners, 10).values()
    assert [line.text for line in earlier] == ["could not decrypt payloads"]
    assert [line.text for line in heard.after(earlier)] == [
        "received NO_PROPOSAL_CHOSEN notify error"
    ]


def test_lines_are_kept_and_read_as_they_were():
    ears = LogCollector("e")
    hear(ears, ("ctx42", "1", "no proposal found"), ("ctx42", "1", "a line"))
    (heard,) = ears.drain(owners, 10).values()

    assert from_json(as_json(heard.lines)) == tuple(heard.lines)
