"""IPsec in the kernel as values: its states and policies (the SAD and SPD of RFC 4301, 4.4)."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Direction(IntEnum):
    """The packets to which a policy applies, in the kernel's numbers."""

    IN = 0
    OUT = 1
    FORWARD = 2


class Peers(NamedTuple):
    """The addresses of both peers as text, with the mark of their tunnel; 0 is no mark."""

    hosted: str
    remote: str
    mark: int = 0


class KernelState(NamedTuple):
    """An ESP state in tunnel mode with keys: one direction of a CHILD_SA.

    `spi` and `destination` identify it. Packets from the gateway need the mark `lookup_mark` to use
    it; packets from a peer get the mark `output_mark`.
    """

    source: str
    destination: str
    spi: int
    reqid: int
    lookup_mark: int = 0
    output_mark: int = 0

    @property
    def tunnel_mark(self) -> int:
        """The mark of the tunnel, which is on one side of the state."""
        return self.lookup_mark or self.output_mark

    @property
    def possible_peers(self) -> tuple[Peers, Peers]:
        """The peers if the state is outbound, and if it is inbound."""
        mark = self.tunnel_mark
        return (
            Peers(self.source, self.destination, mark),
            Peers(self.destination, self.source, mark),
        )

    def peers_in(self, known: Container[Peers]) -> Peers | None:
        """Return those of the possible peers that are known, or None."""
        return next((peers for peers in self.possible_peers if peers in known), None)


class KernelPolicy(NamedTuple):
    """A policy that sends the packets between two networks through an ESP tunnel.

    `source` and `destination` are networks such as 10.2.0.0/24. The addresses of the tunnel are in
    the same order; its states have the same `reqid`. `number` is the kernel's index of the policy.
    """

    direction: Direction
    number: int
    source: str
    destination: str
    tunnel_source: str
    tunnel_destination: str
    reqid: int
    mark: int = 0

    @property
    def networks(self) -> tuple[str, str]:
        """The hosted and the remote network."""
        if self.direction is Direction.OUT:
            return self.source, self.destination
        return self.destination, self.source

    @property
    def peers(self) -> Peers:
        """The hosted and the remote peer."""
        if self.direction is Direction.OUT:
            return Peers(self.tunnel_source, self.tunnel_destination, self.mark)
        return Peers(self.tunnel_destination, self.tunnel_source, self.mark)


@dataclass(frozen=True, slots=True)
class KernelIpsec:
    """States and policies of the kernel."""

    states: tuple[KernelState, ...] = ()
    policies: tuple[KernelPolicy, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.states or self.policies)
