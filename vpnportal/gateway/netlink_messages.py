"""The format of netlink messages, which all netlink protocols share.

Messages: linux/netlink.h and netlink(7). Headers of messages and attributes are in the machine's
byte order. A bit of an attribute's type marks nested attributes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

NLM_F_REQUEST, NLM_F_MULTI, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x2, 0x4, 0x300
NLM_F_EXCL, NLM_F_CREATE = 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
NESTED, KIND_MASK = 0x8000, 0x3FFF
# struct nlmsghdr and struct nlattr.
HEADER, ATTRIBUTE_HEADER = struct.Struct("=IHHII"), struct.Struct("=HH")
# Requests sent before their replies are read. A socket's buffer holds far more.
BATCH_SIZE = 64


class Message(NamedTuple):
    """A message of the kernel: its type, flags and sequence number, and all after its header."""

    kind: int
    flags: int
    sequence: int
    body: bytes


def encode_message(sequence: int, kind: int, flags: int, body: bytes) -> bytes:
    """Return the bytes of a request; `body` is all after its header."""
    size = HEADER.size + len(body)
    return HEADER.pack(size, kind, NLM_F_REQUEST | flags, sequence, 0) + body


def split_messages(raw: bytes) -> Iterator[Message]:
    """Yield the messages in a datagram of the kernel, up to one whose length cannot be right."""
    at = 0
    while at + HEADER.size <= len(raw):
        length, kind, flags, sequence, _ = HEADER.unpack_from(raw, at)
        if length < HEADER.size:
            return
        yield Message(kind, flags, sequence, raw[at + HEADER.size : at + length])
        at += (length + 3) & ~3


def error_code(body: bytes) -> int:
    """Return the error number in the body of an NLMSG_ERROR or NLMSG_DONE; 0 is success."""
    return int(-struct.unpack_from("=i", body)[0])


def attribute(kind: int, body: bytes) -> bytes:
    """Return an attribute, padded to four bytes."""
    header = ATTRIBUTE_HEADER.pack(ATTRIBUTE_HEADER.size + len(body), kind)
    return header + body + b"\0" * (-len(body) % 4)


def find_attributes(raw: bytes, at: int = 0) -> Iterator[tuple[int, int, int]]:
    """Yield the type of each attribute from offset `at` on, and where its content begins and ends.

    The type is without the bit for nested attributes.
    """
    while at + ATTRIBUTE_HEADER.size <= len(raw):
        length, kind = ATTRIBUTE_HEADER.unpack_from(raw, at)
        if length < ATTRIBUTE_HEADER.size:
            return
        yield kind & KIND_MASK, at + ATTRIBUTE_HEADER.size, at + length
        at += (length + 3) & ~3


def parse_attributes(raw: bytes) -> dict[int, bytes]:
    """Return the attributes of a message, or those nested in an attribute, by type."""
    return {kind: raw[begin:end] for kind, begin, end in find_attributes(raw)}
