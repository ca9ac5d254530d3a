"""Attribution of log lines: a tunnel never gets the lines of another, and memory is limited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from vpnportal.domain.diagnosis import log_collector
from vpnportal.domain.diagnosis.log_collector import Endpoints, LogCollector, LogEvent
from vpnportal.domain.diagnosis.log_lines import MAX_LENGTH, Role, as_json, from_json

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
OURS, THEIRS = Endpoints("203.0.113.1", "203.0.113.2"), Endpoints("203.0.113.7", "203.0.113.2")
OWNERS = {OURS: [42], THEIRS: [43]}
INIT = "parsed IKE_SA_INIT request 0 [ SA KE No ]"


def owners(endpoints: Endpoints) -> list[int]:
    return OWNERS.get(endpoints, [])


def packet(endpoints: Endpoints, port: int = 500, direction: str = "received") -> str:
    source, target = endpoints.local, endpoints.remote
    if direction == "received":
        source, target = target, source
    return f"{direction} packet: from {source}[{port}] to {target}[{port}] (180 bytes)"


def add(collector: LogCollector, *events: tuple[str, str, str], group: str = "IKE") -> None:
    """Add events of connection, IKE_SA number and text; lines about packets have the group NET."""
    for number, (name, ike, text) in enumerate(events):
        event = LogEvent("NET" if " packet: from " in text else group, name, ike, text)
        collector.add(event, NOON + timedelta(milliseconds=number))


def drained(collector: LogCollector) -> dict[int, list[str]]:
    logs = collector.drain(owners, 100)
    return {tunnel: [line.text for line in log.merge([])] for tunnel, log in logs.items()}


def test_unnamed_lines_belong_to_the_tunnel_between_the_addresses_of_their_ike_sa():
    collector = LogCollector("e")

    add(
        collector,
        ("(unnamed)", "1", packet(OURS)),
        ("(unnamed)", "2", packet(THEIRS)),
        ("(unnamed)", "1", "no proposal found"),
        ("(unnamed)", "2", "received proposals unacceptable"),
    )

    assert drained(collector) == {
        42: [packet(OURS), "no proposal found"],
        43: [packet(THEIRS), "received proposals unacceptable"],
    }


def test_lines_without_a_portal_tunnel_are_dropped():
    collector = LogCollector("e")

    add(
        collector,
        ("(unnamed)", "1", packet(Endpoints("203.0.113.1", "198.51.100.9"))),
        ("(unnamed)", "1", "no peer config found"),
        ("(unnamed)", "5", "an IKE_SA without a packet"),
        ("other-connection", "6", "could not decrypt payloads"),
        ("ctx42-probe", "7", "received NO_PROPOSAL_CHOSEN notify error"),
        ("", "", "spawning 16 worker threads"),
    )

    assert drained(collector) == {}


def test_text_from_a_peer_cannot_change_the_attribution():
    collector = LogCollector("e")
    identity = f"looking for peer configs matching 203.0.113.1...203.0.113.2[{packet(THEIRS)}]"

    add(collector, ("(unnamed)", "1", packet(OURS)))
    collector.add(LogEvent("CFG", "(unnamed)", "1", packet(THEIRS)), NOON)
    collector.add(LogEvent("CFG", "(unnamed)", "1", identity), NOON)
    collector.add(LogEvent("CFG", "(unnamed)", "1", "replaced vici connection: ctx43"), NOON)

    assert list(drained(collector)) == [42]


def test_text_from_a_peer_is_limited_and_printable():
    collector = LogCollector("e")
    hostile = "IDir 'a\nb\x1b[31m\u202egpj.exe" + "x" * 5_000 + "' does not match to '203.0.113.2'"

    add(collector, ("ctx42", "1", hostile))

    (text,) = drained(collector)[42]
    assert len(text) == MAX_LENGTH
    assert text.startswith("IDir 'a?b?[31m?gpj.exe")


def test_memory_is_limited():
    collector = LogCollector("e")

    for number in range(20_000):
        add(collector, (f"ctx{number + 1}", str(number), "no proposal found"))
        add(collector, ("ctx42", "1", f"line {number}"))
        add(collector, ("(unnamed)", f"u{number}", packet(OURS)))

    assert len(collector._logs) <= log_collector.MAX_TUNNELS
    assert len(collector._ike_sas) <= log_collector.MAX_IKE_SAS
    assert len(drained(collector).get(42, [])) <= log_collector.MAX_LINES


def test_a_limited_drain_returns_the_longest_waiting_first():
    collector = LogCollector("e")
    for number in (1, 2, 3):
        add(collector, (f"ctx{number}", str(number), "no proposal found"))

    assert list(collector.drain(owners, 2)) == [1, 2]
    assert list(collector.drain(owners, 2)) == [3]
    assert not collector.has_lines


def test_the_exchange_determines_the_role_within_an_ike_sa():
    collector = LogCollector("e")
    add(
        collector,
        ("ctx42", "1", "generating CREATE_CHILD_SA request 2 [ N(REKEY_SA) SA No KE TSi TSr ]"),
        ("ctx42", "1", "parsed CREATE_CHILD_SA response 2 [ N(NO_PROP) ]"),
        ("ctx42", "1", "parsed CREATE_CHILD_SA request 0 [ N(REKEY_SA) SA No TSi TSr ]"),
        ("ctx42", "1", "no acceptable proposal found"),
        group="ENC",
    )

    (log,) = collector.drain(owners, 10).values()

    ours, theirs = Role.INITIATOR, Role.RESPONDER
    assert [line.role for line in log.lines] == [ours, ours, theirs, theirs]


def test_attempts_without_a_reply_are_collected_twice():
    collector = LogCollector("e")
    attempt = (
        ("ctx42", "1", "initiating IKE_SA ctx42[1] to 203.0.113.2"),
        ("ctx42", "1", packet(OURS, direction="sending")),
        ("ctx42", "1", "retransmit 1 of request with message ID 0"),
        ("ctx42", "1", "peer not responding, trying again (2/0)"),
    )
    add(collector, *attempt, *attempt)
    drained(collector)

    add(collector, *attempt, *attempt)
    assert drained(collector) == {}

    add(collector, ("ctx42", "1", packet(OURS)), ("ctx42", "1", "no proposal found"))
    assert drained(collector)[42][-1] == "no proposal found"


def test_new_settings_discard_the_lines_about_earlier_settings():
    collector = LogCollector("e")
    add(collector, ("ctx42", "1", "could not decrypt payloads"))
    (log,) = collector.drain(owners, 10).values()
    earlier = log.merge([])

    collector.add(
        LogEvent("CFG", "", "", "replaced vici connection: ctx42"), NOON + timedelta(seconds=1)
    )
    collector.add(
        LogEvent("IKE", "ctx42", "2", "received NO_PROPOSAL_CHOSEN notify error"),
        NOON + timedelta(seconds=2),
    )

    (log,) = collector.drain(owners, 10).values()
    assert [line.text for line in earlier] == ["could not decrypt payloads"]
    assert [line.text for line in log.merge(earlier)] == [
        "received NO_PROPOSAL_CHOSEN notify error"
    ]


def test_lines_survive_json():
    collector = LogCollector("e")
    add(collector, ("ctx42", "1", "no proposal found"), ("ctx42", "1", "a line"))
    (log,) = collector.drain(owners, 10).values()

    assert from_json(as_json(log.lines)) == tuple(log.lines)
