"""vici's long lists, read faster than the library does: it takes most of the time of a look.

The wire format: https://github.com/strongswan/strongswan/blob/5.9.8/src/libcharon/plugins/vici/README.md
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vici import Session
from vici.exception import SessionException
from vici.protocol import Message, Packet

SECTION, SECTION_END, VALUE, LIST, ITEM, LIST_END = range(1, 7)


def questions(command: str, event: str, request: dict[str, str]) -> tuple[bytes, ...]:
    """The packets that make charon stream a list."""
    return (
        Packet.register_event(event),
        Packet.request(command, Message.serialize(request)),
        Packet.unregister_event(event),
    )


def listed(session: Session, command: str) -> Iterator[dict[str, Any]]:
    """The messages that a list command streams, as text. Reads all of them, whoever stops."""
    for expected in (Packet.EVENT_CONFIRM, Packet.CMD_RESPONSE, Packet.EVENT_CONFIRM):
        while (raw := session.transport.receive())[0] == Packet.EVENT:
            yield parsed(raw, 2 + raw[1])
        if raw[0] != expected:
            raise SessionException(f"Unexpected response type {raw[0]} to {command}")


def parsed(raw: bytes, at: int = 0) -> dict[str, Any]:
    """A message from so many bytes on; what a peer put in names may be no UTF-8."""
    section: dict[str, Any] = {}
    outer: list[dict[str, Any]] = []
    several: list[str] = []
    end = len(raw)
    while at < end:
        kind = raw[at]
        at += 1
        if kind in (SECTION, VALUE, LIST):
            key = raw[at + 1 : at + 1 + raw[at]].decode()
            at += 1 + raw[at]
        if kind in (VALUE, ITEM):
            size = raw[at] << 8 | raw[at + 1]
            text = raw[at + 2 : at + 2 + size].decode(errors="replace")
            at += 2 + size
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
