"""The charons of the laboratory, each under a `bin/keep` that restarts it."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lab import strongswan_conf
from lab.dataplane import DataPlane
from lab.keeper import Keeper
from lab.namespaces import LaboratoryError

# Each charon has a private /run, because all would write the same process id file there.
START = 'mount -t tmpfs -o mode=755 tmpfs /run && rm -f -- "$1" && shift && exec "$@"'


@dataclass(frozen=True, slots=True)
class Charon:
    """A charon in a host's namespace; its files are in `folder`, in which only root writes.

    `connections` is the swanctl file that charon loads at each start. Without it, the host is a
    concentrator: its charon runs without root, and the gateway's user may open its socket. `more`
    is text for the end of strongswan.conf, where a section adds to the earlier one of its name.
    """

    prefix: str
    host: str
    folder: Path
    connections: Path | None = None
    more: str = ""

    @property
    def socket(self) -> Path:
        return self.folder / "charon.vici"

    @property
    def log(self) -> Path:
        return self.folder / "charon.log"

    @property
    def is_concentrator(self) -> bool:
        return self.connections is None

    def make_folder(self) -> None:
        """Make the folder; the group of a concentrator's may go through it, but not list it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.is_concentrator:
            shutil.chown(self.folder, group=strongswan_conf.CONCENTRATOR_GROUP)
        self.folder.chmod(0o710 if self.is_concentrator else 0o700)

    def load_command(self) -> list[str]:
        """Return the command that loads this charon's swanctl file; empty without a file."""
        if self.connections is None:
            return []
        return strongswan_conf.load_command(self.socket, self.connections)

    def start(self, plane: DataPlane) -> None:
        """Write the configuration and start bin/keep, detached from this terminal."""
        script = shlex.join(self.load_command())
        configuration = self.folder / "strongswan.conf"
        text = strongswan_conf.settings(plane, self.socket, self.log, script, self.is_concentrator)
        configuration.write_text(text + self.more)
        if self.log.exists():
            self.log.rename(self.folder / "charon.log.1")
        daemon = [*strongswan_conf.unconfined(), strongswan_conf.CHARON]
        command = ["unshare", "--mount", "sh", "-c", START, "sh", str(self.socket), *daemon]
        self._keeper().start(command, {"STRONGSWAN_CONF": str(configuration)})

    def _keeper(self) -> Keeper:
        return Keeper(self.prefix, self.host, "charon", self.folder)

    def load(self) -> None:
        """Load this charon's swanctl file. Raises LaboratoryError with the errors of swanctl."""
        process = subprocess.run(self.load_command(), capture_output=True, text=True, check=False)
        # swanctl also reports missing folders of certificates, which are not needed. Its status is
        # 0 even if it cannot read the file.
        lines = (process.stderr + process.stdout).splitlines()
        mistakes = [
            line for line in lines if re.search("^(?!opening directory).*( failed|error)", line)
        ]
        if process.returncode or mistakes:
            reason = "; ".join(mistakes) or f"swanctl ended with status {process.returncode}"
            raise LaboratoryError(f"The file {self.connections} is not loaded: {reason}")

    def stop(self) -> None:
        """Terminate this charon and its bin/keep, if they are running."""
        self._keeper().stop()

    def wait(self, seconds: float) -> None:
        """Wait until charon answers. Raises LaboratoryError after `seconds`."""
        deadline = time.monotonic() + seconds
        while not self.answers():
            if time.monotonic() > deadline:
                raise LaboratoryError(f"The charon of {self.host} does not answer; see {self.log}")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Return True if charon replies to the vici command `version`."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"\0\0\0\x09\x00\x07version")
                # The byte after the length is the type: 1 is a reply.
                return connection.recv(5)[4:] == b"\x01"
            except OSError:
                return False
