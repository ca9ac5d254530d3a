"""SA status of tunnels from the connections and SAs that charon lists."""

from __future__ import annotations

import pytest

from vpnportal.domain.gateway_config.desired import LoadedChild, LoadedConnection
from vpnportal.domain.planning.observed import ChildSa, IkeSa
from vpnportal.domain.planning.sa_status import SaStatus, fully_established, sa_status_by_tunnel

BOTH = ("ctx1-00000000-00000001", "ctx1-00000000-00000002")
LOADED = LoadedConnection("", (), "", "", tuple(LoadedChild(name, (), (), "") for name in BOTH))


def installed(*names: str, state: str = "INSTALLED") -> tuple[ChildSa, ...]:
    return tuple(ChildSa(name, str(index), state) for index, name in enumerate(names))


@pytest.mark.parametrize(
    ("running", "status"),
    [
        ((), SaStatus.DOWN),
        ((IkeSa("ctx1", "1", "CONNECTING", ()),), SaStatus.CONNECTING),
        ((IkeSa("ctx1", "1", "ESTABLISHED", ()),), SaStatus.DOWN),
        (
            (IkeSa("ctx1", "1", "ESTABLISHED", installed("ctx1-00000000-00000001")),),
            SaStatus.PARTIAL,
        ),
        ((IkeSa("ctx1", "1", "ESTABLISHED", installed(*BOTH)),), SaStatus.UP),
        (
            (IkeSa("ctx1", "1", "ESTABLISHED", installed(*BOTH, state="DELETED")),),
            SaStatus.DOWN,
        ),
        (
            (IkeSa("ctx1", "1", "ESTABLISHED", installed("ctx1-99999999-99999999")),),
            SaStatus.OLDER,
        ),
    ],
)
def test_the_status_follows_from_the_children_that_carry_traffic(running: tuple, status: SaStatus):
    assert sa_status_by_tunnel({"ctx1": LOADED}, running) == {1: status}


@pytest.mark.parametrize(
    ("names", "tunnels"),
    [(BOTH, {1}), ((*BOTH, "ctx1-99999999-99999999"), {1}), (BOTH[:1], set()), ((), set())],
)
def test_a_tunnel_is_fully_established_if_each_child_is_up_also_beside_older_ones(names, tunnels):
    running = [IkeSa("ctx1", "1", "ESTABLISHED", installed(*names))]

    assert fully_established({"ctx1": LOADED}, running) == tunnels


def test_sas_of_an_unloaded_connection_have_no_status():
    assert sa_status_by_tunnel({}, [IkeSa("ctx1", "1", "ESTABLISHED", installed(*BOTH))]) == {}
