"""The laboratory as one thing: up, down, status, and a command on one of its hosts."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from lab import customer_device, dataplane, namespaces, prerequisites
from lab.ike_daemons import Charon
from lab.namespaces import LaboratoryError
from lab.topology import ALL_NAMES, CONCENTRATOR, CONCENTRATORS, PEER, hosts, wires

PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Laboratory:
    """Namespaces whose names begin with `prefix`; its files lie in `folder`.

    `concentrators` is how many `up` makes: one, or two side by side.
    """

    prefix: str
    folder: Path
    concentrators: int = 1

    @property
    def concentrator(self) -> Charon:
        """The first one's charon."""
        return self._gateway(CONCENTRATOR)

    def _gateway(self, name: str) -> Charon:
        return Charon(self.prefix, name, self.folder / name)

    @property
    def peer(self) -> Charon:
        folder = self.folder / PEER
        return Charon(self.prefix, PEER, folder, folder / "swanctl.conf")

    def refusal(self) -> str | None:
        """Why no laboratory can be made here, in words; None if it can."""
        return (
            prerequisites.missing_on_machine()
            or prerequisites.name_objection(self.prefix)
            or prerequisites.folder_objection(self.folder, self._gateway(CONCENTRATORS[-1]).socket)
        )

    def up(self) -> None:
        """Makes everything anew; LaboratoryError, and nothing left running, if that fails."""
        if refusal := self.refusal():
            raise LaboratoryError(refusal)
        self.down()
        try:
            namespaces.make(self.prefix, hosts(self.concentrators), wires(self.concentrators))
            self._start(dataplane.probe(self.prefix, CONCENTRATOR))
        except BaseException:
            self.down()
            raise

    def _start(self, plane: dataplane.DataPlane) -> None:
        gateways = (self._gateway(name) for name in CONCENTRATORS[: self.concentrators])
        charons = (*gateways, self.peer)
        for charon in charons:
            charon.folder.mkdir(parents=True, exist_ok=True)
            charon.folder.chmod(0o700)
        (self.folder / "dataplane").write_text(plane.words + "\n")
        customer_device.write_once(self.peer.folder / "swanctl.conf")
        for charon in charons:
            charon.start(plane)
        for charon in charons:
            charon.wait(PATIENCE)
        # The daemon loads its file by itself; this time we hear about mistakes in it.
        self.peer.load()

    def down(self) -> None:
        """Ends what `up` started and removes the namespaces; harmless when there is nothing."""
        there = namespaces.existing(self.prefix)
        if os.geteuid() != 0:
            if there:
                raise LaboratoryError(f"Only root can take the laboratory {self.prefix} down.")
            return
        for name in CONCENTRATORS:
            self._gateway(name).stop()
        self.peer.stop()
        namespaces.delete(self.prefix)

    def exec(self, host: str, argv: list[str]) -> None:
        """Becomes the command, in the namespace of the host; does not return."""
        if host not in ALL_NAMES:
            raise LaboratoryError(f"There is no host {host!r}; there are {', '.join(ALL_NAMES)}.")
        if os.geteuid() != 0:
            raise LaboratoryError("Only root can run a command on a host of the laboratory.")
        there = namespaces.existing(self.prefix)
        if host not in there:
            what = f"has no {host}" if there else "is down; `lab up` makes it"
            raise LaboratoryError(f"The laboratory {self.prefix} {what}.")
        os.execvp("ip", namespaces.inside(self.prefix, host, argv))  # noqa: S606 no shell is wanted

    def status(self) -> str:
        """What is there, for people; the customer's preshared key is in it."""
        if refusal := self.refusal():
            return f"No laboratory. {refusal}"
        there = namespaces.existing(self.prefix)
        number = sum(name in there for name in CONCENTRATORS)
        if not number or there != [host.name for host in hosts(number)]:
            return f"The laboratory {self.prefix} is down; `lab up` makes it."
        lines = [*self._hosts(number), "", *self._charons(number), "", *self._device()]
        return "\n".join(lines)

    def _hosts(self, concentrators: int) -> list[str]:
        plane = (self.folder / "dataplane").read_text().strip()
        lines = [f"The laboratory {self.prefix} is up, with {plane}.", ""]
        for host in hosts(concentrators):
            # Those of a block are for tunnels to come.
            every = (one for several in host.addresses.values() for one in several)
            addresses = ", ".join(one for one in every if not one.endswith("/32"))
            lines.append(f"  {host.name:<13}  {host.purpose}: {addresses}")
        return lines

    def _charons(self, concentrators: int) -> list[str]:
        lines = []
        gateways = (self._gateway(name) for name in CONCENTRATORS[:concentrators])
        for charon in (*gateways, self.peer):
            state = "answers at" if charon.answers() else "does not answer at"
            lines.append(f"  The charon of the {charon.host} {state} {charon.socket}")
            lines.append(f"    and writes {charon.log}")
        return lines

    def _device(self) -> list[str]:
        file = self.peer.folder / "swanctl.conf"
        return [
            f"  The customer's device is the file {file}",
            f"    Its preshared key: {customer_device.preshared_key(file)}",
            f"    Load it again with: {shlex.join(self.peer.load_command())}",
        ]
