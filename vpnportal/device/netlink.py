"""nf_tables over netlink, for what libnftables answers by dumping whole maps, and slowly.

The messages: linux/netlink.h, linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h. Headers of
attributes are in the machine's byte order; a flag in their kind marks nesting.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from vpnportal.device.errors import DeviceError

NETLINK_NETFILTER = 12
NLM_F_REQUEST, NLM_F_MULTI, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x2, 0x4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
GET_RULES, GET_ELEMENT, GET_OBJECTS = (10 << 8) | 7, (10 << 8) | 13, (10 << 8) | 19
NFPROTO_IPV4 = 2
NESTED, KIND_MASK = 0x8000, 0x3FFF
# enum nft_rule_attributes, and libnftnl's first kind of user data, a comment.
RULE_TABLE, RULE_CHAIN, RULE_USERDATA = 1, 2, 7
COMMENT = 0
# enum nft_object_attributes, and the packets of a counter, in network byte order.
OBJECT_TABLE, OBJECT_NAME, OBJECT_DATA, COUNTER_PACKETS = 1, 2, 4, 2
# enum nft_set_elem_list_attributes, nft_list_attributes, nft_set_elem_attributes, nft_data.
LIST_TABLE, LIST_SET, LIST_ELEMENTS = 1, 2, 3
LIST_ITEM, ELEMENT_KEY, ELEMENT_DATA, DATA_VALUE = 1, 1, 2, 1
# An element as the kernel writes it into a dump: headers, key, headers, value.
ENTRY = struct.Struct("!12xI8xI")
# Requests sent before their answers are read; far less than a socket's buffer holds.
BATCH = 64
ANSWER_SECONDS = 5.0


def comments(table: str) -> dict[str, list[str]]:
    """The comments of the rules of a table, in order, by chain; nothing where it is missing."""
    found: dict[str, list[str]] = defaultdict(list)
    with Link() as link:
        link.send(0, GET_RULES, NLM_F_DUMP, _string(RULE_TABLE, table))
        for _, body in link.answers():
            rule = attributes(body)
            # The kernel of an older machine may not filter by table.
            if _text(rule[RULE_TABLE]) == table:
                found[_text(rule[RULE_CHAIN])].append(_comment(rule))
    return dict(found)


def counters(table: str) -> dict[str, int]:
    """Packets that the named counters of a table counted."""
    found = {}
    with Link() as link:
        link.send(0, GET_OBJECTS, NLM_F_DUMP, _string(OBJECT_TABLE, table))
        for _, body in link.answers():
            item = attributes(body)
            packets = attributes(item[OBJECT_DATA]).get(COUNTER_PACKETS)
            if _text(item[OBJECT_TABLE]) == table and packets is not None:
                found[_text(item[OBJECT_NAME])] = int.from_bytes(packets, "big")
    return found


def entries(table: str, name: str) -> Iterator[tuple[int, int]]:
    """Everything that a map of addresses holds; nothing where it is missing."""
    with Link() as link:
        request = _string(LIST_TABLE, table) + _string(LIST_SET, name)
        link.send(0, GET_ELEMENT, NLM_F_DUMP, request)
        for _, body in link.answers():
            items = attributes(body).get(LIST_ELEMENTS, b"")
            yield from ENTRY.iter_unpack(items) if _are_plain(items) else _entries(items)


def lookup(table: str, name: str, keys: Iterable[int]) -> dict[int, int]:
    """What a map of addresses holds under these keys; absent keys, and maps, are left out."""
    wanted = list(dict.fromkeys(keys))
    found: dict[int, int] = {}
    with Link() as link:
        for at in range(0, len(wanted), BATCH):
            batch = wanted[at : at + BATCH]
            for sequence, key in enumerate(batch):
                link.send(sequence, GET_ELEMENT, 0, _element_request(table, name, key))
            for sequence, body in link.answers(len(batch)):
                found[batch[sequence]] = _element_value(body)
    return found


class Link:
    """A netfilter socket whose every failure is a DeviceError, and "no such thing" an answer."""

    def __enter__(self) -> Link:
        with _errors():
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
            self._socket.settimeout(ANSWER_SECONDS)
            self._socket.bind((0, 0))
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, sequence: int, kind: int, flags: int, body: bytes, version: int = 0) -> None:
        """One request about our address family."""
        body = struct.pack("!BBH", NFPROTO_IPV4, version, 0) + body
        head = struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | flags, sequence, 0)
        with _errors():
            self._socket.send(head + body)

    def answers(self, requests: int = 1) -> Iterator[tuple[int, bytes]]:
        """Sequence number and attributes of each answer; one dump counts as one request."""
        while requests > 0:
            for kind, flags, sequence, body in self._received():
                if kind == NLMSG_ERROR:
                    _raise_unless_absent(body)
                elif kind != NLMSG_DONE:
                    yield sequence, body[4:]
                if not (flags & NLM_F_MULTI) or kind == NLMSG_DONE:
                    requests -= 1

    def _received(self) -> Iterator[tuple[int, int, int, bytes]]:
        with _errors():
            raw = self._socket.recv(1 << 17)
        while len(raw) >= 16:
            length, kind, flags, sequence, _ = struct.unpack_from("=IHHII", raw)
            yield kind, flags, sequence, raw[16:length]
            raw = raw[(length + 3) & ~3 :]


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DeviceError(f"netfilter cannot be asked: {error}.") from error


def _raise_unless_absent(body: bytes) -> None:
    code = -struct.unpack_from("=i", body)[0]
    if code not in (0, errno.ENOENT):
        raise DeviceError(f"netfilter refused what it was asked: {os.strerror(code)}.")


def _are_plain(items: bytes) -> bool:
    """Whether a list of elements has nothing but keys and values, so that each is as long."""
    count, odd = divmod(len(items), ENTRY.size)
    return not odd and items[0 :: ENTRY.size] == bytes((ENTRY.size,)) * count


def _entries(items: bytes) -> Iterator[tuple[int, int]]:
    while len(items) >= 4:
        (length,) = struct.unpack_from("=H", items)
        element = attributes(items[4:length])
        key, value = (attributes(element[kind]) for kind in (ELEMENT_KEY, ELEMENT_DATA))
        yield int.from_bytes(key[DATA_VALUE], "big"), int.from_bytes(value[DATA_VALUE], "big")
        items = items[(length + 3) & ~3 :]


def _element_request(table: str, name: str, key: int) -> bytes:
    element = attribute(ELEMENT_KEY | NESTED, attribute(DATA_VALUE, key.to_bytes(4, "big")))
    items = attribute(LIST_ELEMENTS | NESTED, attribute(LIST_ITEM | NESTED, element))
    return _string(LIST_TABLE, table) + _string(LIST_SET, name) + items


def _element_value(body: bytes) -> int:
    element = attributes(attributes(attributes(body)[LIST_ELEMENTS])[LIST_ITEM])
    return int.from_bytes(attributes(element[ELEMENT_DATA])[DATA_VALUE], "big")


def _comment(rule: dict[int, bytes]) -> str:
    data = rule.get(RULE_USERDATA, b"")
    if len(data) > 2 and data[0] == COMMENT:
        return data[2 : 2 + data[1]].rstrip(b"\0").decode(errors="replace")
    return ""


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode()


def _string(kind: int, text: str) -> bytes:
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
