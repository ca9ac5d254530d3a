"""vici packets and messages, in whatever pieces the socket delivers them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vici.protocol import Message

from vpnportal.gateway.vici import wire

PACKETS = st.lists(st.binary(max_size=300), min_size=1, max_size=5)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)
SECTIONS = st.recursive(
    st.dictionaries(NAMES, NAMES | st.lists(NAMES, max_size=2), max_size=3),
    lambda inner: st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=5,
)


class Pieces:
    """A socket that delivers the stream in pieces between the cuts, and then its end."""

    def __init__(self, stream: bytes, cuts: list[int]) -> None:
        ends = [*cuts, len(stream)]
        self._pieces = [stream[a:b] for a, b in zip([0, *cuts], ends, strict=True) if a < b]

    def recv(self, size: int) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


@given(PACKETS, st.lists(st.integers(0, 1_500), max_size=9))
def test_packets_are_whole_in_whatever_pieces_they_arrive(packets: list[bytes], cuts: list[int]):
    stream = b"".join(len(packet).to_bytes(4, "big") + packet for packet in packets)
    received = wire.receive_packets(Pieces(stream, sorted(min(cut, len(stream)) for cut in cuts)))

    assert [next(received) for _ in packets] == packets
    with pytest.raises(ConnectionError):
        next(received)


@given(SECTIONS)
def test_a_message_of_the_library_is_decoded_to_its_content(section: dict):
    assert wire.parse_message(b"12" + Message.serialize(section), 2) == section
