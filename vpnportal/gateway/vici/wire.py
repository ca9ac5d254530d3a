"""Decoder for vici's lists, ten times as fast as the vici library (docs/decisions/013).

Decoding is more than half of a full converge, which takes 0.49 s with 10,000 tunnels
(docs/speed.md). The wire format:
https://github.com/strongswan/strongswan/blob/5.9.8/src/libcharon/plugins/vici/README.md
"""

from __future__ import annotations

from collections.abc import Iterator
from socket import socket
from typing import Any

from vici import Session
from vici.exception import SessionException
from vici.protocol import Message, Packet

# Each packet follows its length. One recv() takes as many packets as fit into a chunk.
LENGTH_BYTES, CHUNK_BYTES = 4, 1 << 16
SECTION, SECTION_END, VALUE, LIST, ITEM, LIST_END = range(1, 7)
NAMED_ELEMENTS, TEXT_ELEMENTS = (SECTION, VALUE, LIST), (VALUE, ITEM)


def list_request(command: str, event: str, request: dict[str, str]) -> tuple[bytes, ...]:
    """Return the packets that make charon stream a list; `event` is the name of its entries."""
    return (
        Packet.register_event(event),
        Packet.request(command, Message.serialize(request)),
        Packet.unregister_event(event),
    )


def stream_list(session: Session, command: str) -> Iterator[dict[str, Any]]:
    """Yield the entries of a requested list as text; the caller must exhaust the iterator.

    Raises SessionException if charon does not confirm the request.
    """
    packets = receive_packets(session.transport.socket)
    for expected in (Packet.EVENT_CONFIRM, Packet.CMD_RESPONSE, Packet.EVENT_CONFIRM):
        while (raw := next(packets))[0] == Packet.EVENT:
            yield parse_message(raw, 2 + raw[1])
        if raw[0] != expected:
            raise SessionException(f"Unexpected response type {raw[0]} to {command}")


def receive_packets(channel: socket) -> Iterator[bytes]:
    """Yield each packet from the socket without its length; wait while no packet is complete.

    Raises ConnectionError when charon closes the connection.
    """
    rest = b""
    while chunk := channel.recv(CHUNK_BYTES):
        rest, at = rest + chunk, LENGTH_BYTES
        while (end := _packet_end(rest, at)) <= len(rest):
            yield rest[at:end]
            at = end + LENGTH_BYTES
        rest = rest[at - LENGTH_BYTES :]
    raise ConnectionError("charon closed the connection")


def _packet_end(raw: bytes, at: int) -> int:
    """Return the offset after the packet that begins at `at`.

    The offset is beyond the end of `raw` if the packet or its length is incomplete.
    """
    return at + int.from_bytes(raw[at - LENGTH_BYTES : at], "big") if at <= len(raw) else at


def parse_message(raw: bytes, at: int = 0) -> dict[str, Any]:
    """Return the message that begins at `at`, as nested dicts, lists and text.

    Invalid UTF-8 is replaced: identities that a peer chose can contain any bytes.
    """
    section: dict[str, Any] = {}
    outer_sections: list[dict[str, Any]] = []
    items: list[str] = []
    end = len(raw)
    while at < end:
        kind = raw[at]
        at += 1
        if kind in NAMED_ELEMENTS:
            start = at + 1
            at = start + raw[at]
            key = raw[start:at].decode()
        if kind in TEXT_ELEMENTS:
            start = at + 2
            at = start + (raw[at] << 8 | raw[at + 1])
            text = raw[start:at].decode("utf-8", "replace")
            if kind == VALUE:
                section[key] = text
            else:
                items.append(text)
        elif kind == SECTION:
            outer_sections.append(section)
            section[key] = section = {}
        elif kind == SECTION_END:
            section = outer_sections.pop()
        elif kind == LIST:
            section[key] = items = []
    return section
