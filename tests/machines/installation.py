"""Portal, two gateways and a customer's device, installed by the commands of docs/install.md."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.machines import install_guide
from tests.machines.machine import Machine
from tests.machines.site import Site

GATEWAYS = {"hou02-vpn01": "10.77.0.21", "hou02-vpn02": "10.77.0.22"}
PORTAL = "vpn.example.net"
USERLAND_ESP_FILE = "etc/strongswan.d/00-userland-esp.conf"
# Containers have no ESP of the kernel's. The marks keep IKE packets out of the TUN device.
USERLAND_ESP = """
charon-systemd {
    plugins {
        kernel-libipsec {
            load = yes
        }
        kernel-netlink {
            fwmark = !0x420000
        }
        socket-default {
            fwmark = 0x420000
        }
    }
}
"""
STRONGSWAN = (
    "charon-systemd strongswan-swanctl libstrongswan-standard-plugins"
    " libstrongswan-extra-plugins libcharon-extra-plugins"
)
KEY = "a-key-of-four-machines"
DEVICE = f"""
connections {{
    provider {{
        version = 1
        local_addrs = 203.0.113.2
        remote_addrs = 203.0.113.1
        proposals = aes256-sha256-modp1536
        local {{
            auth = psk
            id = 203.0.113.2
        }}
        remote {{
            auth = psk
            id = 203.0.113.1
        }}
        children {{
            private {{
                local_ts = 192.168.10.0/24
                remote_ts = 10.2.0.0/24
                esp_proposals = aes256-sha256-modp1536
            }}
        }}
    }}
}}
secrets {{
    ike-provider {{
        id-1 = 203.0.113.1
        id-2 = 203.0.113.2
        secret = "{KEY}"
    }}
}}
"""
# What a customer does on the page of the tunnel: once, and each time.
PRELUDE = """
from ipaddress import IPv4Address, IPv4Network
import time
from django.contrib.auth.models import User
from vpnportal import services
from vpnportal.models import Tunnel
tunnel, user = Tunnel.objects.filter(name="ipsec001").first(), User.objects.get()
"""
FILL_IN = """
from django.db import transaction
from vpnportal.management.commands.firsttime import first_tunnel
from vpnportal.models import Account, Concentrator, Membership, Role
account = Account.objects.create(name="Example account")
Membership.objects.create(account=account, user=user, role=Role.OWNER)
with transaction.atomic():
    first_tunnel(account, Concentrator.objects.get(name="hou02-vpn01"))
tunnel = Tunnel.objects.get()
for name, value in {
    "remote_peer": "203.0.113.2",
    "phase_one_encryption": "AES256", "phase_one_authentication": "SHA256", "phase_one_group": 5,
    "phase_two_encryption": "AES256", "phase_two_authentication": "SHA256", "phase_two_group": 5,
}.items():
    services.edit(tunnel, name, value, user)
services.set_preshared_key(tunnel, KEY, user)
services.add_remote_subnet(tunnel, IPv4Network("192.168.10.0/24"), user)
internal, customer = IPv4Address("10.1.255.92"), IPv4Address("192.168.10.15")
services.set_translations(tunnel, [services.TranslationRow(internal, customer, "database")], user)
"""
APPLY = """
revision = services.apply(tunnel, user)
deadline = time.monotonic() + 60
while revision.unfinished and time.monotonic() < deadline:
    time.sleep(0.1)
    revision.refresh_from_db()
