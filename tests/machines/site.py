"""A site: the bridges and hosts around the machines of a test, in namespaces of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from tests.machines import guard
from tests.running_portal import ROOT


class Site:
    """Namespaces of mounts, processes and networks, which end with the test process.

    The machine that runs the tests keeps its interfaces, mounts and processes as they are.
    """

    def __init__(self) -> None:
        guard.clean_up_after_crashes()
        self._guard = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "tests.machines.guard"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._guard.stdout
        first = self._guard.stdout.readline().strip()
        if not first:
            raise AssertionError("The namespaces of a site cannot be made; see above.")
        self._enter = ("nsenter", "-t", first, "-m", "-n")

    @property
    def guard_pid(self) -> int:
        """The process id of the guard, which is in the names of the cgroups."""
        return self._guard.pid

    def command(self, *words: str) -> list[str]:
        """Return the command that runs `words` in all namespaces of the site."""
        return [*self._enter, "-p", "-u", "-i", *words]

    def on_host(self, name: str, *words: str) -> list[str]:
        """Return the command that runs `words` on a host without a system of its own.

        Signals reach `words`, because this nsenter has no process between.
        """
        return [*self._enter, "ip", "netns", "exec", name, *words]

    def run(self, *words: str, check: bool = True) -> str:
        """Run a command in the site and return its output. Raises CalledProcessError."""
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)}: {done.stderr}{done.stdout}")
        return done.stdout

    def add_network_namespace(self, name: str, links: Sequence[tuple[str, str]]) -> None:
        """Add a namespace with an interface eth0, eth1, … for each (bridge, MAC address)."""
        self.run("ip", "netns", "add", name)
        for number, (bridge, mac) in enumerate(links):
            self._add_bridge(bridge)
            port, card = f"{name}.{number}", f"eth{number}"
            end = ("peer", "name", card, "address", mac, "netns", name)
            self.run("ip", "link", "add", port, "type", "veth", *end)
            self.run("ip", "link", "set", port, "master", bridge, "up")

    def add_tap(self, name: str, bridge: str) -> None:
        """Add a TAP device at a bridge, for the card of a machine with a kernel of its own."""
        self._add_bridge(bridge)
        self.run("ip", "tuntap", "add", "dev", name, "mode", "tap", "vnet_hdr")
        self.run("ip", "link", "set", name, "master", bridge, "up")

    def _add_bridge(self, name: str) -> None:
        if not self._has_link(name):
            self.run("ip", "link", "add", name, "type", "bridge")
            self.run("ip", "link", "set", name, "up")

    def remove_network_namespace(self, name: str) -> None:
        """Remove a namespace and its interfaces at once; the kernel would take its time."""
        for number in range(9):
            if self._has_link(f"{name}.{number}"):
                self.run("ip", "link", "delete", f"{name}.{number}")
        self.run("ip", "netns", "delete", name, check=False)

    def _has_link(self, name: str) -> bool:
        return bool(self.run("ip", "-brief", "link", "show", "dev", name, check=False))

    def add_host(self, name: str, bridge: str, address: str, route: str) -> None:
        """Add a host without a system of its own: an address/prefix and its default route."""
        self.add_network_namespace(name, [(bridge, mac_of(address))])
        for words in (
            f"address add {address} dev eth0",
            "link set lo up",
            "link set eth0 up",
            f"route add default via {route}",
        ):
            self.run("ip", "-n", name, *words.split())

    def close(self) -> None:
        """End everything in the site."""
        self._guard.terminate()
        self._guard.wait(60)


def mac_of(address: str) -> str:
    """Return a MAC address for an IPv4 address/prefix.

    It is the same after a power cycle: otherwise neighbours send to the old one for 9 to 42 s.
    """
    octets = address.partition("/")[0].split(".")
    return "02:00:" + ":".join(f"{int(octet):02x}" for octet in octets)
