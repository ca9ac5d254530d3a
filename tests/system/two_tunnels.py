"""The tunnels of two customers with the same network, driven without a database."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from lab import namespaces
from lab.many_peers import enter_namespace
from lab.topology import CONCENTRATOR, SERVER
from lab.two_customers import Device, TwoCustomers
from tests.observation import converge
from tests.running_portal import PYTHON, wait_for
from vpnportal.domain.gateway_config.compile import compile_tunnel
from vpnportal.domain.gateway_config.desired import Desired
from vpnportal.domain.tunnel.spec import PhaseOne, PhaseTwo, Translation, TunnelSpec
from vpnportal.gateway.driver import GatewayDriver

KEY = b"k" * 32
# Answers on TCP port 8080 with the name of the host, and keeps the connection open.
ANSWER = """
import socket, sys, threading
server = socket.create_server(("0.0.0.0", 8080))
def hold(connection):
    connection.sendall(sys.argv[1].encode())
    connection.recv(1)
while True:
    threading.Thread(target=hold, args=server.accept()[:1], daemon=True).start()
"""


class TwoTunnels:
    """The tunnels 1 and 2 to the devices of a laboratory, with the marks 1 and 2.

    10.1.0.5 and 10.1.0.6 are addresses of the first customer, 10.1.0.9 and 10.1.0.10 of the second.
    """

    def __init__(self, lab: TwoCustomers) -> None:
        self.lab = lab
        self.gateway = GatewayDriver(str(lab.concentrator.socket))
        self.specs = {
            1: _specification(1, lab.devices[0], lab.versions[0], "10.1.0.4/30"),
            2: _specification(2, lab.devices[1], lab.versions[1], "10.1.0.8/30"),
        }
        self.hosted_interfaces: tuple[str, ...] = ()

    def desired(self, **options: Any) -> Desired:
        """Return the desired state; `mark` or `key` replace those of the tunnels."""
        compiled = (
            compile_tunnel(spec, options.get("key", KEY), options.get("mark", number))
            for number, spec in self.specs.items()
        )
        return Desired.of(compiled, self.hosted_interfaces)

    def converge(self, **options: Any) -> None:
        """Apply plans until an observation finds nothing to do, as the worker does."""
        with self.inside():
            converge(self.gateway, self.desired(**options), 30)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Move this thread to the concentrator's namespace for the duration of the block."""
        with enter_namespace(self.lab.prefix, CONCENTRATOR):
            yield

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Run a service on both customers' computers that answers with the host's name."""
        processes = [
            self.start(device.computer, PYTHON, "-c", ANSWER, device.computer)
            for device in self.lab.devices
        ]
        try:
            for address in ("10.1.0.5", "10.1.0.9"):
                wait_for(lambda at=address: self.ask(at), 10)
            yield
        finally:
            for process in processes:
                process.kill()
                process.wait()

    def ask(self, *addresses: str, port: int = 0) -> list[str]:
        """Return the answers at addresses, asked by the server from one port at the same time."""
        code = (
            "import socket, sys\n"
            "held = []\n"
            "for at in sys.argv[2:]:\n"
            "    held.append(socket.socket())\n"
            "    held[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
            "    held[-1].bind(('10.2.0.10', int(sys.argv[1])))\n"
            "    held[-1].settimeout(2)\n"
            "    held[-1].connect((at, 8080))\n"
            "for connection in held:\n"
            "    print(connection.recv(20).decode())\n"
        )
        return self.lab.on(SERVER, PYTHON, "-c", code, str(port), *addresses).stdout.split()

    def start(self, host: str, *command: str) -> subprocess.Popen[str]:
        """Start a command on a host."""
        return subprocess.Popen(
            namespaces.inside(self.lab.prefix, host, list(command)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def counter(self, name: str) -> int:
        """Return the packets that a counter of the concentrator has counted."""
        listed = self.lab.on(CONCENTRATOR, "nft", "list", "counter", "ip", "vpnportal", name).stdout
        match = re.search(r"packets (\d+)", listed)
        assert match, listed
        return int(match[1])

    def swanctl(self, *command: str) -> str:
        """Return the output of a command to the concentrator's charon."""
        uri = f"unix://{self.lab.concentrator.socket}"
        done = self.lab.on(CONCENTRATOR, "swanctl", *command, "--uri", uri)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def _specification(number: int, device: Device, version: int, static_nat: str) -> TunnelSpec:
    network = IPv4Network(static_nat)
    return TunnelSpec(
        tunnel_id=number,
        hosted_peer=IPv4Address(device.hosted_peer),
        remote_peer=IPv4Address(device.remote_peer),
        preshared_key=device.preshared_key,
        ike_version=version,
        phase_one=PhaseOne("AES256", "SHA256", 14, 14_400),
        phase_two=PhaseTwo("AES256", "SHA256", True, 14, 3_600),
        hosted_subnets=(IPv4Network("10.2.0.0/24"),),
        remote_subnets=(IPv4Network("192.168.1.0/24"),),
        static_nat_subnets=(network,),
        translations=(
            Translation(network[1], IPv4Address("192.168.1.15")),
            Translation(network[2], IPv4Address("192.168.1.16")),
        ),
        translated_only=True,
    )
