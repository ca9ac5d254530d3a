"""The steps of an apply, and how a process is held at one of them."""

from __future__ import annotations

import itertools
from pathlib import Path

from tests.running_portal import RunningPortal, wait_for

# Relative to the checkout, so that also a portal that sees it elsewhere finds it.
SEAM = str(Path(__file__).resolve().parent.relative_to(Path.cwd()) / "seam")

# Held in the portal, once the revision is committed and before its message is sent.
COMMITTED = "committed"
# The worker is stopped, so that the message waits in Redis or in the worker's socket.
SENT = "sent"
# Held in the worker, after what the word says; "received" is before the revision is started.
WORKERS = (
    "received",
    "started",
    "observed",
    "secret loaded",
    "loaded",
    "terminated",
    "translated",
    "observed again",
    "recorded",
    "initiated",
)
ALL = (COMMITTED, SENT, *WORKERS)
SECONDS_TO_A_STEP = 30


class Holds:
    """The folder through which this process and the held one speak; see seam/sitecustomize.py."""

    def __init__(self, portal: RunningPortal) -> None:
        self.folder = portal.state / "holds"
        self._count = itertools.count()

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": SEAM, "VPNPORTAL_HOLDS": str(self.folder)}

    def make(self) -> None:
        """Whoever comes to a step writes here, the portal's user too."""
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o777)

    def require_bindings(self) -> None:
        """Raise AssertionError if the worker did not import a module that the seam binds."""
        unbound = [file.name for file in self.folder.glob("unbound *")]
        assert not unbound, unbound

    def arm(self, step: str) -> None:
        """The next process that comes to this step is held there."""
        assert step in ALL, step
        (self.folder / "here").unlink(missing_ok=True)
        self._write("armed", f"{step} {next(self._count)}")

    def wait(self) -> int:
        """The id of the process that is held."""
        here = self.folder / "here"
        wait_for(here.exists, SECONDS_TO_A_STEP)
        return int(here.read_text())

    def release(self) -> None:
        """Nobody is held any more, and nobody will be."""
        (self.folder / "armed").unlink(missing_ok=True)

    def set_clock(self, seconds: int) -> None:
        """What the portal's processes take for now is so many seconds off."""
        self._write("clock", str(seconds))

    def _write(self, name: str, text: str) -> None:
        aside = self.folder / f"{name}.new"
        aside.write_text(text)
        aside.replace(self.folder / name)
