"""Routing netlink: dumps, changes, and the kernel's reports of changes.

Messages: linux/rtnetlink.h and rtnetlink(7); for their format see netlink_messages.py. Functions
raise OSError if the kernel does not answer or refuses. They work in the network namespace
in which they are called.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Container, Iterable, Iterator

from vpnportal.gateway.netlink_messages import (
    BATCH_SIZE,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLMSG_DONE,
    NLMSG_ERROR,
    Message,
    encode_message,
    error_code,
    split_messages,
)

# With this option the kernel refuses unknown fields in a dump request, and filters by known ones.
SOL_NETLINK, NETLINK_GET_STRICT_CHK = 270, 12
REPLY_SECONDS = 5.0


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
                reports += split_messages(self._socket.recv(1 << 16))
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
        route_socket.send(encode_message(1, kind, NLM_F_DUMP, body))
        while True:
            for message in split_messages(route_socket.recv(1 << 18)):
                _raise_unless((0,), message)
                if message.kind == NLMSG_DONE:
                    return
                yield message


def lookup(kind: int, body: bytes) -> Message:
    """Return the only reply to a request."""
    with _open() as route_socket:
        route_socket.send(encode_message(1, kind, 0, body))
        (reply,) = split_messages(route_socket.recv(1 << 16))
    _raise_unless((), reply)
    return reply


def change(
    kind: int, flags: int, bodies: Iterable[bytes], accepted_codes: Container[int] = (0,)
) -> None:
    """Send a request for each of the `bodies`, and wait for its acknowledgement.

    Raises OSError for the first error whose code is not accepted. Other requests may have changed
    the kernel's state.
    """
    requests = [encode_message(1, kind, flags | NLM_F_ACK, body) for body in bodies]
    with _open() as route_socket:
        for at in range(0, len(requests), BATCH_SIZE):
            batch = requests[at : at + BATCH_SIZE]
            route_socket.send(b"".join(batch))
            replies = 0
            while replies < len(batch):
                for message in split_messages(route_socket.recv(1 << 16)):
                    _raise_unless(accepted_codes, message)
                    replies += 1


def _open() -> socket.socket:
    route_socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    route_socket.settimeout(REPLY_SECONDS)
    return route_socket


def _raise_unless(accepted_codes: Container[int], message: Message) -> None:
    """Raise OSError if the message is an error whose code is not accepted; 0 is success.

    The end of a dump has a code, too.
    """
    if message.kind in (NLMSG_ERROR, NLMSG_DONE):
        code = error_code(message.body)
        if code not in accepted_codes:
            raise OSError(code, os.strerror(code))
