"""Daemons of the laboratory's hosts, each under a `bin/keep` that restarts it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.namespaces import end, inside

KEEP = Path(__file__).resolve().parents[1] / "bin" / "keep"


@dataclass(frozen=True, slots=True)
class Keeper:
    """The `bin/keep` of a program in a host's namespace; `folder` has its process id."""

    prefix: str
    host: str
    program: str
    folder: Path

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start bin/keep with the command, detached from this terminal."""
        keep = [str(KEEP), "--detached", f"{self.program}-{self.host}", *command]
        process = subprocess.Popen(
            inside(self.prefix, self.host, keep),
            env={**os.environ, "VPNPORTAL_STATE": str(self.folder.parent), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._file().write_text(f"{process.pid} {_start_ticks(process.pid)}\n")

    def stop(self) -> None:
        """Terminate bin/keep and its program, if the recorded process is still running."""
        try:
            pid, start_ticks = self._file().read_text().split()
        except (OSError, ValueError):
            return
        if _start_ticks(int(pid)) == start_ticks:
            end([int(pid)], signal.SIGTERM)
        self._file().unlink()

    def _file(self) -> Path:
        return self.folder / f"{self.program}.keeper"


def _start_ticks(pid: int) -> str:
    """Return a process's start time in clock ticks since boot, or "" if the process has ended.

    A process id and its start identify a process, even if the id is used again. See proc(5).
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
