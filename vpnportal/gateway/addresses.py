"""The gateway's own addresses over rtnetlink: read again only when the kernel says they changed.

A gateway may have thousands, and every look asks for them. The messages: linux/rtnetlink.h,
linux/if_addr.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from vpnportal.domain.addresses import AddressSet
from vpnportal.gateway.errors import GatewayError

RTM_GETADDR, RTMGRP_IPV4_IFADDR = 22, 0x10
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
IFA_ADDRESS, IFA_LOCAL, IFA_LABEL = 1, 2, 3
# The header of a message, and that of an address in it.
HEAD_BYTES, BODY_BYTES = 16, 24
ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """Those that the gateway has by itself, and those that the portal gave it."""

    own: AddressSet
    loopback: AddressSet


class LocalAddresses:
    """What the namespace has that the first question was asked in."""

    def __init__(self, anchor_label: str) -> None:
        self._label = anchor_label.encode()
        self._changes: socket.socket | None = None
        self._known: Addresses | None = None

    def now(self) -> Addresses:
        """All IPv4 addresses; DeviceError where the kernel does not tell them."""
        try:
            if self._known is None or self._changed():
                self._known = self._read()
        except OSError as error:
            raise GatewayError(f"the gateway's addresses cannot be read: {error}.") from error
        return self._known

    def _changed(self) -> bool:
        """Whether the kernel said something since; too much to keep is something, too."""
        if self._changes is None:
            self._changes = _socket()
            self._changes.setblocking(False)
            self._changes.bind((0, RTMGRP_IPV4_IFADDR))
            return True
        changed = False
        while True:
            try:
                self._changes.recv(1 << 16)
            except BlockingIOError:
                return changed
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
            changed = True

    def _read(self) -> Addresses:
        # Listening comes first, or a change between the two would never be seen.
        self._changed()
        own: list[int] = []
        anchors: list[int] = []
        for address, label in _dump():
            (anchors if label == self._label else own).append(address)
        return Addresses(AddressSet(own), AddressSet(anchors))


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    made.settimeout(ANSWER_SECONDS)
    return made


def _dump() -> Iterator[tuple[int, bytes]]:
    """Each address as a number, with the label of its interface."""
    with _socket() as link:
        body = struct.pack("=BBBBi", socket.AF_INET, 0, 0, 0, 0)
        head = (HEAD_BYTES + len(body), RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, 0)
        link.send(struct.pack("=IHHII", *head) + body)
        while True:
            raw = link.recv(1 << 18)
            at = 0
            while at < len(raw):
                length, kind = struct.unpack_from("=IH", raw, at)
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    raise OSError("the kernel refused the question")
                yield _address(raw[at + BODY_BYTES : at + length])
                at += (length + 3) & ~3


def _address(raw: bytes) -> tuple[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(raw):
        length, kind = struct.unpack_from("=HH", raw, at)
        found[kind] = raw[at + 4 : at + length]
        at += (length + 3) & ~3
    number = int.from_bytes(found.get(IFA_LOCAL, found.get(IFA_ADDRESS, b"")), "big")
    return number, found.get(IFA_LABEL, b"").rstrip(b"\0")
