"""Hosts, addresses and wires of the laboratory, with one concentrator or with two.

A host with wires to two concentrators bridges these wires. With a router, the servers reach the
concentrators through it, and it learns from them where each tunnel is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import NamedTuple

SERVER, CONCENTRATOR, PEER, CUSTOMER = "server", "concentrator", "peer", "customer"
ROUTER = "router"
CONCENTRATORS = (CONCENTRATOR, "concentrator2")
# The device and the computer of a second customer (two_customers.py).
PEER2, CUSTOMER2 = "peer2", "customer2"

# A neighbour's interfaces towards the concentrators, if they are ports of a bridge.
PORTS = ("to-first", "to-second")
# Each concentrator also has all addresses of its block on its public side.
BLOCKS = (IPv4Network("203.0.113.16/28"), IPv4Network("203.0.113.32/28"))
# Their addresses on the hosted side: among the servers, or on the link to the router.
HOSTED_SIDE = ("10.2.0.1", "10.2.0.2")
TRANSIT_SIDE, ROUTER_TRANSIT = ("10.9.0.1", "10.9.0.2"), "10.9.0.254"


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


def hosts(concentrators: int = 1, router: bool = False) -> tuple[Host, ...]:
    """Return the hosts, from the provider's side to the customer's."""
    # 10.3.0.0/24 is a hosted subnet in which no gateway has an address.
    addresses: dict[str, tuple[str, ...]] = {"hosted": ("10.2.0.10/24", "10.3.0.10/24")}
    if router:
        provider = [
            Host(SERVER, "a server of the provider", addresses, ("default via 10.2.0.254",)),
            _router(concentrators),
        ]
    else:
        # The second concentrator has the static NAT pool 10.1.254.0/24.
        ways: tuple[str, ...] = (
            f"default via {HOSTED_SIDE[0]}",
            f"10.1.254.0/24 via {HOSTED_SIDE[1]}",
        )
        bridges = _bridge("hosted", concentrators)
        routes = ways[:concentrators]
        provider = [Host(SERVER, "a server of the provider", addresses, routes, bridges=bridges)]
    return (
        *provider,
        *(_concentrator(number, router) for number in range(concentrators)),
        Host(
            PEER,
            "the customer's VPN device",
            {"public": ("203.0.113.2/24",), "private": ("192.168.10.1/24", "192.168.20.1/24")},
            forwards=True,
            bridges=_bridge("public", concentrators),
        ),
        Host(
            CUSTOMER,
            "a computer behind that device",
            {"private": ("192.168.10.15/24", "192.168.20.15/24")},
            ("default via 192.168.10.1",),
        ),
    )


def _router(concentrators: int) -> Host:
    return Host(
        ROUTER,
        "a router of the provider",
        {"hosted": ("10.2.0.254/24", "10.3.0.254/24"), "transit": (f"{ROUTER_TRANSIT}/24",)},
        forwards=True,
        bridges={"transit": PORTS[:concentrators]},
    )


def _bridge(interface: str, concentrators: int) -> dict[str, tuple[str, ...]]:
    """Return the interface as a bridge of the wires to two concentrators, or no bridge for one."""
    return {interface: PORTS} if concentrators > 1 else {}


def _concentrator(number: int, router: bool) -> Host:
    block = tuple(f"{address}/32" for address in BLOCKS[number].hosts())
    public = ("203.0.113.1/24", "203.0.113.5/24")[number]
    if router:
        hosted = TRANSIT_SIDE[number]
        to_servers = tuple(f"10.{net}.0.0/24 via {ROUTER_TRANSIT}" for net in (2, 3))
    else:
        hosted, to_servers = HOSTED_SIDE[number], ("10.3.0.0/24 via 10.2.0.10",)
    return Host(
        CONCENTRATORS[number],
        "a gateway that the portal drives",
        {"hosted": (f"{hosted}/24",), "public": (public, *block)},
        # With this default route, a packet that misses its tunnel appears in the clear on `public`.
        ("default via 203.0.113.2", *to_servers),
        forwards=True,
    )


def wires(concentrators: int = 1, router: bool = False) -> tuple[Wire, ...]:
    """Return the wires between the hosts."""
    to_router = (Wire(SERVER, ROUTER, "hosted"),) if router else ()
    north = ROUTER if router else SERVER
    if concentrators == 1:
        gateway_wires = [
            Wire(north, CONCENTRATOR, "hosted", PORTS[0] if router else ""),
            Wire(CONCENTRATOR, PEER, "public"),
        ]
    else:
        gateway_wires = [
            Wire(neighbour, concentrator, name, port)
            for concentrator, port in zip(CONCENTRATORS, PORTS, strict=True)
            for neighbour, name in ((north, "hosted"), (PEER, "public"))
        ]
    return (*to_router, *gateway_wires, Wire(PEER, CUSTOMER, "private"))


NAMES = tuple(host.name for host in hosts())
ALL_NAMES = tuple(host.name for host in hosts(len(CONCENTRATORS), router=True))
# Those of every laboratory, of which `lab down` leaves none behind.
NAMESPACE_NAMES = (*ALL_NAMES, PEER2, CUSTOMER2)
