"""Who stands in the laboratory, with which addresses, and who is wired to whom: one table."""

from __future__ import annotations

from dataclasses import dataclass

SERVER, CONCENTRATOR, PEER, CUSTOMER = "server", "concentrator", "peer", "customer"


@dataclass(frozen=True, slots=True)
class Host:
    """One namespace: its addresses by interface, and the routes that they do not already imply."""

    name: str
    purpose: str
    addresses: dict[str, tuple[str, ...]]
    routes: tuple[str, ...] = ()
    forwards: bool = False

    def interfaces(self) -> str:
        """The lines for `ip -batch` that bring this host's interfaces and routes up."""
        lines = ["link set lo up"]
        for interface, addresses in self.addresses.items():
            lines += [f"address add {address} dev {interface}" for address in addresses]
            lines.append(f"link set {interface} up")
        lines += [f"route add {route}" for route in self.routes]
        return "\n".join(lines) + "\n"


HOSTS = (
    Host(
        SERVER,
        "a server of the provider",
        # No gateway has an address in 10.3.0.0/24: a hosted subnet can be like that too.
        {"hosted": ("10.2.0.10/24", "10.3.0.10/24")},
        ("default via 10.2.0.1",),
    ),
    Host(
        CONCENTRATOR,
        "the gateway that the portal drives",
        {"hosted": ("10.2.0.1/24",), "public": ("203.0.113.1/24",)},
        # With this default route, whatever misses its tunnel is seen in the clear on `public`.
        ("default via 203.0.113.2", "10.3.0.0/24 via 10.2.0.10"),
        forwards=True,
    ),
    Host(
        PEER,
        "the customer's VPN device",
        {"public": ("203.0.113.2/24",), "private": ("192.168.10.1/24", "192.168.20.1/24")},
        forwards=True,
    ),
    Host(
        CUSTOMER,
        "a computer behind that device",
        {"private": ("192.168.10.15/24", "192.168.20.15/24")},
        ("default via 192.168.10.1",),
    ),
)
NAMES = tuple(host.name for host in HOSTS)

# Each wire is a veth pair; both of its ends have this interface name.
WIRES = (
    (SERVER, CONCENTRATOR, "hosted"),
    (CONCENTRATOR, PEER, "public"),
    (PEER, CUSTOMER, "private"),
)
