"""Netfilter netlink: the socket, and the comments and counters of the portal's table.

Messages: linux/netfilter/nfnetlink.h and linux/netfilter/nf_tables.h; for their format see
netlink_messages.py.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager

from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.netlink_messages import (
    NLM_F_DUMP,
    NLM_F_MULTI,
    NLMSG_DONE,
    NLMSG_ERROR,
    Message,
    attribute,
    encode_message,
    error_code,
    parse_attributes,
    split_messages,
)

NETLINK_NETFILTER = 12
GET_RULES, GET_OBJECTS, GET_GENERATION = (10 << 8) | 7, (10 << 8) | 19, (10 << 8) | 16
NFPROTO_IPV4 = 2
# struct nfgenmsg for IPv4.
IPV4_HEADER = struct.pack("!BBH", NFPROTO_IPV4, 0, 0)
# enum nft_rule_attributes. A rule's comment is type 0 of libnftnl's user data.
RULE_TABLE, RULE_CHAIN, RULE_USERDATA = 1, 2, 7
COMMENT = 0
# enum nft_object_attributes. The packets of a counter are in network byte order.
OBJECT_TABLE, OBJECT_NAME, OBJECT_DATA, COUNTER_PACKETS = 1, 2, 4, 2
# enum nft_gen_attributes; in network byte order.
GENERATION = 1
REPLY_SECONDS = 5.0
# The largest reply of the kernel is shorter.
REPLY_BYTES = 1 << 17
# A socket's default buffer holds this much. SO_SNDBUFFORCE: include/uapi/asm-generic/socket.h.
BUFFER_BYTES, SO_SNDBUFFORCE = 1 << 16, 32
SUCCESS_OR_MISSING = (0, errno.ENOENT)


class RefusedRequest(GatewayError):
    """A part of the kernel, `subject`, refused a request with the error number `code`."""

    def __init__(self, code: int, subject: str = "netfilter") -> None:
        super().__init__(f"{subject} refused the request: {os.strerror(code)}.")
        self.code = code


def read_generation(link: NetlinkSocket) -> int:
    """Return the number of the ruleset, which each transaction of this namespace changes."""
    with link:
        link.send(0, GET_GENERATION, 0, b"")
        (reply,) = (body for _, body in link.replies())
    return int.from_bytes(parse_attributes(reply)[GENERATION], "big")


def read_comments(link: NetlinkSocket, table: str) -> dict[str, list[str]]:
    """Return the comments of a table's rules in order, by chain; empty if there is no table."""
    comments: dict[str, list[str]] = defaultdict(list)
    with link:
        link.send(0, GET_RULES, NLM_F_DUMP, text_attribute(RULE_TABLE, table))
        for _, body in link.replies():
            rule = parse_attributes(body)
            # Older kernels ignore the table in the request and send all rules.
            if _text(rule[RULE_TABLE]) == table:
                comments[_text(rule[RULE_CHAIN])].append(_comment(rule))
    return dict(comments)


def read_counters(link: NetlinkSocket, table: str) -> dict[str, int]:
    """Return the number of packets of each named counter in a table; empty if there is no table."""
    packets_by_name = {}
    with link:
        link.send(0, GET_OBJECTS, NLM_F_DUMP, text_attribute(OBJECT_TABLE, table))
        for _, body in link.replies():
            item = parse_attributes(body)
            packets = parse_attributes(item[OBJECT_DATA]).get(COUNTER_PACKETS)
            if _text(item[OBJECT_TABLE]) == table and packets is not None:
                packets_by_name[_text(item[OBJECT_NAME])] = int.from_bytes(packets, "big")
    return packets_by_name


class NetlinkSocket:
    """A netfilter socket for the network namespace in which it is first used.

    Each exchange is a `with` block, and its failures raise GatewayError. The socket stays open
    between blocks: close() waits until the kernel has freed removed objects, which takes 15 ms. A
    block that fails closes the socket, because replies may be unread.

    A subclass can have another `protocol`. `subject` names it in errors. `family_bytes` is the size
    of struct nfgenmsg, which precedes the attributes of a netfilter message.
    """

    protocol = NETLINK_NETFILTER
    subject = "netfilter"
    family_bytes = 4

    def __init__(self) -> None:
        self._opened: socket.socket | None = None
        # For replies: a new buffer for each of them would take longer than the kernel's answer.
        self._buffer = memoryview(bytearray(REPLY_BYTES))

    def __enter__(self) -> NetlinkSocket:
        if self._opened is None:
            with self._errors():
                self._opened = _open(self.protocol)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind and self._opened:
            self._opened.close()
            self._opened = None

    @property
    def _socket(self) -> socket.socket:
        if self._opened is None:
            raise RuntimeError("A NetlinkSocket is used outside of its block")
        return self._opened

    def send(self, sequence: int, kind: int, flags: int, body: bytes) -> None:
        """Send one request for IPv4."""
        self.send_together([message(sequence, kind, flags, body)])

    def send_together(self, messages: Iterable[bytes]) -> None:
        """Send messages as one datagram; nf_tables requires one datagram per transaction."""
        raw = b"".join(messages)
        with self._errors():
            if len(raw) > BUFFER_BYTES:
                self._socket.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, len(raw))
            self._socket.send(raw)

    def replies(
        self, requests: int = 1, accepted_codes: Container[int] = SUCCESS_OR_MISSING
    ) -> Iterator[tuple[int, bytes]]:
        """Yield the sequence number and attributes of each reply to the last `requests` requests.

        A dump counts as one request. Yields nothing for acknowledgements and errors. Raises
        RefusedRequest for an error whose code is not accepted.
        """
        while requests > 0:
            for kind, flags, sequence, body in self._receive():
                if kind == NLMSG_ERROR:
                    self._raise_unless(accepted_codes, body)
                elif kind != NLMSG_DONE:
                    yield sequence, body[self.family_bytes :]
                if not (flags & NLM_F_MULTI) or kind == NLMSG_DONE:
                    requests -= 1

    def _receive(self) -> Iterator[Message]:
        # Not by _errors(), which takes longer than the rest: there is one reply for each element.
        try:
            size = self._socket.recv_into(self._buffer)
        except OSError as error:
            raise self._failure(error) from error
        return split_messages(bytes(self._buffer[:size]))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> GatewayError:
        return GatewayError(f"{self.subject} does not answer: {error}.")

    def _raise_unless(self, accepted_codes: Container[int], body: bytes) -> None:
        code = error_code(body)
        if code not in accepted_codes:
            raise RefusedRequest(code, self.subject)


def _open(protocol: int) -> socket.socket:
    netlink_socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    netlink_socket.settimeout(REPLY_SECONDS)
    netlink_socket.bind((0, 0))
    return netlink_socket


def _comment(rule: dict[int, bytes]) -> str:
    data = rule.get(RULE_USERDATA, b"")
    if len(data) > 2 and data[0] == COMMENT:
        return data[2 : 2 + data[1]].rstrip(b"\0").decode(errors="replace")
    return ""


def message(
    sequence: int, kind: int, flags: int, body: bytes, family_header: bytes = IPV4_HEADER
) -> bytes:
    """Return the bytes of a netfilter message; `body` contains the encoded attributes."""
    return encode_message(sequence, kind, flags, family_header + body)


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode()


def text_attribute(kind: int, text: str) -> bytes:
    """Return an attribute of zero-terminated text."""
    return attribute(kind, text.encode() + b"\0")
