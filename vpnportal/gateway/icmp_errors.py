"""ICMP errors about IKE packets: charon's own sockets do not report a refused port.

An ICMP error contains the header of the packet that caused it, with both addresses and the ports
(RFC 792).
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from vpnportal.domain.diagnosis.log_collector import Endpoints

DESTINATION_UNREACHABLE = 3
# 3 is port unreachable (RFC 792). 9, 10 and 13 are network, host and communication
# administratively prohibited (RFC 1812, 5.2.7.1).
CODES = {3: "nothing listens", 9: "forbidden", 10: "forbidden", 13: "forbidden"}
IKE_PORTS = (500, 4500)
UDP = 17
# include/uapi/linux/icmp.h: a set bit of ICMP_FILTER blocks that type.
SOL_RAW, ICMP_FILTER = 255, 1
# Limit for one read, so that a flood of errors does not hold up the monitor.
MAX_PACKETS = 64


class IcmpError(NamedTuple):
    """An ICMP error about an IKE packet between two endpoints, as a line for the IKE log."""

    endpoints: Endpoints
    text: str


class IcmpErrorListener:
    """A raw socket for the ICMP errors that arrive at this gateway.

    Raises PermissionError without CAP_NET_RAW.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        blocked_types = ~(1 << DESTINATION_UNREACHABLE) & 0xFFFFFFFF
        self._socket.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", blocked_types))
        self._socket.setblocking(False)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def read(self) -> list[IcmpError]:
        """Return the errors about IKE in the next MAX_PACKETS packets, without waiting."""
        errors = []
        for _ in range(MAX_PACKETS):
            try:
                packet = self._socket.recv(256)
            except BlockingIOError:
                break
            if error := _parse(packet):
                errors.append(error)
        return errors


def _parse(packet: bytes) -> IcmpError | None:
    """Return the error in an IPv4 packet, or None if it concerns no IKE packet."""
    error = packet[_header_bytes(packet) :]
    cause = error[8:]
    udp = cause[_header_bytes(cause) :]
    if len(error) < 8 or error[1] not in CODES or len(cause) < 20 or len(udp) < 4:
        return None
    source, target = struct.unpack("!HH", udp[:4])
    if cause[9] != UDP or source not in IKE_PORTS or target not in IKE_PORTS:
        return None
    sender, local, remote = (
        socket.inet_ntoa(address) for address in (packet[12:16], cause[12:16], cause[16:20])
    )
    # domain/diagnosis/evidence.py recognises this text.
    text = f"icmp: {sender} says {CODES[error[1]]} at port {target} of {remote}"
    return IcmpError(Endpoints(local, remote), text)


def _header_bytes(packet: bytes) -> int:
    return (packet[0] & 0x0F) * 4 if packet else 0