print(revision.outcome, revision.reason)
"""

ONLINE = """
from vpnportal.models import Concentrator
print(*(row.name for row in Concentrator.objects.all() if row.is_online()))
"""


class Installation:
    """Machines in one site, and two hosts without a system: a server and a customer's.

    `gateways` is their number, 1 or 2. A machine has a disk of `disk_size`.
    """

    def __init__(
        self, site: Site, system: Path, folder: Path, gateways: int = 2, disk_size: str = "2G"
    ) -> None:
        self.site = site
        self.folder = folder

        def machine(name: str, *links: tuple[str, str]) -> Machine:
            return Machine(site, name, system, links, folder, disk_size)

        self.portal = machine("portal", ("management", "10.77.0.10/24"))
        self.gateways = [
            machine(
                name,
                ("management", f"{GATEWAYS[name]}/24"),
                ("public", f"203.0.113.{public}/24"),
                ("hosted", f"10.2.0.{hosted}/24"),
            )
            for name, public, hosted in (("hou02-vpn01", 1, 1), ("hou02-vpn02", 5, 2))[:gateways]
        ]
        self.device = machine(
            "device", ("public", "203.0.113.2/24"), ("private", "192.168.10.1/24")
        )

    @property
    def machines(self) -> tuple[Machine, ...]:
        """All machines."""
        return (self.portal, *self.gateways, self.device)

    def boot(self, prepare: Callable[[Machine], None] = lambda machine: None) -> None:
        """Make and start all machines and hosts. `prepare` changes the disks before."""
        self.site.add_host("server", "hosted", "10.2.0.10/24", "10.2.0.1")
        self.site.add_host("customer", "private", "192.168.10.15/24", "192.168.10.1")
        for machine in self.machines:
            self._make_disk(machine)
        self.device.write("etc/sysctl.d/forward.conf", "net.ipv4.ip_forward = 1\n")
        for machine in (*self.gateways, self.device):
            self.site.run("mkdir", "-p", str(machine.root / "etc/strongswan.d"))
            machine.write(USERLAND_ESP_FILE, USERLAND_ESP)
        for machine in self.machines:
            prepare(machine)
        for machine in self.machines:
            machine.start()
        for machine in self.machines:
            assert machine.wait() == "running", machine.run("systemctl", "--failed")

    def esp_of_the_kernel(self, machine: Machine) -> None:
        """Let charon use ESP of the kernel's from now on, on a machine that is off."""
        self.site.run("rm", str(machine.root / USERLAND_ESP_FILE))

    def _make_disk(self, machine: Machine) -> None:
        machine.make_disk()
        machine.write("etc/hosts", f"127.0.0.1 localhost {machine.name}\n10.77.0.10 {PORTAL}\n")

    def make_portal_disk(self) -> None:
        """Give the portal, which is switched off and has no disk, a new one."""
        self._make_disk(self.portal)

    def bring(self, packages: Sequence[Path]) -> None:
        """Copy packages to /root of the portal and the gateways, in place of those there."""
        for machine in (self.portal, *self.gateways):
            machine.script("rm -f /root/*.deb")
            for package in packages:
                content = package.read_bytes()
                command = machine.command("sh", "-c", 'cat >"$1"', "sh", f"/root/{package.name}")
                subprocess.run(command, input=content, check=True)

    def install(self) -> None:
        """Run the guide on each machine, side by side where the guide allows it."""
        with ThreadPoolExecutor() as pool:
            jobs = [
                pool.submit(self._install_portal),
                *(pool.submit(self._install_packages, gateway) for gateway in self.gateways),
                pool.submit(self._install_device),
            ]
        for job in jobs:
            job.result()
        for gateway in self.gateways:
            self._join(gateway)

    def _install_portal(self) -> None:
        run_steps(self.portal, install_guide.steps("The portal", "portal"))

    def _install_packages(self, gateway: Machine) -> None:
        first, *_ = install_guide.steps("A gateway", "gateway")
        run_steps(gateway, [first])

    def _join(self, gateway: Machine) -> None:
        """Let a machine become a gateway, by the file that the portal writes for it."""
        name = gateway.name
        run_steps(self.portal, install_guide.steps("A gateway", "portal"), name)
        self.bring_file(gateway)
        _, *later = install_guide.steps("A gateway", "gateway")
        run_steps(gateway, later, name)

    def bring_file(self, gateway: Machine) -> None:
        """Copy the file of `gateway add` to the machine of the gateway."""
        file = f"/root/{gateway.name}.join"
        content = self.portal.run("cat", file)
        gateway.run("sh", "-c", 'umask 077; cat >"$1"', "sh", file, text=content)

    def _install_device(self) -> None:
        self.device.script(f"apt-get update; apt-get install --yes {STRONGSWAN}")
        self.device.write("etc/swanctl/conf.d/provider.conf", DEVICE)
        self.device.run("systemctl", "restart", "strongswan")

    def fill_in(self) -> None:
        """Enter the example, without applying it."""
        self.do(f"KEY = {KEY!r}\n{FILL_IN}")

    def apply(self) -> str:
        """Apply the draft, and return the outcome of the revision and its reason, if it has one."""
        return self.do(APPLY)

    def online(self) -> set[str]:
        """Return the names of the concentrators that the portal's pages show as online."""
        return set(self.do(ONLINE).split())

    def do(self, code: str) -> str:
        """Run code in the portal's shell and return its output."""
        shell = ("vpnportal", "shell", "--verbosity", "0", "-c", PRELUDE + code)
        return self.portal.run(*shell).strip()

    def ping(self, address: str = "10.1.255.92") -> bool:
        """Return True if the customer's computer answers the server at its provider address."""
        command = self.site.on_host("server", "ping", "-c", "1", "-W", "1", address)
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run_steps(machine: Machine, steps: Sequence[str], name: str = "") -> None:
    """Run blocks of commands of the guide in one shell, for the gateway `name`."""
    text = "cd /root\nexport DEBIAN_FRONTEND=noninteractive\n" + "cd /root\n".join(steps)
    if name == install_guide.SECOND[install_guide.EXAMPLE_NAME]:
        for value, other in install_guide.SECOND.items():
            text = text.replace(value, other)
    machine.script(text)
