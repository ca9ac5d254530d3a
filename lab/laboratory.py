"""The laboratory: up, down, status, and a command on one of its hosts."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from lab import customer_device, dataplane, namespaces, prerequisites
from lab.ike_daemons import Charon
from lab.namespaces import LaboratoryError
from lab.routing_daemons import RoutingDaemon
from lab.topology import ALL_NAMES, CONCENTRATOR, CONCENTRATORS, PEER, ROUTER, hosts, wires

START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Laboratory:
    """A laboratory with namespaces `PREFIX-HOST` and its files in `folder`.

    `concentrators` is the number that `up` makes, 1 or 2. With a `router`, it also makes a router
    and the routing daemons.
    """

    prefix: str
    folder: Path
    concentrators: int = 1
    router: bool = False

    @property
    def concentrator(self) -> Charon:
        """The charon of the first concentrator."""
        return self._gateway(CONCENTRATOR)

    def _gateway(self, name: str) -> Charon:
        return Charon(self.prefix, name, self.folder / name)

    @property
    def peer(self) -> Charon:
        folder = self.folder / PEER
        return Charon(self.prefix, PEER, folder, folder / "swanctl.conf")

    def refusal(self) -> str | None:
        """Return the first unmet prerequisite as a sentence, or None."""
        return (
            prerequisites.missing_on_machine(self.router)
            or prerequisites.name_objection(self.prefix)
            or prerequisites.folder_objection(self.folder, self._gateway(CONCENTRATORS[-1]).socket)
        )

    def up(self) -> None:
        """Remove an existing laboratory and make a new one.

        Raises LaboratoryError if that fails; nothing is left running then.
        """
        if refusal := self.refusal():
            raise LaboratoryError(refusal)
        self.down()
        try:
            size = (self.concentrators, self.router)
            namespaces.make(self.prefix, hosts(*size), wires(*size))
            self._start(dataplane.probe(self.prefix, CONCENTRATOR))
        except BaseException:
            self.down()
            raise

    def _start(self, plane: dataplane.DataPlane) -> None:
        gateways = (self._gateway(name) for name in CONCENTRATORS[: self.concentrators])
        charons = (*gateways, self.peer)
        for charon in charons:
            charon.make_folder()
        (self.folder / "dataplane").write_text(plane.label + "\n")
        customer_device.write_once(self.peer.folder / "swanctl.conf")
        for charon in charons:
            charon.start(plane)
        for charon in charons:
            charon.wait(START_SECONDS)
        # charon loads this file by itself at each start, but does not report mistakes in it.
        self.peer.load()
        if self.router:
            for name in (ROUTER, *CONCENTRATORS[: self.concentrators]):
                self.routing_daemon(name).start()

    def routing_daemon(self, host: str) -> RoutingDaemon:
        """Return the routing daemon of the router or of a gateway."""
        return RoutingDaemon(self.prefix, host, self.folder / host)

    def down(self) -> None:
        """Terminate the processes of the laboratory and delete its namespaces, if they exist."""
        if os.geteuid() != 0:
            if namespaces.existing(self.prefix):
                raise LaboratoryError(f"Only root can take the laboratory {self.prefix} down.")
            return
        for name in CONCENTRATORS:
            self._gateway(name).stop()
        self.peer.stop()
        for name in (ROUTER, *CONCENTRATORS):
            self.routing_daemon(name).stop()
        namespaces.delete(self.prefix)

    def exec(self, host: str, argv: list[str]) -> None:
        """Replace this process by the command, in the namespace of the host."""
        if host not in ALL_NAMES:
            raise LaboratoryError(f"There is no host {host!r}; there are {', '.join(ALL_NAMES)}.")
        if os.geteuid() != 0:
            raise LaboratoryError("Only root can run a command on a host of the laboratory.")
        existing = namespaces.existing(self.prefix)
        if host not in existing:
            state = f"has no {host}" if existing else "is down; `lab up` makes it"
            raise LaboratoryError(f"The laboratory {self.prefix} {state}.")
        os.execvp("ip", namespaces.inside(self.prefix, host, argv))  # noqa: S606 no shell

    def status(self) -> str:
        """Return the state as text for the operator, with the customer's preshared key."""
        if refusal := self.refusal():
            return f"No laboratory. {refusal}"
        existing = namespaces.existing(self.prefix)
        number = sum(name in existing for name in CONCENTRATORS)
        size = (number, ROUTER in existing)
        if not number or existing != [host.name for host in hosts(*size)]:
            return f"The laboratory {self.prefix} is down; `lab up` makes it."
        lines = [
            *self._host_lines(*size),
            "",
            *self._charon_lines(number),
            "",
            *self._device_lines(),
        ]
        return "\n".join(lines)

    def _host_lines(self, concentrators: int, router: bool) -> list[str]:
        plane = (self.folder / "dataplane").read_text().strip()
        lines = [f"The laboratory {self.prefix} is up, with {plane}.", ""]
        for host in hosts(concentrators, router):
            # The /32 of a block are for ordered tunnels and would fill the line.
            addresses = [
                address
                for interface_addresses in host.addresses.values()
                for address in interface_addresses
                if not address.endswith("/32")
            ]
            lines.append(f"  {host.name:<13}  {host.purpose}: {', '.join(addresses)}")
        return lines

    def _charon_lines(self, concentrators: int) -> list[str]:
        lines = []
        gateways = (self._gateway(name) for name in CONCENTRATORS[:concentrators])
        for charon in (*gateways, self.peer):
            state = "answers at" if charon.answers() else "does not answer at"
            lines.append(f"  The charon of the {charon.host} {state} {charon.socket}")
            lines.append(f"    and logs to {charon.log}")
        return lines

    def _device_lines(self) -> list[str]:
        file = self.peer.folder / "swanctl.conf"
        return [
            f"  The customer's device is the file {file}",
            f"    Its preshared key: {customer_device.preshared_key(file)}",
            f"    Load it with: {shlex.join(self.peer.load_command())}",
        ]
