"""IPsec policies in the kernel: read and deleted over netlink."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from socket import AF_INET, inet_ntoa

from vpnportal.domain.planning.kernel_ipsec import Direction, KernelPolicy
from vpnportal.gateway.netlink_messages import (
    ATTRIBUTE_HEADER,
    NLM_F_ACK,
    find_attributes,
)
from vpnportal.gateway.xfrm.xfrm_socket import (
    ESP,
    FOREIGN,
    IF_ID,
    MARK,
    TUNNEL,
    XfrmSocket,
    mark_attribute,
    read_mark,
)

DELETE_POLICY, GET_POLICY = 0x14, 0x15
# enum xfrm_attr_type_t.
TEMPLATE = 5
# struct xfrm_userpolicy_info: destination, source, family, lengths of both prefixes, index,
# direction; its size.
POLICY = struct.Struct("=4s12x4s20xHBB112xIB")
POLICY_BYTES = 168
# struct xfrm_user_tmpl: destination, protocol, family, source, reqid, mode; its size.
TEMPLATE_STRUCT = struct.Struct("=4s16xB3xH2x4s12xIB")
TEMPLATE_BYTES = 64
# struct xfrm_userpolicy_id; a policy with an index needs no selector.
POLICY_ID = struct.Struct("=56xIB3x")
DIRECTIONS = {int(direction): direction for direction in Direction}


def read_policies(link: XfrmSocket) -> tuple[KernelPolicy, ...]:
    """Return the policies of all programs for IPv4 that demand one ESP tunnel with a reqid."""
    with link:
        return tuple(_parsed(link.dump(GET_POLICY)))


def delete_policies(link: XfrmSocket, policies: Iterable[KernelPolicy]) -> None:
    """Delete policies; one that does not exist is skipped."""
    with link:
        link.request(DELETE_POLICY, map(_identity, policies), NLM_F_ACK)


def _identity(policy: KernelPolicy) -> bytes:
    return POLICY_ID.pack(policy.number, policy.direction) + mark_attribute(policy.mark)


def _parsed(entries: Iterable[bytes]) -> Iterator[KernelPolicy]:
    for entry in entries:
        to, origin, family, to_length, origin_length, number, way = POLICY.unpack_from(entry)
        # A socket has policies of its own, with other directions.
        direction = DIRECTIONS.get(way)
        if family != AF_INET or direction is None:
            continue
        offsets = {kind: begin for kind, begin, _ in find_attributes(entry, POLICY_BYTES)}
        template = _template(entry, offsets.get(TEMPLATE))
        if template is None:
            continue
        if IF_ID in offsets:
            mark = FOREIGN
        else:
            mark = read_mark(entry, offsets[MARK]) if MARK in offsets else 0
        yield KernelPolicy(
            direction,
            number,
            f"{inet_ntoa(origin)}/{origin_length}",
            f"{inet_ntoa(to)}/{to_length}",
            *template,
            mark,
        )


def _template(entry: bytes, at: int | None) -> tuple[str, str, int] | None:
    """Return the addresses and the reqid of the only template, or None if it is no ESP tunnel."""
    if at is None:
        return None
    length, _ = ATTRIBUTE_HEADER.unpack_from(entry, at - ATTRIBUTE_HEADER.size)
    to, protocol, family, origin, reqid, mode = TEMPLATE_STRUCT.unpack_from(entry, at)
    is_only = length == ATTRIBUTE_HEADER.size + TEMPLATE_BYTES
    if not (is_only and reqid) or (protocol, family, mode) != (ESP, AF_INET, TUNNEL):
        return None
    return inet_ntoa(origin), inet_ntoa(to), reqid
