"""vici's long lists, read faster than the library does: it takes most of the time of a look.

The wire format: https://github.com/strongswan/strongswan/blob/5.9.8/src/libcharon/plugins/vici/README.md
"""

from __future__ import annotations

from collections.abc import Iterator
from socket import socket
from typing import Any

from vici import Session
from vici.exception import SessionException
from vici.protocol import Message, Packet

# A packet has its length before it. So much is read at once, if it is there.
HEADER, CHUNK = 4, 1 << 16
SECTION, SECTION_END, VALUE, LIST, ITEM, LIST_END = range(1, 7)
NAMED, TEXTS = (SECTION, VALUE, LIST), (VALUE, ITEM)


def list_request(command: str, event: str, request: dict[str, str]) -> tuple[bytes, ...]:
    """The packets that make charon stream a list."""
    return (
        Packet.register_event(event),
        Packet.request(command, Message.serialize(request)),
        Packet.unregister_event(event),
    )


def stream_list(session: Session, command: str) -> Iterator[dict[str, Any]]:
    """The messages that a list command streams, as text. Reads all of them, whoever stops."""
    packets = received(session.transport.socket)
    for expected in (Packet.EVENT_CONFIRM, Packet.CMD_RESPONSE, Packet.EVENT_CONFIRM):
        while (raw := next(packets))[0] == Packet.EVENT:
            yield parse_message(raw, 2 + raw[1])
        if raw[0] != expected:
            raise SessionException(f"Unexpected response type {raw[0]} to {command}")


def received(channel: socket) -> Iterator[bytes]:
    """The packets that come, read many at once; whoever asks for more than come waits."""
    rest = b""
    while more := channel.recv(CHUNK):
        rest, at = rest + more, HEADER
        while (end := _end(rest, at)) <= len(rest):
            yield rest[at:end]
            at = end + HEADER
        rest = rest[at - HEADER :]
    raise ConnectionError("charon hung up")


def _end(raw: bytes, at: int) -> int:
    """Where the packet that begins there ends; beyond what there is if its length is not there."""
    return at + int.from_bytes(raw[at - HEADER : at], "big") if at <= len(raw) else at


def parse_message(raw: bytes, at: int = 0) -> dict[str, Any]:
    """A message from so many bytes on; what a peer put in names may be no UTF-8."""
    section: dict[str, Any] = {}
    outer: list[dict[str, Any]] = []
    several: list[str] = []
    end = len(raw)
    while at < end:
        kind = raw[at]
        at += 1
        if kind in NAMED:
            start = at + 1
            at = start + raw[at]
            key = raw[start:at].decode()
        if kind in TEXTS:
            start = at + 2
            at = start + (raw[at] << 8 | raw[at + 1])
            text = raw[start:at].decode("utf-8", "replace")
            if kind == VALUE:
                section[key] = text
            else:
                several.append(text)
        elif kind == SECTION:
            outer.append(section)
            section[key] = section = {}
        elif kind == SECTION_END:
            section = outer.pop()
        elif kind == LIST:
            section[key] = several = []
    return section
