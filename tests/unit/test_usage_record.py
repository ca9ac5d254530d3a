"""Pairs that the usage set rules out, and each case in which it rules out none."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from vpnportal.gateway import GatewayError
from vpnportal.gateway.netfilter import netlink, ruleset, usage_record
from vpnportal.gateway.netfilter.map_elements import GET_ELEMENT, LIST_ELEMENTS
from vpnportal.gateway.netfilter.netlink import (
    NetlinkSocket,
    text_attribute,
)
from vpnportal.gateway.netfilter.usage_record import MAX_LOOKUPS, Pair, UsageRecord
from vpnportal.gateway.netfilter.usage_set import TranslationUse, read_usage_set
from vpnportal.gateway.netlink_messages import (
    NESTED,
    attribute,
    parse_attributes,
    split_messages,
)

DAY = 86_400
USED, UNUSED = (1, 11), (2, 12)
BOTH = {USED, UNUSED}


class Kernel(NetlinkSocket):
    """A kernel with a usage set of these ages, and a counter of unrecorded packets."""

    def __init__(self, ages: dict[Pair, float], unrecorded: int | None = 0) -> None:
        self._expirations = {pair: ruleset.RETENTION_SECONDS - age for pair, age in ages.items()}
        if ruleset.RECORD_START in ages:
            start = ruleset.RECORD_SECONDS - ages[ruleset.RECORD_START]
            self._expirations[ruleset.RECORD_START] = start
        self._unrecorded = unrecorded
        self._replies: list[tuple[int, bytes]] = []
        self.fails = False

    def __enter__(self) -> NetlinkSocket:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, sequence: int, kind: int, flags: int, body: bytes) -> None:
        if self.fails:
            raise GatewayError("netfilter does not answer: timed out.")
        if kind == netlink.GET_OBJECTS:
            counters = {} if self._unrecorded is None else {ruleset.UNRECORDED: self._unrecorded}
            self._replies = [(0, counter(name, counters[name])) for name in counters]
            return
        assert kind == GET_ELEMENT
        item = parse_attributes(parse_attributes(body)[LIST_ELEMENTS])[1]
        (key,) = parse_attributes(parse_attributes(item)[1]).values()
        pair = struct.unpack("!II", key)
        if pair in self._expirations:
            self._replies.append((sequence, element(pair, self._expirations[pair])))

    def send_together(self, messages: Iterable[bytes]) -> None:
        for sent in split_messages(b"".join(messages)):
            self.send(sent.sequence, sent.kind, sent.flags, sent.body[self.family_bytes :])

    def replies(self, requests: int = 1, accepted_codes=()) -> Iterator[tuple[int, bytes]]:
        replies, self._replies = self._replies, []
        yield from replies


def counter(name: str, packets: int) -> bytes:
    return b"".join(
        (
            text_attribute(netlink.OBJECT_TABLE, ruleset.TABLE),
            text_attribute(netlink.OBJECT_NAME, name),
            attribute(
                netlink.OBJECT_DATA | NESTED,
                attribute(netlink.COUNTER_PACKETS, packets.to_bytes(8, "big")),
            ),
        )
    )


def element(pair: Pair, expires_seconds: float) -> bytes:
    key = attribute(1 | NESTED, attribute(1, struct.pack("!II", *pair)))
    expires = attribute(5, int(expires_seconds * 1000).to_bytes(8, "big"))
    return attribute(LIST_ELEMENTS | NESTED, attribute(1 | NESTED, key + expires))


@pytest.fixture(autouse=True)
def timeouts(tmp_path: Path, monkeypatch) -> Path:
    """Return the folder of conntrack's timeouts, the longest of them five days."""
    monkeypatch.setattr(usage_record, "TIMEOUTS", tmp_path)
    (tmp_path / "nf_conntrack_udp_timeout").write_text("30\n")
    (tmp_path / "nf_conntrack_tcp_timeout_established").write_text(f"{5 * DAY}\n")
    (tmp_path / "nf_conntrack_max").write_text(f"{1 << 30}\n")
    return tmp_path


def kernel(age: float = 6 * DAY, unrecorded: int | None = 0) -> Kernel:
    return Kernel({ruleset.RECORD_START: age, USED: 29 * DAY}, unrecorded)


def searched(link: Kernel, *gateway: int) -> set[Pair]:
    """Return those of both pairs whose flows must be searched."""
    return UsageRecord(link).may_have_flows(BOTH, gateway)


def test_a_pair_that_is_not_in_an_old_usage_set_is_ruled_out():
    assert searched(kernel()) == {USED}


@pytest.mark.parametrize("days", [0.0, 1.0, 5.0])
def test_no_pair_is_ruled_out_while_a_flow_may_be_older_than_the_rules(days: float):
    assert searched(kernel(age=days * DAY)) == BOTH


def test_no_pair_is_ruled_out_by_a_set_that_was_emptied_or_does_not_exist():
    assert searched(Kernel({USED: DAY})) == BOTH
    assert searched(Kernel({})) == BOTH


@pytest.mark.parametrize("unrecorded", [1, None])
def test_no_pair_is_ruled_out_once_the_set_was_too_full_for_a_packet(unrecorded: int | None):
    assert searched(kernel(unrecorded=unrecorded)) == BOTH


def test_no_pair_is_ruled_out_if_conntrack_keeps_idle_flows_longer_than_the_set(timeouts: Path):
    (timeouts / "nf_conntrack_generic_timeout").write_text(f"{30 * DAY}\n")

    assert searched(kernel(age=400 * DAY)) == BOTH


def test_no_pair_is_ruled_out_if_a_lookup_fails(timeouts: Path):
    link = kernel()
    link.fails = True
    assert searched(link) == BOTH

    for file in timeouts.iterdir():
        file.unlink()
    assert searched(kernel()) == BOTH


def test_packets_to_the_gateway_itself_are_not_recorded():
    assert searched(kernel(), UNUSED[1]) == BOTH


def test_more_pairs_than_a_search_takes_lookups_are_searched():
    pairs = {(number, number) for number in range(MAX_LOOKUPS + 1)}

    assert UsageRecord(kernel()).may_have_flows(pairs, ()) == pairs
    assert UsageRecord(kernel()).may_have_flows(pairs - {(0, 0)}, ()) == set()


def test_uses_are_read_from_kernels_that_add_padding_and_the_timeout_of_the_set():
    """The first two elements are as Linux 6.1 for user mode dumps them; the second is the start."""
    padded = bytes.fromhex(
        "24000100100001000c0001000000000100000003040008000c000500000000009a7ec7f6"
        "30000100100001000c00010000000000000000000c000400000000496cebb800040008000c000500"
        "000000496cebb77e"
    )
    with_timeout = attribute(
        1 | NESTED,
        attribute(1 | NESTED, attribute(1, struct.pack("!II", 1, 4)))
        + attribute(4, (ruleset.RETENTION_SECONDS * 1000).to_bytes(8, "big"))
        + attribute(5, (DAY * 1000).to_bytes(8, "big")),
    )

    class UsageSet(Kernel):
        def send(self, sequence: int, kind: int, flags: int, body: bytes) -> None:
            self._replies = [(0, attribute(LIST_ELEMENTS | NESTED, padded + with_timeout))]

    assert read_usage_set(UsageSet({})) == [
        TranslationUse(1, 3, 1),
        TranslationUse(1, 4, ruleset.RETENTION_SECONDS - DAY),
    ]
