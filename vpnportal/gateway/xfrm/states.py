"""IPsec states in the kernel: read, looked up and deleted over netlink."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from socket import AF_INET, inet_ntoa

from vpnportal.domain.gateway_config.compile import MARK_BITS
from vpnportal.domain.planning.kernel_ipsec import KernelState, Peers
from vpnportal.gateway.netlink_messages import (
    NLM_F_ACK,
    attribute,
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
    pack_address,
    read_mark,
)

DELETE_STATE, GET_STATE = 0x11, 0x12
# enum xfrm_attr_type_t. Keys are in one of the first four.
AUTHENTICATION, ENCRYPTION, AEAD, TRUNCATED_AUTHENTICATION = 1, 2, 18, 20
KEYS = frozenset((AUTHENTICATION, ENCRYPTION, AEAD, TRUNCATED_AUTHENTICATION))
PROTOCOL, ADDRESS_FILTER, OUTPUT_MARK, OUTPUT_MARK_MASK = 25, 26, 29, 30
# struct xfrm_usersa_info: destination, SPI, protocol, source, hard limit of its age in seconds,
# reqid, family and mode; its size.
STATE = struct.Struct("=56x4s12x4sB3x4s52xQ64xIHB")
STATE_BYTES = 224
# struct xfrm_usersa_id. struct xfrm_address_filter: both addresses, family, length of each prefix.
STATE_ID = struct.Struct("=16s4sHBx")
FILTER = struct.Struct("=16s16sHBB")
MARK_VALUE = struct.Struct("=I")
# Reading all of 20,000 states takes as long as some thousand lookups.
MAX_LOOKUPS = 1000


def read_states(link: XfrmSocket) -> tuple[KernelState, ...]:
    """Return the states that IKE installed, of all programs: IPv4, ESP in tunnel mode, with keys.

    Manually keyed states have no limit of their age and are left out.
    """
    with link:
        return tuple(_parsed(link.dump(GET_STATE, attribute(PROTOCOL, bytes([ESP])))))


def read_states_between(link: XfrmSocket, peers: Iterable[Peers]) -> tuple[KernelState, ...]:
    """Return the states of `read_states` between the addresses of peers, in both directions."""
    states: list[KernelState] = []
    with link:
        for hosted, remote, _ in peers:
            for source, destination in ((hosted, remote), (remote, hosted)):
                addresses = pack_address(source), pack_address(destination)
                body = attribute(ADDRESS_FILTER, FILTER.pack(*addresses, AF_INET, 32, 32))
                states += _parsed(link.dump(GET_STATE, body))
    return tuple(states)


def present_states(link: XfrmSocket, states: Iterable[KernelState]) -> tuple[KernelState, ...]:
    """Return those of the states that the kernel still has."""
    named = tuple(states)
    if len(named) > MAX_LOOKUPS:
        return tuple(frozenset(read_states(link)).intersection(named))
    with link:
        return tuple(_parsed(link.request(GET_STATE, map(_identity, named))))


def delete_states(link: XfrmSocket, states: Iterable[KernelState]) -> None:
    """Delete states; one that does not exist is skipped."""
    with link:
        link.request(DELETE_STATE, map(_identity, states), NLM_F_ACK)


def _identity(state: KernelState) -> bytes:
    spi = state.spi.to_bytes(4, "big")
    body = STATE_ID.pack(pack_address(state.destination), spi, AF_INET, ESP)
    return body + mark_attribute(state.lookup_mark)


def _parsed(entries: Iterable[bytes]) -> Iterator[KernelState]:
    for entry in entries:
        to, spi, protocol, origin, age_limit, reqid, family, mode = STATE.unpack_from(entry)
        if (protocol, family, mode) != (ESP, AF_INET, TUNNEL) or not (reqid and age_limit):
            continue
        offsets = {kind: begin for kind, begin, _ in find_attributes(entry, STATE_BYTES)}
        if KEYS.isdisjoint(offsets):
            # An SPI that charon allocated for a negotiation, or a wait of the kernel for keys.
            continue
        yield KernelState(
            inet_ntoa(origin),
            inet_ntoa(to),
            int.from_bytes(spi, "big"),
            reqid,
            *_marks(entry, offsets),
        )


def _marks(entry: bytes, offsets: dict[int, int]) -> tuple[int, int]:
    """Return the mark that packets need, and the mark that packets get."""
    if IF_ID in offsets:
        return FOREIGN, FOREIGN
    needed = read_mark(entry, offsets[MARK]) if MARK in offsets else 0
    if OUTPUT_MARK not in offsets or OUTPUT_MARK_MASK not in offsets:
        return needed, 0
    (given,) = MARK_VALUE.unpack_from(entry, offsets[OUTPUT_MARK])
    (mask,) = MARK_VALUE.unpack_from(entry, offsets[OUTPUT_MARK_MASK])
    return needed, given if mask == MARK_BITS else FOREIGN
