"""The two IKE daemons of the laboratory: started under a keeper, asked for an answer, ended."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lab import strongswan_conf
from lab.dataplane import DataPlane
from lab.namespaces import LaboratoryError, end, inside

KEEPER = Path(__file__).resolve().parents[1] / "bin" / "keep"
# /run is private, because both daemons would write the same process id file there.
START = 'mount -t tmpfs -o mode=755 tmpfs /run && rm -f -- "$1" && shift && exec "$@"'


@dataclass(frozen=True, slots=True)
class Charon:
    """One IKE daemon in one namespace; all it writes lies in `folder`, which only root may open.

    `connections` is the swanctl file that it loads whenever it starts, if it has one; `more` is
    text for the end of its strongswan_conf.conf, where a section adds to the one of its name.
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

    def load_command(self) -> list[str]:
        """What makes it read its swanctl file again; empty if it has none."""
        if self.connections is None:
            return []
        return strongswan_conf.load_command(self.socket, self.connections)

    def start(self, plane: DataPlane) -> None:
        """Writes its configuration and starts a keeper for it, away from this terminal."""
        script = shlex.join(self.load_command())
        configuration = self.folder / "strongswan_conf.conf"
        text = strongswan_conf.settings(plane, self.socket, self.log, script)
        configuration.write_text(text + self.more)
        if self.log.exists():
            self.log.rename(self.folder / "charon.log.1")
        keeper = subprocess.Popen(
            inside(self.prefix, self.host, self._kept()),
            env={
                **os.environ,
                "VPNPORTAL_STATE": str(self.folder.parent),
                "STRONGSWAN_CONF": str(configuration),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._keeper().write_text(f"{keeper.pid} {_born(keeper.pid)}\n")

    def _kept(self) -> list[str]:
        daemon = [*strongswan_conf.unconfined(), strongswan_conf.CHARON]
        start = ["unshare", "--mount", "sh", "-c", START, "sh", str(self.socket), *daemon]
        return [str(KEEPER), "--detached", f"charon-{self.host}", *start]

    def _keeper(self) -> Path:
        return self.folder / "keeper.pid"

    def load(self) -> None:
        """Makes it read its swanctl file again; LaboratoryError with what it finds wrong."""
        done = subprocess.run(self.load_command(), capture_output=True, text=True, check=False)
        # swanctl also complains that there are no folders of certificates, which is no mistake, and
        # it ends with 0 when it cannot read the file at all.
        lines = (done.stderr + done.stdout).splitlines()
        wrong = [
            line for line in lines if re.search("^(?!opening directory).*( failed|error)", line)
        ]
        if done.returncode or wrong:
            said = "; ".join(wrong) or f"swanctl ended with {done.returncode}"
            raise LaboratoryError(f"The file {self.connections} is not loaded: {said}")

    def stop(self) -> None:
        """Tells its keeper to stop, if the recorded process is still that keeper."""
        try:
            pid, birth = self._keeper().read_text().split()
        except (OSError, ValueError):
            return
        if _born(int(pid)) == birth:
            end([int(pid)], signal.SIGTERM)
        self._keeper().unlink()

    def wait(self, seconds: float) -> None:
        """Returns when it answers; LaboratoryError if that takes too long."""
        deadline = time.monotonic() + seconds
        while not self.answers():
            if time.monotonic() > deadline:
                raise LaboratoryError(f"The charon of {self.host} does not answer; see {self.log}")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether it answers vici's `version`: length, type 0, length of the name, name."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"\0\0\0\x09\x00\x07version")
                # The first byte after the answer's length tells that it is one.
                return connection.recv(5)[4:] == b"\x01"
            except OSError:
                return False


def _born(pid: int) -> str:
    """When the process started, in the kernel's ticks: with it a process id is unmistakable."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
