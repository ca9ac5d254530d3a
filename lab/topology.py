"""Hosts, addresses and wires of the laboratory, with one concentrator or with two.

A host with wires to two concentrators bridges these wires.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import NamedTuple

SERVER, CONCENTRATOR, PEER, CUSTOMER = "server", "concentrator", "peer", "customer"
CONCENTRATORS = (CONCENTRATOR, "concentrator2")

# Each concentrator also has all addresses of its block on its public side.
BLOCKS = (IPv4Network("203.0.113.16/28"), IPv4Network("203.0.113.32/28"))


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace with its addresses by interface and its additional routes.

    `bridges` are the ports of each interface that is a bridge.
    """

    name: str
    purpose: str
    addresses: dict[str, tuple[str, ...]]
    routes: tuple[str, ...] = ()
    forwards: bool = False
    bridges: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def ip_batch(self) -> str:
        """Return the input of `ip -batch` that sets up this host's interfaces and routes."""
        lines = ["link set lo up"]
        for bridge, ports in self.bridges.items():
            lines.append(f"link add {bridge} type bridge")
            lines += [f"link set {port} master {bridge} up" for port in ports]
        for interface, addresses in self.addresses.items():
            lines += [f"address add {address} dev {interface}" for address in addresses]
            lines.append(f"link set {interface} up")
        lines += [f"route add {route}" for route in self.routes]
        return "\n".join(lines) + "\n"


class Wire(NamedTuple):
    """A veth pair; both interfaces are called `name`, but the left one `port` if it has a port."""

    left: str
    right: str
    name: str
    port: str = ""


def hosts(concentrators: int = 1) -> tuple[Host, ...]:
    """Return the hosts, from the provider's side to the customer's."""
    two = concentrators > 1
    return (
        Host(
            SERVER,
            "a server of the provider",
            # 10.3.0.0/24 is a hosted subnet in which no gateway has an address.
            {"hosted": ("10.2.0.10/24", "10.3.0.10/24")},
            # The static NAT pool of the second concentrator.
            ("default via 10.2.0.1", *(("10.1.254.0/24 via 10.2.0.2",) if two else ())),
            bridges={"hosted": ("to-first", "to-second")} if two else {},
        ),
        *(_concentrator(number) for number in range(concentrators)),
        Host(
            PEER,
            "the customer's VPN device",
            {"public": ("203.0.113.2/24",), "private": ("192.168.10.1/24", "192.168.20.1/24")},
            forwards=True,
            bridges={"public": ("to-first", "to-second")} if two else {},
        ),
        Host(
            CUSTOMER,
            "a computer behind that device",
            {"private": ("192.168.10.15/24", "192.168.20.15/24")},
            ("default via 192.168.10.1",),
        ),
    )


def _concentrator(number: int) -> Host:
    block = tuple(f"{address}/32" for address in BLOCKS[number].hosts())
    hosted, public = (("10.2.0.1/24", "203.0.113.1/24"), ("10.2.0.2/24", "203.0.113.5/24"))[number]
    return Host(
        CONCENTRATORS[number],
        "a gateway that the portal drives",
        {"hosted": (hosted,), "public": (public, *block)},
        # With this default route, a packet that misses its tunnel appears in the clear on `public`.
        ("default via 203.0.113.2", "10.3.0.0/24 via 10.2.0.10"),
        forwards=True,
    )


def wires(concentrators: int = 1) -> tuple[Wire, ...]:
    """Return the wires between the hosts."""
    if concentrators == 1:
        gateway_wires = [Wire(SERVER, CONCENTRATOR, "hosted"), Wire(CONCENTRATOR, PEER, "public")]
    else:
        gateway_wires = [
            Wire(neighbour, concentrator, name, port)
            for concentrator, port in zip(CONCENTRATORS, ("to-first", "to-second"), strict=True)
            for neighbour, name in ((SERVER, "hosted"), (PEER, "public"))
        ]
    return (*gateway_wires, Wire(PEER, CUSTOMER, "private"))


NAMES = tuple(host.name for host in hosts())
ALL_NAMES = tuple(host.name for host in hosts(len(CONCENTRATORS)))
