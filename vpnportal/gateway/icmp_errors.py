"""ICMP errors about IKE's packets: charon's sockets do not hear that a peer refuses its port.

RFC 792: an error carries the head of the packet it is about, which names both ends and the port.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from vpnportal.domain.diagnosis.log_collector import Endpoints

DESTINATION_UNREACHABLE = 3
# Port unreachable; and by RFC 1812, 5.2.7.1: forbidden network, host, and communication.
CODES = {3: "nothing listens", 9: "forbidden", 10: "forbidden", 13: "forbidden"}
IKE_PORTS = (500, 4500)
UDP = 17
# Linux: include/uapi/linux/icmp.h; a bit that is set keeps a type out.
SOL_RAW, ICMP_FILTER = 255, 1
AT_ONCE = 64


class IcmpError(NamedTuple):
    """One error about a packet between two ends."""

    endpoints: Endpoints
    text: str


class IcmpErrorListener:
    """Hears the errors that come to this gateway; needs the right to raw sockets."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        others = ~(1 << DESTINATION_UNREACHABLE) & 0xFFFFFFFF
        self._socket.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", others))
        self._socket.setblocking(False)

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()

    def read(self) -> list[IcmpError]:
        """What came since it was asked last; of a flood only the beginning."""
        found = []
        for _ in range(AT_ONCE):
            try:
                packet = self._socket.recv(256)
            except BlockingIOError:
                break
            if refusal := _refusal(packet):
                found.append(refusal)
        return found


def _refusal(packet: bytes) -> IcmpError | None:
    """The error in an IPv4 packet, if it is about a packet of IKE."""
    error = packet[_header(packet) :]
    about = error[8:]
    udp = about[_header(about) :]
    if len(error) < 8 or error[1] not in CODES or len(about) < 20 or len(udp) < 4:
        return None
    source, target = struct.unpack("!HH", udp[:4])
    if about[9] != UDP or source not in IKE_PORTS or target not in IKE_PORTS:
        return None
    who, here, there = (
        socket.inet_ntoa(part) for part in (packet[12:16], about[12:16], about[16:20])
    )
    return IcmpError(
        Endpoints(here, there), f"icmp: {who} says {CODES[error[1]]} at port {target} of {there}"
    )


def _header(packet: bytes) -> int:
    return (packet[0] & 0x0F) * 4 if packet else 0
