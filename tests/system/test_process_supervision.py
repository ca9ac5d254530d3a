"""`bin/keep` itself: it restarts its command, and the command ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running_portal import ROOT, wait_for

# Long enough for a busy machine: nothing here is a matter of speed.
SECONDS = 20
KEEP = str(ROOT / "bin" / "keep")
# Logs each start and a SIGTERM; its last argument identifies it.
COMMAND = [
    "sh",
    "-c",
    'echo started; trap "echo stopped; exit" TERM; sleep 60 & wait',
    "supervised",
]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    assert command_pids(tmp_path) == []


def keep(state: Path, *prefix: str) -> subprocess.Popen:
    environment = {**os.environ, "VPNPORTAL_STATE": str(state)}
    argv = [*prefix, KEEP, "it", *COMMAND, str(state)]
    started = subprocess.Popen(argv, env=environment)
    wait_for(lambda: log(state).exists() and "started" in log(state).read_text(), SECONDS)
    return started


def log(state: Path) -> Path:
    return state / "log" / "it.log"


def command_pids(state: Path) -> list[int]:
    """Return the ids of the processes of COMMAND for this folder."""
    tail = f"supervised\0{state}\0".encode()
    pids = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if command.startswith(b"sh\0") and command.endswith(tail):
            pids.append(int(entry.name))
    return pids


def test_keep_restarts_a_command_that_ends_after_a_second(state):
    keeper = keep(state)
    (before,) = command_pids(state)

    os.kill(before, signal.SIGKILL)

    assert wait_for(lambda: command_pids(state) not in ([], [before]), SECONDS) > 0.5
    assert "ended with status 137" in log(state).read_text()
    keeper.terminate()
    keeper.wait(timeout=SECONDS)


def test_keep_passes_sigterm_to_its_command_and_does_not_restart_it(state):
    keeper = keep(state)

    keeper.terminate()

    assert keeper.wait(timeout=SECONDS) == 0
    assert log(state).read_text() == "started\nstopped\n"


def test_the_command_ends_when_keep_is_killed(state):
    keeper = keep(state)

    keeper.kill()
    keeper.wait(timeout=SECONDS)

    wait_for(lambda: command_pids(state) == [], SECONDS)


def test_keep_ends_when_its_parent_is_killed(state):
    # Because of the second command, this shell does not replace itself with bin/keep.
    parent = keep(state, "sh", "-c", '"$@"; true', "parent")

    parent.kill()
    parent.wait(timeout=SECONDS)

    wait_for(lambda: command_pids(state) == [], SECONDS)


LIMIT = 10 << 20


def test_s6_a_log_is_private_and_rotated_while_its_process_runs(state):
    if os.geteuid() != 0:
        pytest.skip("Only root can run a command as another user.")
    # It also tries to empty its own log, as a process that was broken into would.
    write = f'yes "$(seq -s " " 100)" | head -c {2 * LIMIT + 100}; true >/proc/self/fd/1; echo end'
    command = ["setpriv", "--reuid", "nobody", "--clear-groups", "sh", "-c", f"{write}; sleep 60"]
    environment = {**os.environ, "VPNPORTAL_STATE": str(state)}
    keeper = subprocess.Popen([KEEP, "it", *command], env=environment)

    wait_for(lambda: log(state).exists() and log(state).read_text().endswith("end\n"), SECONDS)

    earlier = state / "log" / "it.log.1"
    assert earlier.stat().st_size - LIMIT in (0, 1)
    assert 100 < log(state).stat().st_size < 1000, "nothing is lost, and nothing was emptied"
    assert log(state).stat().st_mode & 0o777 == earlier.stat().st_mode & 0o777 == 0o640
    keeper.terminate()
    keeper.wait(timeout=SECONDS)


def test_a_log_that_somebody_removes_begins_again_and_the_command_goes_on(state):
    keeper = keep(state)
    log(state).unlink()
    (before,) = command_pids(state)
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: command_pids(state) not in ([], [before]), SECONDS)

    keeper.terminate()

    assert keeper.wait(timeout=SECONDS) == 0
