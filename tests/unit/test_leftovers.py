"""Leftovers in the kernel: removed at once, kept until a bridge ends, or never touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from tests.unit.samples import EXAMPLE, KEY, example, networks
from vpnportal.domain.gateway_config.compile import compile_tunnel
from vpnportal.domain.gateway_config.desired import Desired
from vpnportal.domain.planning.kernel_ipsec import (
    Direction,
    KernelIpsec,
    KernelPolicy,
    KernelState,
    Peers,
)
from vpnportal.domain.planning.leftovers import (
    KEEP_SECONDS,
    Leftover,
    find_leftovers,
    possible_peers,
    still_unknown,
    unknown_to_charon,
)
from vpnportal.domain.planning.observed import ChildSa, IkeSa
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.gateway import kernel_leftovers

MARK = 7
HOSTED, REMOTE = "203.0.113.1", "203.0.113.2"
PEERS = Peers(HOSTED, REMOTE, MARK)
OWNERS = {PEERS: "ctx42"}
LOCAL_TS, REMOTE_TS = "10.2.0.0/24", "192.168.10.0/24"


def desired(*specs: TunnelSpec) -> Desired:
    """Return the desired state of specifications whose tunnels all have the mark MARK."""
    tunnels = [compile_tunnel(spec, KEY) for spec in specs]
    marked = (
        replace(tunnel, connection=replace(tunnel.connection, mark=MARK)) for tunnel in tunnels
    )
    return Desired.of(marked)


def installed(
    spi: int = 0x100,
    reqid: int = 1,
    peers: Peers = PEERS,
    local: str = LOCAL_TS,
    remote: str = REMOTE_TS,
) -> KernelIpsec:
    """Return the states and policies of a CHILD_SA whose inbound SPI is `spi`."""
    hosted_peer, remote_peer, mark = peers
    out = (hosted_peer, remote_peer)
    back = (remote_peer, hosted_peer)
    return KernelIpsec(
        (
            KernelState(*back, spi, reqid, output_mark=mark),
            KernelState(*out, spi + 1, reqid, lookup_mark=mark),
        ),
        (
            KernelPolicy(Direction.OUT, spi * 8 + 1, local, remote, *out, reqid, mark),
            KernelPolicy(Direction.FORWARD, spi * 8 + 2, remote, local, *back, reqid, mark),
            KernelPolicy(Direction.IN, spi * 8, remote, local, *back, reqid, mark),
        ),
    )


def listed(spi: int, state: str = "INSTALLED", remote: str = REMOTE_TS, name: str = "") -> IkeSa:
    """Return an IKE_SA with one CHILD_SA, as charon lists it."""
    child = ChildSa(
        "child",
        "1",
        state,
        local_ts=(LOCAL_TS,),
        remote_ts=(remote,),
        spi_in=spi,
        spi_out=spi + 1 if spi else 0,
        mark=MARK,
    )
    return IkeSa(
        name or "ctx42", "1", "ESTABLISHED", (child,), local_host=HOSTED, remote_host=REMOTE
    )


def together(*parts: KernelIpsec) -> KernelIpsec:
    return KernelIpsec(
        tuple(state for part in parts for state in part.states),
        tuple(policy for part in parts for policy in part.policies),
    )


def removed(
    kernel: KernelIpsec,
    specs: tuple[TunnelSpec, ...] = (),
    ike_sas: tuple[IkeSa, ...] = (),
    seconds: float = 3600.0,
    owners: dict[Peers, str] = OWNERS,
) -> set[KernelState | KernelPolicy]:
    found = find_leftovers(
        unknown_to_charon(kernel, ike_sas), owners, desired(*specs), charon_seconds=seconds
    )
    return {leftover.entry for leftover in found}


def all_of(kernel: KernelIpsec) -> set[KernelState | KernelPolicy]:
    return {*kernel.states, *kernel.policies}


def test_all_that_a_running_charon_lists_stays():
    assert removed(installed(0x100), (EXAMPLE,), (listed(0x100),)) == set()
    assert removed(installed(0x100), (), (listed(0x100),)) == set()


@pytest.mark.parametrize(
    "specs",
    [
        (),
        (example(remote_peer=IPv4Address("203.0.113.9")),),
        (example(hosted_peer=IPv4Address("203.0.113.9")),),
        (example(remote_subnets=networks("192.168.20.0/24")),),
        (example(hosted_subnets=networks("10.2.0.0/25")),),
    ],
    ids=[
        "cancelled or disconnected",
        "remote peer",
        "hosted peer",
        "remote subnet",
        "hosted subnet",
    ],
)
@pytest.mark.parametrize("seconds", [0, 3600])
def test_the_leftovers_of_a_tunnel_that_is_gone_or_changed_end_at_once(specs, seconds):
    kernel = installed()

    assert removed(kernel, specs, seconds=seconds) == all_of(kernel)


def test_a_subnet_taken_from_a_tunnel_loses_its_policies_and_the_others_go_on():
    kept = installed(0x100)
    gone = KernelIpsec((), installed(0x100, remote="192.168.20.0/24").policies)

    assert removed(together(kept, gone), (EXAMPLE,), seconds=1) == set(gone.policies)


def test_the_leftovers_of_a_desired_tunnel_stay_while_it_comes_up():
    assert removed(installed(), (EXAMPLE,), seconds=KEEP_SECONDS - 1) == set()
    negotiating = listed(0, "CREATED")
    assert removed(installed(), (EXAMPLE,), (negotiating,), seconds=1) == set()


def test_old_states_end_when_a_new_child_sa_carries():
    old, new = installed(0x100, reqid=5), installed(0x200, reqid=1)
    # charon has replaced the policies.
    kernel = KernelIpsec((*old.states, *new.states), new.policies)

    assert removed(kernel, (EXAMPLE,), (listed(0x200),), seconds=1) == set(old.states)


def test_old_states_with_the_reqid_of_the_new_ones_end_too():
    old, new = installed(0x100, reqid=1), installed(0x200, reqid=1)
    kernel = KernelIpsec((*old.states, *new.states), new.policies)

    assert removed(kernel, (EXAMPLE,), (listed(0x200),), seconds=1) == set(old.states)


def test_the_other_pair_of_a_tunnel_bridges_until_its_own_child_sa_carries():
    both = example(remote_subnets=networks("192.168.10.0/24", "192.168.20.0/24"))
    first, second = installed(0x100, reqid=1), installed(0x200, 2, remote="192.168.20.0/24")
    new = installed(0x300, reqid=1)
    kernel = KernelIpsec(
        (*first.states, *second.states, *new.states), (*new.policies, *second.policies)
    )

    assert removed(kernel, (both,), (listed(0x300),), seconds=1) == set(first.states)


def test_a_tunnel_that_does_not_come_up_in_time_loses_its_states_and_keeps_its_policies():
    kernel = installed()

    assert removed(kernel, (EXAMPLE,), seconds=KEEP_SECONDS) == set(kernel.states)


@pytest.mark.parametrize(
    "foreign",
    [
        installed(peers=Peers("203.0.113.1", "203.0.113.77", MARK)),
        installed(peers=Peers("198.51.100.1", "198.51.100.2")),
        installed(peers=PEERS._replace(mark=0)),
        installed(peers=PEERS._replace(mark=8)),
    ],
    ids=["another peer", "other addresses", "no mark", "another mark"],
)
def test_ipsec_of_other_programs_stays(foreign):
    assert removed(foreign) == set()
    assert removed(together(foreign, installed()), (EXAMPLE,), (listed(0x100),)) == set()


def test_a_tunnel_of_another_number_does_not_bridge_for_a_cancelled_one():
    cancelled = installed(peers=PEERS._replace(mark=8))
    owners = {**OWNERS, PEERS._replace(mark=8): "ctx41"}

    assert removed(cancelled, (EXAMPLE,), seconds=1, owners=owners) == all_of(cancelled)


def test_each_leftover_names_its_tunnel_and_states_come_first():
    found = find_leftovers(installed(), OWNERS, desired(), charon_seconds=1)

    assert [leftover.connection for leftover in found] == ["ctx42"] * 5
    assert [isinstance(leftover.entry, KernelState) for leftover in found] == [True] * 2 + [
        False
    ] * 3


def test_the_owner_of_a_state_can_be_looked_up_by_its_addresses_in_both_orders():
    inbound, outbound = installed().states

    for state in (inbound, outbound):
        assert PEERS in possible_peers(KernelIpsec((state,)))


@pytest.mark.parametrize(
    "ike_sas",
    [
        (listed(0x100),),
        (listed(0x100, "REKEYED"), listed(0x200)),
        (listed(0x100, "DELETED"),),
        (listed(0x100, name="of-another-program"),),
    ],
)
def test_a_second_list_of_charon_protects_all_that_is_in_it(ike_sas):
    kernel = installed()
    found = tuple(Leftover("ctx42", entry) for entry in (*kernel.states, *kernel.policies))

    assert still_unknown(found, ike_sas) == ()
    assert still_unknown(found, ()) == found


def test_an_spi_is_known_only_for_its_destination():
    inbound, outbound = installed(0x100).states
    # A peer chooses the SPI of the other direction.
    stolen = outbound._replace(spi=inbound.spi)
    unknown = unknown_to_charon(KernelIpsec((inbound, stolen)), (listed(0x100),))

    assert unknown.states == (stolen,)


class Charon:
    """A charon that lists no SAs, and counts its lists."""

    def __init__(self) -> None:
        self.lists = 0

    @contextmanager
    def use(self) -> Iterator[Charon]:
        yield self

    def list_all_sas(self) -> tuple[IkeSa, ...]:
        self.lists += 1
        return ()


def test_charon_is_asked_again_only_for_states_that_the_kernel_still_has(monkeypatch):
    inbound, outbound = installed().states
    found = (Leftover("ctx42", inbound), Leftover("ctx42", outbound))
    charon = Charon()
    leftovers = kernel_leftovers.KernelLeftovers("", charon)

    monkeypatch.setattr(kernel_leftovers, "present_states", lambda link, states: (outbound,))
    assert leftovers.confirm(found) == (Leftover("ctx42", outbound),)
    monkeypatch.setattr(kernel_leftovers, "present_states", lambda link, states: ())
    assert leftovers.confirm(found) == ()

    assert charon.lists == 1
