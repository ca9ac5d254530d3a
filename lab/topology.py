"""Who stands in the laboratory, with which addresses, and who is wired to whom: one table.

There are two topologies: with one concentrator, and with two side by side. Where two meet one
neighbour, that neighbour has a bridge.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import NamedTuple

SERVER, CONCENTRATOR, PEER, CUSTOMER = "server", "concentrator", "peer", "customer"
CONCENTRATORS = (CONCENTRATOR, "concentrator2")

# On its public side each concentrator has, beside its own address, those of such a block.
BLOCKS = (IPv4Network("203.0.113.16/28"), IPv4Network("203.0.113.32/28"))


@dataclass(frozen=True, slots=True)
class Host:
    """One namespace: its addresses by interface, and the routes that they do not already imply.

    `bridges` are the ports of those interfaces that are bridges.
    """

    name: str
    purpose: str
    addresses: dict[str, tuple[str, ...]]
    routes: tuple[str, ...] = ()
    forwards: bool = False
    bridges: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def interfaces(self) -> str:
        """The lines for `ip -batch` that bring this host's interfaces and routes up."""
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
    """A veth pair; both of its ends have this name, but for the left one if it is a port."""

    left: str
    right: str
    name: str
    port: str = ""


def hosts(concentrators: int = 1) -> tuple[Host, ...]:
    """Everybody, from the provider's side to the customer's."""
    two = concentrators > 1
    return (
        Host(
            SERVER,
            "a server of the provider",
            # No gateway has an address in 10.3.0.0/24: a hosted subnet can be like that too.
            {"hosted": ("10.2.0.10/24", "10.3.0.10/24")},
            # What a tunnel is given from the second one's pool is behind the second one.
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
        # With this default route, whatever misses its tunnel is seen in the clear on `public`.
        ("default via 203.0.113.2", "10.3.0.0/24 via 10.2.0.10"),
        forwards=True,
    )


def wires(concentrators: int = 1) -> tuple[Wire, ...]:
    """Who is wired to whom."""
    if concentrators == 1:
        ends = [Wire(SERVER, CONCENTRATOR, "hosted"), Wire(CONCENTRATOR, PEER, "public")]
    else:
        ends = [
            Wire(near, concentrator, name, port)
            for concentrator, port in zip(CONCENTRATORS, ("to-first", "to-second"), strict=True)
            for near, name in ((SERVER, "hosted"), (PEER, "public"))
        ]
    return (*ends, Wire(PEER, CUSTOMER, "private"))


NAMES = tuple(host.name for host in hosts())
ALL_NAMES = tuple(host.name for host in hosts(len(CONCENTRATORS)))
