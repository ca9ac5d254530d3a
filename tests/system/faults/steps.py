"""The steps of an apply, and the files that hold a process at one of them."""

from __future__ import annotations

import itertools
from pathlib import Path

from tests.running_portal import RunningPortal, wait_for

# Relative to the checkout, because the portal may have the checkout at another path.
SEAM = str(Path(__file__).resolve().parent.relative_to(Path.cwd()) / "seam")

# The web process is held after the commit of the revision, before it sends the message.
COMMITTED = "committed"
# The worker is stopped, so that the message waits in Redis or in the worker's socket.
SENT = "sent"
# The worker is held after the action of that name. At "received" the revision is still "queued".
WORKERS = (
    "received",
    "started",
    "observed",
    "secret loaded",
    "loaded",
    "terminated",
    "maps changed",
    "translated",
    "observed again",
    "recorded",
    "initiated",
)
ALL = (COMMITTED, SENT, *WORKERS)
STEP_SECONDS = 90


class Holds:
    """The folder that this process shares with the held one; see seam/sitecustomize.py."""

    def __init__(self, portal: RunningPortal) -> None:
        self.folder = portal.state / "holds"
        self._count = itertools.count()

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": SEAM, "VPNPORTAL_HOLDS": str(self.folder)}

    def make(self) -> None:
        """Make the folder, writable for the web processes, which do not run as root."""
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o777)

    def require_bindings(self) -> None:
        """Raise AssertionError if the worker did not import a module that the seam binds."""
        unbound = [file.name for file in self.folder.glob("unbound *")]
        assert not unbound, unbound

    def arm(self, step: str) -> None:
        """Hold the next process that comes to this step."""
        assert step in ALL, step
        (self.folder / "here").unlink(missing_ok=True)
        self._write("armed", f"{step} {next(self._count)}")

    def wait(self) -> int:
        """Return the id of the held process, as soon as one is held."""
        here = self.folder / "here"
        wait_for(here.exists, STEP_SECONDS)
        return int(here.read_text())

    def release(self) -> None:
        """Release the held process, and hold no other."""
        (self.folder / "armed").unlink(missing_ok=True)

    def keep_flows(self, keep: bool) -> None:
        """Let each deletion of flows fail, or none."""
        file = self.folder / "keep flows"
        file.touch() if keep else file.unlink(missing_ok=True)

    def set_clock(self, seconds: int) -> None:
        """Shift the clock of the portal's processes by these seconds."""
        self._write("clock", str(seconds))

    def _write(self, name: str, text: str) -> None:
        new = self.folder / f"{name}.new"
        new.write_text(text)
        new.replace(self.folder / name)
