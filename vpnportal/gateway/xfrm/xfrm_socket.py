"""The netlink socket of XFRM, the kernel's IPsec, and values that its messages share.

Messages: linux/xfrm.h. Numbers are in the machine's byte order, addresses and SPIs in that of the
network. An address takes 16 bytes; an IPv4 address is in the first four.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Iterator
from socket import inet_aton

from vpnportal.domain.gateway_config.compile import MARK_BITS
from vpnportal.gateway.netfilter.netlink import (
    NetlinkSocket,
)
from vpnportal.gateway.netlink_messages import (
    BATCH_SIZE,
    NLM_F_DUMP,
    attribute,
    encode_message,
)

NETLINK_XFRM = 6
# IPPROTO_ESP and XFRM_MODE_TUNNEL.
ESP, TUNNEL = 50, 1
# enum xfrm_attr_type_t.
MARK, IF_ID = 21, 31
# struct xfrm_mark: the value and its mask, which is MARK_BITS for a tunnel.
MARK_STRUCT = struct.Struct("=II")
# The mark of an entry that cannot be the portal's.
FOREIGN = -1
# The entry that a request names does not exist: ESRCH for a state, ENOENT for a policy.
SUCCESS_OR_GONE = (0, errno.ESRCH, errno.ENOENT)


class XfrmSocket(NetlinkSocket):
    """A `NetlinkSocket` of XFRM. Its replies begin with a struct and end with attributes."""

    protocol = NETLINK_XFRM
    subject = "the kernel's IPsec"
    family_bytes = 0

    def dump(self, kind: int, body: bytes = b"") -> Iterator[bytes]:
        """Yield each entry of a list of the kernel; the caller must exhaust the iterator."""
        self.send_together([encode_message(0, kind, NLM_F_DUMP, body)])
        for _, entry in self.replies():
            yield entry

    def request(self, kind: int, bodies: Iterable[bytes], flags: int = 0) -> list[bytes]:
        """Send requests of one kind, and return the entries in their replies.

        A request for an entry that does not exist has no effect. `flags` is NLM_F_ACK for requests
        whose only reply is an acknowledgement.
        """
        messages = [encode_message(0, kind, flags, body) for body in bodies]
        entries: list[bytes] = []
        for start in range(0, len(messages), BATCH_SIZE):
            batch = messages[start : start + BATCH_SIZE]
            self.send_together(batch)
            entries += [entry for _, entry in self.replies(len(batch), SUCCESS_OR_GONE)]
        return entries


def mark_attribute(mark: int) -> bytes:
    """Return the attribute that selects entries with a mark; nothing for entries without one."""
    return attribute(MARK, MARK_STRUCT.pack(mark, MARK_BITS)) if mark else b""


def read_mark(raw: bytes, at: int) -> int:
    """Return the mark in an attribute, or FOREIGN if its mask is not that of the portal's marks."""
    value, mask = MARK_STRUCT.unpack_from(raw, at)
    return int(value) if mask == MARK_BITS else FOREIGN


def pack_address(address: str) -> bytes:
    """Return an IPv4 address as XFRM's 16 bytes."""
    return inet_aton(address) + bytes(12)
