"""The base of the laboratories whose concentrator starts empty: up, down, and commands on hosts."""

from __future__ import annotations

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from lab import dataplane, namespaces, prerequisites
from lab.ike_daemons import Charon
from lab.namespaces import LaboratoryError
from lab.topology import CONCENTRATOR

START_SECONDS = 60.0
Self = TypeVar("Self", bound="CharonLaboratory")


class CharonLaboratory(ABC):
    """Namespaces `PREFIX-HOST`, with files in `folder`: a concentrator and its customers' devices.

    The concentrator's charon starts without connections; the test loads it. Each device's charon
    loads its file at each start.
    """

    def __init__(
        self, prefix: str, folder: Path, device_charons: tuple[Charon, ...], more: str
    ) -> None:
        """`more` is text for the end of the concentrator's strongswan.conf."""
        self.prefix, self.folder, self.device_charons = prefix, folder, device_charons
        self.concentrator = Charon(prefix, CONCENTRATOR, folder / CONCENTRATOR, more=more)

    @abstractmethod
    def make_namespaces(self) -> None:
        """Make the namespaces with their wires, addresses and settings."""

    @abstractmethod
    def write_files(self) -> None:
        """Write the swanctl file of each device, in folders that exist."""

    def up(self) -> None:
        """Remove an existing laboratory and make a new one.

        Raises LaboratoryError if that fails; nothing is left running then.
        """
        socket = self.concentrator.socket
        refusal = (
            prerequisites.missing_on_machine()
            or prerequisites.folder_objection(self.folder, socket)
            or prerequisites.name_objection(self.prefix)
        )
        if refusal:
            raise LaboratoryError(refusal)
        self.down()
        try:
            self.make_namespaces()
            self._start(dataplane.probe(self.prefix, CONCENTRATOR))
        except BaseException:
            self.down()
            raise

    def _start(self, plane: dataplane.DataPlane) -> None:
        charons = (self.concentrator, *self.device_charons)
        for charon in charons:
            charon.make_folder()
        self.write_files()
        for charon in charons:
            charon.start(plane)
        for charon in charons:
            charon.wait(START_SECONDS)
        for charon in self.device_charons:
            charon.load()

    def down(self) -> None:
        """Terminate the processes of the laboratory and delete its namespaces, if they exist."""
        for charon in (self.concentrator, *self.device_charons):
            charon.stop()
        namespaces.delete(self.prefix)

    @contextmanager
    def running(self: Self) -> Iterator[Self]:
        """Bring the laboratory up for the duration of the block."""
        self.up()
        try:
            yield self
        finally:
            self.down()

    def on(self, host: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on a host."""
        inside = namespaces.inside(self.prefix, host, list(command))
        return subprocess.run(inside, capture_output=True, text=True, check=False)
