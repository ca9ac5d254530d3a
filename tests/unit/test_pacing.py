"""Paced initiation within charon's limits for half-open IKE_SAs."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

import pytest

from vpnportal.domain.planning.plan import Start
from vpnportal.gateway.vici import pacing


class Peers:
    """Peers that answer one by one, oldest first, or never; `most` counts half-open IKE_SAs."""

    def __init__(self, answering: bool = True) -> None:
        self.answering = answering
        self.open: list[str] = []
        self.most = 0

    def initiate(self, connection: str, child: str) -> None:
        if connection not in self.open:
            self.open.append(connection)
        self.most = max(self.most, len(self.open))

    def wait_established(self) -> Iterable[str]:
        if self.answering and self.open:
            yield self.open.pop(0)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "OPEN_SECONDS", 0.01)
    monkeypatch.setattr(pacing, "BUDGET_SECONDS", 0.1)


def starts(count: int, first: str = "198.51.100.1", apart: int = 1) -> list[Start]:
    return [
        Start(f"ctx{n}", f"ctx{n}-child", str(IPv4Address(first) + n * apart)) for n in range(count)
    ]


def test_at_most_four_ike_sas_are_half_open_towards_one_network():
    peers = Peers()

    started = list(pacing.initiate_paced(peers, starts(50)))

    assert (started, peers.most) == (starts(50), pacing.MAX_OPEN_PER_NETWORK)


def test_peers_in_different_networks_do_not_wait_for_each_other():
    peers = Peers(answering=False)

    started = list(pacing.initiate_paced(peers, starts(50, first="10.0.0.1", apart=1 << 16)))

    assert (len(started), peers.most) == (50, 50)


def test_the_children_of_a_connection_share_a_turn():
    children = [Start("ctx1", f"ctx1-{n}", "198.51.100.1") for n in range(9)]

    assert list(pacing.initiate_paced(Peers(answering=False), children)) == children


def test_silent_peers_delay_the_next_ones_and_the_budget_limits_the_whole():
    started = list(pacing.initiate_paced(Peers(answering=False), starts(1_000)))

    assert pacing.MAX_OPEN_PER_NETWORK < len(started) < 1_000
