"""Netfilter over netlink: its messages, and what our rules say and count.

The messages: linux/netlink.h, linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h. Headers of
attributes are in the machine's byte order; a flag in their kind marks nesting.
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

NETLINK_NETFILTER = 12
NLM_F_REQUEST, NLM_F_MULTI, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x2, 0x4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
GET_RULES, GET_OBJECTS = (10 << 8) | 7, (10 << 8) | 19
NFPROTO_IPV4 = 2
HEADER, OURS = struct.Struct("=IHHII"), struct.pack("!BBH", NFPROTO_IPV4, 0, 0)
NESTED, KIND_MASK = 0x8000, 0x3FFF
# enum nft_rule_attributes, and libnftnl's first kind of user data, a comment.
RULE_TABLE, RULE_CHAIN, RULE_USERDATA = 1, 2, 7
COMMENT = 0
# enum nft_object_attributes, and the packets of a counter, in network byte order.
OBJECT_TABLE, OBJECT_NAME, OBJECT_DATA, COUNTER_PACKETS = 1, 2, 4, 2
ANSWER_SECONDS = 5.0
# What fits into a socket's buffer as it is; linux: include/uapi/asm-generic/socket.h.
MOST_BYTES, SO_SNDBUFFORCE = 1 << 16, 32
PRESENT_OR_NOT = (0, errno.ENOENT)


def comments(link: NetlinkSocket, table: str) -> dict[str, list[str]]:
    """The comments of the rules of a table, in order, by chain; nothing where it is missing."""
    found: dict[str, list[str]] = defaultdict(list)
    with link:
        link.send(0, GET_RULES, NLM_F_DUMP, string(RULE_TABLE, table))
        for _, body in link.answers():
            rule = attributes(body)
            # The kernel of an older machine may not filter by table.
            if _text(rule[RULE_TABLE]) == table:
                found[_text(rule[RULE_CHAIN])].append(_comment(rule))
    return dict(found)


def counters(link: NetlinkSocket, table: str) -> dict[str, int]:
    """Packets that the named counters of a table counted."""
    found = {}
    with link:
        link.send(0, GET_OBJECTS, NLM_F_DUMP, string(OBJECT_TABLE, table))
        for _, body in link.answers():
            item = attributes(body)
            packets = attributes(item[OBJECT_DATA]).get(COUNTER_PACKETS)
            if _text(item[OBJECT_TABLE]) == table and packets is not None:
                found[_text(item[OBJECT_NAME])] = int.from_bytes(packets, "big")
    return found


class NetlinkSocket:
    """A netfilter socket whose every failure is a DeviceError, and "no such thing" an answer.

    It is opened in the namespace where it is used first, and kept open from one block to the next:
    to close one takes as long as the kernel takes to clear away what was removed (15 ms). A block
    that fails closes it, because its answers may not have been read.
    """

    def __init__(self) -> None:
        self._opened: socket.socket | None = None

    def __enter__(self) -> NetlinkSocket:
        if self._opened is None:
            with _errors():
                self._opened = _open()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind and self._opened:
            self._opened.close()
            self._opened = None

    @property
    def _socket(self) -> socket.socket:
        if self._opened is None:
            raise RuntimeError("A link is used outside of its block")
        return self._opened

    def send(self, sequence: int, kind: int, flags: int, body: bytes) -> None:
        """One request about our address family."""
        self.send_together([message(sequence, kind, flags, body)])

    def send_together(self, messages: Iterable[bytes]) -> None:
        """Several messages as one piece, however long it is: a batch must be one."""
        raw = b"".join(messages)
        with _errors():
            if len(raw) > MOST_BYTES:
                self._socket.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, len(raw))
            self._socket.send(raw)

    def answers(
        self, requests: int = 1, fine: Container[int] = PRESENT_OR_NOT
    ) -> Iterator[tuple[int, bytes]]:
        """Sequence number and attributes of each answer; one dump counts as one request.

        Of mere verdicts all but the `fine` ones are a DeviceError.
        """
        while requests > 0:
            for kind, flags, sequence, body in self._received():
                if kind == NLMSG_ERROR:
                    _raise_unless(fine, body)
                elif kind != NLMSG_DONE:
                    yield sequence, body[4:]
                if not (flags & NLM_F_MULTI) or kind == NLMSG_DONE:
                    requests -= 1

    def _received(self) -> Iterator[tuple[int, int, int, bytes]]:
        with _errors():
            raw = self._socket.recv(1 << 17)
        while len(raw) >= 16:
            length, kind, flags, sequence, _ = HEADER.unpack_from(raw)
            yield kind, flags, sequence, raw[16:length]
            raw = raw[(length + 3) & ~3 :]


def _open() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    made.settimeout(ANSWER_SECONDS)
    made.bind((0, 0))
    return made


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GatewayError(f"netfilter cannot be asked: {error}.") from error


def _raise_unless(fine: Container[int], body: bytes) -> None:
    code = -struct.unpack_from("=i", body)[0]
    if code not in fine:
        raise GatewayError(f"netfilter refused what it was asked: {os.strerror(code)}.")


def _comment(rule: dict[int, bytes]) -> str:
    data = rule.get(RULE_USERDATA, b"")
    if len(data) > 2 and data[0] == COMMENT:
        return data[2 : 2 + data[1]].rstrip(b"\0").decode(errors="replace")
    return ""


def message(sequence: int, kind: int, flags: int, body: bytes, about: bytes = OURS) -> bytes:
    """One message about our address family, or `about` something else."""
    size = HEADER.size + len(about) + len(body)
    return HEADER.pack(size, kind, NLM_F_REQUEST | flags, sequence, 0) + about + body


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode()


def string(kind: int, text: str) -> bytes:
    """An attribute that is text."""
    return attribute(kind, text.encode() + b"\0")


def attribute(kind: int, body: bytes) -> bytes:
    """One attribute of a message, as long as its alignment wants."""
    return struct.pack("=HH", 4 + len(body), kind) + body + b"\0" * (-len(body) % 4)


def attributes(raw: bytes) -> dict[int, bytes]:
    """The attributes of a message, or of one that holds others, by kind."""
    found: dict[int, bytes] = {}
    while len(raw) >= 4:
        length, kind = struct.unpack_from("=HH", raw)
        found[kind & KIND_MASK] = raw[4:length]
        raw = raw[(length + 3) & ~3 :]
    return found
