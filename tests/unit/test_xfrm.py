"""Messages of XFRM: real dumps of Linux 6.1, one entry a line, with all keys set to zero.

The gateway had a CHILD_SA of charon with the mark 7, an allocated SPI, a wait of the kernel for
keys, and states and policies that were added by `ip xfrm`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from vpnportal.domain.planning.kernel_ipsec import Direction, KernelPolicy, KernelState, Peers
from vpnportal.gateway.netlink_messages import (
    NLM_F_ACK,
)
from vpnportal.gateway.xfrm import policies, states
from vpnportal.gateway.xfrm.xfrm_socket import FOREIGN, XfrmSocket

DUMPS = Path(__file__).parent / "xfrm_dumps"
HOSTED, REMOTE = "203.0.113.1", "203.0.113.2"
INBOUND = KernelState(REMOTE, HOSTED, 0xC9D13E24, 1, lookup_mark=0, output_mark=7)
OUTBOUND = KernelState(HOSTED, REMOTE, 0xCDB9C5B1, 1, lookup_mark=7, output_mark=0)


class Kernel(XfrmSocket):
    """A kernel that answers with entries of a dump, and records requests."""

    def __init__(self, file: str = "states.hex") -> None:
        super().__init__()
        self.entries = [bytes.fromhex(line) for line in (DUMPS / file).read_text().split()]
        self.requests: list[tuple[int, bytes, int]] = []

    def __enter__(self) -> XfrmSocket:
        return self

    def dump(self, kind: int, body: bytes = b"") -> Iterator[bytes]:
        self.requests.append((kind, body, 0))
        yield from self.entries

    def request(self, kind: int, bodies: Iterable[bytes], flags: int = 0) -> list[bytes]:
        named = list(bodies)
        self.requests += [(kind, body, flags) for body in named]
        return [entry for entry in self.entries if entry[72:76] in {body[16:20] for body in named}]


def test_the_states_of_a_child_sa_are_read_with_their_marks():
    read = states.read_states(Kernel())

    assert [state for state in read if state.tunnel_mark == 7] == [OUTBOUND, INBOUND]


def test_states_without_keys_manual_keys_and_other_kinds_are_left_out():
    spis = {state.spi for state in states.read_states(Kernel())}

    manual, transport, ah, ipv6, allocated = (
        0xC0DE0001,
        0xC0DE0002,
        0xC0DE0003,
        0xC0DE0007,
        0xC0DE0008,
    )
    assert not spis & {manual, transport, ah, ipv6, allocated, 0}


def test_a_state_behind_nat_with_aead_is_read_like_any_other():
    read = states.read_states(Kernel())

    assert KernelState(HOSTED, "203.0.113.9", 0xC0DE0006, 3, lookup_mark=9) in read


def test_marks_with_another_mask_and_interface_ids_are_those_of_other_programs():
    marks = {state.spi: state.tunnel_mark for state in states.read_states(Kernel())}

    assert (marks[0xC0DE0004], marks[0xC0DE0005]) == (FOREIGN, FOREIGN)


def test_the_policies_of_a_child_sa_are_read_with_networks_tunnel_and_mark():
    read = policies.read_policies(Kernel("policies.hex"))

    hosted, remote = "10.2.0.0/24", "192.168.10.0/24"
    assert [policy for policy in read if policy.mark == 7] == [
        KernelPolicy(Direction.OUT, 81, hosted, remote, HOSTED, REMOTE, 1, 7),
        KernelPolicy(Direction.FORWARD, 74, remote, hosted, REMOTE, HOSTED, 1, 7),
        KernelPolicy(Direction.IN, 64, remote, hosted, REMOTE, HOSTED, 1, 7),
    ]
    assert {(policy.peers, policy.networks) for policy in read if policy.mark == 7} == {
        (Peers(HOSTED, REMOTE, 7), (hosted, remote))
    }


def test_policies_of_sockets_and_of_other_kinds_are_left_out():
    read = policies.read_policies(Kernel("policies.hex"))

    networks = {policy.destination: policy.mark for policy in read if policy.mark != 7}
    # 10.8: no reqid. 10.4: compression. 10.3: no template. 2001:db8::/32: IPv6.
    assert networks == {
        "10.2.9.9/32": 0,
        "10.7.0.0/24": 0,
        "10.6.0.0/24": FOREIGN,
        "10.5.0.0/24": FOREIGN,
    }


def test_a_state_is_deleted_by_destination_spi_protocol_and_mark():
    kernel = Kernel()

    states.delete_states(kernel, [OUTBOUND, INBOUND])

    (kind, body, flags), (_, unmarked, _) = kernel.requests
    assert (kind, flags) == (0x11, NLM_F_ACK)
    assert body[:4] == bytes((203, 0, 113, 2))
    assert body[16:20].hex() == "cdb9c5b1"
    assert struct.unpack_from("=HB", body, 20) == (2, 50)
    assert struct.unpack_from("=HHII", body, 24) == (12, 21, 7, 0xFFFF)
    assert len(unmarked) == 24


def test_a_policy_is_deleted_by_its_index_direction_and_mark():
    kernel = Kernel("policies.hex")
    (policy,) = (
        policy
        for policy in policies.read_policies(kernel)
        if (policy.mark, policy.direction) == (7, Direction.FORWARD)
    )

    policies.delete_policies(kernel, [policy])

    kind, body, flags = kernel.requests[-1]
    assert (kind, flags) == (0x14, NLM_F_ACK)
    assert struct.unpack_from("=IB", body, 56) == (74, 2)
    assert struct.unpack_from("=HHII", body, 64) == (12, 21, 7, 0xFFFF)


def test_only_present_states_are_found_again():
    kernel = Kernel()

    found = states.present_states(kernel, [OUTBOUND, INBOUND._replace(spi=0xC0DE0099)])

    assert found == (OUTBOUND,)


def test_states_are_read_between_both_peers_in_both_directions():
    kernel = Kernel()

    states.read_states_between(kernel, [Peers(HOSTED, REMOTE, 7)])

    filters = [body[4:] for _, body, _ in kernel.requests]
    assert [(raw[:4], raw[16:20]) for raw in filters] == [
        (bytes((203, 0, 113, 1)), bytes((203, 0, 113, 2))),
        (bytes((203, 0, 113, 2)), bytes((203, 0, 113, 1))),
    ]
    assert {struct.unpack_from("=HBB", raw, 32) for raw in filters} == {(2, 32, 32)}
