"""Echo messages of ICMP (RFC 792), for pings that start no process.

A process takes 0.1 seconds for each `ping` in the laboratory's kernel. Raw sockets need root.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

ECHO_REPLY, ECHO_REQUEST = 0, 8
# Type, code, checksum, identifier and sequence number.
MESSAGE = struct.Struct("!BBHHH")


class Echo(NamedTuple):
    """Identifier and sequence number of an echo message, 16 bits each."""

    identifier: int
    number: int


def encode_request(echo: Echo) -> bytes:
    """Return the ICMP message of an echo request without data."""
    total = (ECHO_REQUEST << 8) + echo.identifier + echo.number
    # The sum is in ones' complement (RFC 1071), thus a remainder.
    return MESSAGE.pack(ECHO_REQUEST, 0, 0xFFFF - total % 0xFFFF, *echo)


def decode_reply(packet: bytes) -> Echo | None:
    """Return the echo that an IPv4 packet answers, or None if it is no echo reply."""
    kind, _, _, identifier, number = MESSAGE.unpack_from(packet, (packet[0] & 0xF) * 4)
    return Echo(identifier, number) if kind == ECHO_REPLY else None
