"""Processes of a portal that share a database file, for tests of concurrent writers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.running_portal import ROOT


class Portal:
    """A portal with a database file of its own, used by several processes."""

    def __init__(self, folder: Path) -> None:
        (folder / "db").mkdir()
        self.environment = {
            **os.environ,
            "VPNPORTAL_STATE": str(folder),
            "VPNPORTAL_SECRET_KEY": "only for this test",
        }
        self.run("migrate", "-v0")

    def command(self, *words: str) -> list[str]:
        return [sys.executable, str(ROOT / "manage.py"), *words]

    def run(self, *words: str) -> None:
        subprocess.run(self.command(*words), env=self.environment, cwd=ROOT, check=True)

    def start(self, code: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command("shell", "-v0", "-c", code),
            env=self.environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


def run_at_once(workers: Iterable[subprocess.Popen[str]]) -> list[str]:
    """Let all workers go once each has printed "ready"; return the lines that they print then."""
    started = list(workers)
    assert [worker.stdout.readline() for worker in started] == ["ready\n"] * len(started)
    for worker in started:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    return [line for worker in started for line in worker.communicate()[0].splitlines()]
