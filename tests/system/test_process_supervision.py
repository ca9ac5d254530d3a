"""`bin/keep` by itself: what it keeps running, and that nothing outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running_portal import ROOT, wait_for

KEEP = str(ROOT / "bin" / "keep")
# Notes each start, then waits; the last word of its command line tells it from others.
COMMAND = ["sh", "-c", 'echo started; trap "echo told; exit" TERM; sleep 60 & wait', "kept"]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    assert kept(tmp_path) == []


def keep(state: Path, *prefix: str) -> subprocess.Popen:
    environment = {**os.environ, "VPNPORTAL_STATE": str(state)}
    argv = [*prefix, KEEP, "it", *COMMAND, str(state)]
    started = subprocess.Popen(argv, env=environment)
    wait_for(lambda: log(state).exists() and "started" in log(state).read_text(), 5)
    return started


def log(state: Path) -> Path:
    return state / "log" / "it.log"


def kept(state: Path) -> list[int]:
    """The shells of COMMAND that were started for this folder."""
    tail = f"kept\0{state}\0".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if words.startswith(b"sh\0") and words.endswith(tail):
            found.append(int(entry.name))
    return found


def test_a_command_that_ends_is_started_again_in_a_second(state):
    keeper = keep(state)
    (before,) = kept(state)

    os.kill(before, signal.SIGKILL)

    assert wait_for(lambda: kept(state) not in ([], [before]), 5) > 0.5
    assert "ended with status 137" in log(state).read_text()
    keeper.terminate()
    keeper.wait(timeout=5)


def test_told_to_stop_it_tells_its_command_and_starts_no_other(state):
    keeper = keep(state)

    keeper.terminate()

    assert keeper.wait(timeout=5) == 0
    assert log(state).read_text() == "started\ntold\n"


def test_killed_it_takes_its_command_with_it(state):
    keeper = keep(state)

    keeper.kill()
    keeper.wait(timeout=5)

    wait_for(lambda: kept(state) == [], 2)


def test_it_ends_when_its_parent_is_killed(state):
    # A second command after it keeps this shell from becoming bin/keep itself.
    parent = keep(state, "sh", "-c", '"$@"; true', "parent")

    parent.kill()
    parent.wait(timeout=5)

    wait_for(lambda: kept(state) == [], 2)


def test_its_log_is_not_for_everybody_and_does_not_grow_without_end(state):
    log(state).parent.mkdir()
    log(state).write_bytes(b"x" * 10_485_761)

    keeper = keep(state)

    assert log(state).read_text() == "started\n"
    assert log(state).stat().st_mode & 0o777 == 0o640
    assert (state / "log" / "it.log.1").stat().st_size == 10_485_761
    keeper.terminate()
    keeper.wait(timeout=5)
