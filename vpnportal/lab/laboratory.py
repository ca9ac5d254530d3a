"""The laboratory as one thing: up, down, status, and a command on one of its hosts."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from . import dataplane, device, namespaces, refusals
from .charons import Charon
from .namespaces import LaboratoryError
from .topology import CONCENTRATOR, HOSTS, NAMES, PEER

PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Laboratory:
    """Four namespaces whose names begin with `prefix`; its files lie in `folder`."""

    prefix: str
    folder: Path

    @property
    def concentrator(self) -> Charon:
        return Charon(self.prefix, CONCENTRATOR, self.folder / CONCENTRATOR)

    @property
    def peer(self) -> Charon:
        folder = self.folder / PEER
        return Charon(self.prefix, PEER, folder, folder / "swanctl.conf")

    def refusal(self) -> str | None:
        """Why no laboratory can be made here, in words; None if it can."""
        return (
            refusals.of_this_machine()
            or refusals.of_a_name(self.prefix)
            or refusals.of_a_folder(self.folder, self.concentrator.socket)
        )

    def up(self) -> None:
        """Makes everything anew; LaboratoryError, and nothing left running, if that fails."""
        if refusal := self.refusal():
            raise LaboratoryError(refusal)
        self.down()
        try:
            namespaces.make(self.prefix)
            self._start(dataplane.probe(self.prefix, CONCENTRATOR))
        except BaseException:
            self.down()
            raise

    def _start(self, plane: dataplane.DataPlane) -> None:
        charons = (self.concentrator, self.peer)
        for charon in charons:
            charon.folder.mkdir(parents=True, exist_ok=True)
            charon.folder.chmod(0o700)
        (self.folder / "dataplane").write_text(plane.words + "\n")
        device.write_once(self.peer.folder / "swanctl.conf")
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
        self.concentrator.stop()
        self.peer.stop()
        namespaces.delete(self.prefix)

    def exec(self, host: str, argv: list[str]) -> None:
        """Becomes the command, in the namespace of the host; does not return."""
        if host not in NAMES:
            raise LaboratoryError(f"There is no host {host!r}; there are {', '.join(NAMES)}.")
        if os.geteuid() != 0:
            raise LaboratoryError("Only root can run a command on a host of the laboratory.")
        if host not in namespaces.existing(self.prefix):
            raise LaboratoryError(f"The laboratory {self.prefix} is down; `lab up` makes it.")
        os.execvp("ip", namespaces.inside(self.prefix, host, argv))  # noqa: S606 no shell is wanted

    def status(self) -> str:
        """What is there, for people; the customer's preshared key is in it."""
        if refusal := self.refusal():
            return f"No laboratory. {refusal}"
        if namespaces.existing(self.prefix) != list(NAMES):
            return f"The laboratory {self.prefix} is down; `lab up` makes it."
        lines = [*self._hosts(), "", *self._charons(), "", *self._device()]
        return "\n".join(lines)

    def _hosts(self) -> list[str]:
        plane = (self.folder / "dataplane").read_text().strip()
        lines = [f"The laboratory {self.prefix} is up, with {plane}.", ""]
        for host in HOSTS:
            addresses = ", ".join(one for several in host.addresses.values() for one in several)
            lines.append(f"  {host.name:<12}  {host.purpose}: {addresses}")
        return lines

    def _charons(self) -> list[str]:
        lines = []
        for charon in (self.concentrator, self.peer):
            state = "answers at" if charon.answers() else "does not answer at"
            lines.append(f"  The charon of the {charon.host} {state} {charon.socket}")
            lines.append(f"    and writes {charon.log}")
        return lines

    def _device(self) -> list[str]:
        file = self.peer.folder / "swanctl.conf"
        return [
            f"  The customer's device is the file {file}",
            f"    Its preshared key: {device.preshared_key(file)}",
            f"    Load it again with: {shlex.join(self.peer.load_command())}",
        ]
