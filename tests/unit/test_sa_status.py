"""One word for each tunnel from what charon lists."""

from __future__ import annotations

import pytest

from vpnportal.domain.gateway_config.desired import LoadedChild, LoadedConnection
from vpnportal.domain.planning.observed import ChildSa, IkeSa
from vpnportal.domain.planning.sa_status import SaStatus, fully_established, sa_status_by_tunnel

BOTH = ("ctx1-00000000-00000001", "ctx1-00000000-00000002")
LOADED = LoadedConnection("", (), "", "", tuple(LoadedChild(name, (), (), "") for name in BOTH))


def installed(*names: str, state: str = "INSTALLED") -> tuple[ChildSa, ...]:
    return tuple(ChildSa(name, str(at), state) for at, name in enumerate(names))


@pytest.mark.parametrize(
    ("running", "word"),
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
def test_a_tunnel_is_up_when_every_wanted_child_carries_traffic(running: tuple, word: SaStatus):
    assert sa_status_by_tunnel({"ctx1": LOADED}, running) == {1: word}


@pytest.mark.parametrize(
    ("names", "agreed"),
    [(BOTH, {1}), ((*BOTH, "ctx1-99999999-99999999"), {1}), (BOTH[:1], set()), ((), set())],
)
def test_a_peer_agrees_when_all_is_up_also_beside_what_is_older(names, agreed):
    running = [IkeSa("ctx1", "1", "ESTABLISHED", installed(*names))]

    assert fully_established({"ctx1": LOADED}, running) == agreed


def test_what_runs_of_an_unloaded_connection_is_no_tunnel_that_is_up():
    assert sa_status_by_tunnel({}, [IkeSa("ctx1", "1", "ESTABLISHED", installed(*BOTH))]) == {}
