"""Routing netlink: dumps, changes, and the kernel's reports of changes.

Messages: linux/netlink.h, linux/rtnetlink.h and rtnetlink(7). Functions raise OSError if the kernel
does not answer or refuses. They work in the network namespace in which they are called.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

NLM_F_REQUEST, NLM_F_MULTI, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x2, 0x4, 0x300
NLM_F_EXCL, NLM_F_CREATE = 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
# With this option the kernel refuses unknown fields in a dump request, and filters by known ones.
SOL_NETLINK, NETLINK_GET_STRICT_CHK = 270, 12
# struct nlmsghdr.
HEADER = struct.Struct("=IHHII")
REPLY_SECONDS = 5.0
# Requests sent before their replies are read. A socket's buffer holds far more.
BATCH_SIZE = 64


class Message(NamedTuple):
    """A message of the kernel: its type, such as RTM_NEWADDR, and all after its header."""

    kind: int
    body: bytes


class ChangeReports:
    """The kernel's reports of changes in multicast groups, such as RTMGRP_IPV4_IFADDR.

    Call `read` in one network namespace only.
    """

    def __init__(self, groups: int) -> None:
        self._groups = groups
        self._socket: socket.socket | None = None

    def read(self) -> list[Message] | None:
        """Return the reports since the last call, in their order.

        Returns None at the first call, or if the kernel dropped reports: read everything then.
        """
        if self._socket is None:
            self._socket = _open()
            self._socket.setblocking(False)
            self._socket.bind((0, self._groups))
            return None
        reports: list[Message] = []
        is_complete = True
        while True:
            try:
                reports += _messages(self._socket.recv(1 << 16))
            except BlockingIOError:
                return reports if is_complete else None
            except OSError as error:
                # The kernel dropped reports because the socket's buffer was full.
                if error.errno != errno.ENOBUFS:
                    raise
                is_complete = False


def dump(kind: int, body: bytes) -> Iterator[Message]:
    """Yield each object of a kind; the kernel filters by the fields that are set in `body`."""
    with _open() as route_socket:
        route_socket.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
        route_socket.send(_request(kind, NLM_F_DUMP, body))
        while True:
            for message in _messages(route_socket.recv(1 << 18)):
                _raise_unless((0,), message)
                if message.kind == NLMSG_DONE:
                    return
                yield message


def lookup(kind: int, body: bytes) -> Message:
    """Return the only reply to a request."""
    with _open() as route_socket:
        route_socket.send(_request(kind, 0, body))
        (reply,) = _messages(route_socket.recv(1 << 16))
    _raise_unless((), reply)
    return reply


def change(
    kind: int, flags: int, bodies: Iterable[bytes], accepted_codes: Container[int] = (0,)
) -> None:
    """Send a request for each of the `bodies`, and wait for its acknowledgement.

    Raises OSError for the first error whose code is not accepted. Other requests may have changed
    the kernel's state.
    """
    requests = [_request(kind, flags | NLM_F_ACK, body) for body in bodies]
    with _open() as route_socket:
        for at in range(0, len(requests), BATCH_SIZE):
            batch = requests[at : at + BATCH_SIZE]
            route_socket.send(b"".join(batch))
            replies = 0
            while replies < len(batch):
                for message in _messages(route_socket.recv(1 << 16)):
                    _raise_unless(accepted_codes, message)
                    replies += 1


def attribute(kind: int, body: bytes) -> bytes:
    """Return an attribute, padded to four bytes."""
    return struct.pack("=HH", 4 + len(body), kind) + body + b"\0" * (-len(body) % 4)


def parse_attributes(raw: bytes) -> dict[int, bytes]:
    """Return the attributes after the fixed part of a message, by type."""
    attributes: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(raw):
        length, kind = struct.unpack_from("=HH", raw, at)
        attributes[kind] = raw[at + 4 : at + length]
        at += (length + 3) & ~3
    return attributes


def _open() -> socket.socket:
    route_socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    route_socket.settimeout(REPLY_SECONDS)
    return route_socket


def _request(kind: int, flags: int, body: bytes) -> bytes:
    return HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | flags, 1, 0) + body


def _messages(raw: bytes) -> Iterator[Message]:
    at = 0
    while at < len(raw):
        length, kind, _, _, _ = HEADER.unpack_from(raw, at)
        yield Message(kind, raw[at + HEADER.size : at + length])
        at += (length + 3) & ~3


def _raise_unless(accepted_codes: Container[int], message: Message) -> None:
    """Raise OSError if the message is an error whose code is not accepted; 0 is success.

    The end of a dump has a code, too.
    """
    if message.kind in (NLMSG_ERROR, NLMSG_DONE):
        code = -struct.unpack_from("=i", message.body)[0]
        if code not in accepted_codes:
            raise OSError(code, os.strerror(code))
