"""A laboratory with two customers that have the same network, behind one concentrator.

    server             concentrator                 peer               customer
    10.2.0.10/24  ───  10.2.0.1/24
    10.4.0.10/24  ───  10.4.0.1/24
                       203.0.113.1/24  ═╦═  203.0.113.2/24
                       203.0.113.3/32   ║   192.168.1.1/24  ───  192.168.1.15/24, .16, .17
                                        ║       peer2              customer2
                                        ╚═  203.0.113.4/24
                                            192.168.1.1/24  ───  192.168.1.15/24, .16, .17

The server has two links, `hosted` and `hosted2`. The concentrator's `public` bridges the links to
both devices. Its default route leads to the first device, where a packet that misses its tunnel
appears in the clear. The concentrator's charon starts empty; the test loads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab import namespaces
from lab.charon_laboratory import CharonLaboratory
from lab.customer_device import new_key
from lab.ike_daemons import Charon
from lab.topology import CONCENTRATOR, CUSTOMER, CUSTOMER2, PEER, PEER2, SERVER, Host, Wire

WIRES = (
    Wire(SERVER, CONCENTRATOR, "hosted"),
    Wire(SERVER, CONCENTRATOR, "hosted2"),
    Wire(CONCENTRATOR, PEER, "public", "to-first"),
    Wire(CONCENTRATOR, PEER2, "public", "to-second"),
    Wire(PEER, CUSTOMER, "private"),
    Wire(PEER2, CUSTOMER2, "private"),
)
DEVICE_TEXT = """\
connections {{
    customer {{
        version = {version}
        local_addrs = {device.remote_peer}
        remote_addrs = {device.hosted_peer}
        proposals = aes256-sha256-modp2048
        local {{
            auth = psk
            id = {device.remote_peer}
        }}
        remote {{
            auth = psk
            id = {device.hosted_peer}
        }}
        children {{
            private {{
                local_ts = 192.168.1.0/24
                remote_ts = 10.2.0.0/24
                esp_proposals = aes256-sha256-modp2048
            }}
        }}
    }}
}}
secrets {{
    ike-customer {{
        id-1 = {device.hosted_peer}
        id-2 = {device.remote_peer}
        secret = "{device.preshared_key}"
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Device:
    """A customer's VPN device: its host, that of a computer behind it, and the peers' addresses."""

    host: str
    computer: str
    hosted_peer: str
    remote_peer: str
    preshared_key: str


class TwoCustomers(CharonLaboratory):
    """Namespaces `PREFIX-HOST`, with files in `folder` and random keys.

    `versions` are the IKE versions of the devices.
    """

    def __init__(self, prefix: str, folder: Path, versions: tuple[int, int]) -> None:
        self.versions = versions
        self.devices = (
            Device(PEER, CUSTOMER, "203.0.113.1", "203.0.113.2", new_key()),
            Device(PEER2, CUSTOMER2, "203.0.113.3", "203.0.113.4", new_key()),
        )
        charons = (
            Charon(prefix, device.host, folder / device.host, folder / device.host / "swanctl.conf")
            for device in self.devices
        )
        super().__init__(prefix, folder, tuple(charons), more="")

    def make_namespaces(self) -> None:
        """Make the hosts and their bridge."""
        namespaces.make(self.prefix, _hosts(), WIRES)

    def write_files(self) -> None:
        """Write the file of each device, for its IKE version."""
        for device, version, charon in zip(
            self.devices, self.versions, self.device_charons, strict=True
        ):
            file = charon.folder / "swanctl.conf"
            file.touch(0o600)
            file.write_text(DEVICE_TEXT.format(device=device, version=version))

    def ping(self, target: str, host: str = SERVER, *options: str) -> bool:
        """Return True if an address answers a host within a second."""
        return self.on(host, "ping", "-n", "-c", "1", "-W", "1", *options, target).returncode == 0


def _hosts() -> tuple[Host, ...]:
    return (
        Host(
            SERVER,
            "",
            {"hosted": ("10.2.0.10/24",), "hosted2": ("10.4.0.10/24",)},
            ("default via 10.2.0.1",),
        ),
        Host(
            CONCENTRATOR,
            "",
            {
                "hosted": ("10.2.0.1/24",),
                "hosted2": ("10.4.0.1/24",),
                "public": ("203.0.113.1/24", "203.0.113.3/32"),
            },
            ("default via 203.0.113.2",),
            forwards=True,
            bridges={"public": ("to-first", "to-second")},
        ),
        *_customer(PEER, CUSTOMER, "203.0.113.2/24"),
        *_customer(PEER2, CUSTOMER2, "203.0.113.4/24"),
    )


def _customer(device: str, computer: str, public: str) -> tuple[Host, Host]:
    # The devices have no default route: a packet in the clear must not come back by chance.
    return (
        Host(device, "", {"public": (public,), "private": ("192.168.1.1/24",)}, forwards=True),
        Host(
            computer,
            "",
            {"private": tuple(f"192.168.1.{host}/24" for host in (15, 16, 17))},
            ("default via 192.168.1.1",),
        ),
    )
