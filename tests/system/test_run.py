"""`bin/run` as a person starts and ends it, in every way in which it can end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running_portal import ROOT, RunningPortal, wait_for


class Run(RunningPortal):
    """One bin/run, and what is left of it."""

    def start(self) -> Run:
        self.output = ""
        super().start()
        return self

    @property
    def pid(self) -> int:
        return self._running.pid

    def refused(self, *arguments: str, **environment: str) -> str:
        """What a second bin/run in the same folder says, which must not start anything."""
        done = subprocess.run(
            [str(ROOT / "bin" / "run"), *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1
        return done.stderr

    def everything(self) -> dict[int, str]:
        """Everything that was started for this state folder and has not ended, by process id."""
        mark = f"VPNPORTAL_RUN={self.state}/".encode()
        return {
            int(entry.name): (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and mark in _environment(entry)
        }

    def namespaces(self) -> list[str]:
        return [path.name for path in Path("/run/netns").glob(f"{self.prefix}-*")]

    def gone(self) -> bool:
        return not self.everything() and not self.namespaces()

    def user(self, word: str) -> int:
        """As whom the process that `word` names runs."""
        return Path(f"/proc/{self.process(word)}").stat().st_uid


def _environment(entry: Path) -> bytes:
    try:
        return (entry / "environ").read_bytes()
    except OSError:
        return b""


def own_folder(name: str) -> Run:
    if os.geteuid() != 0:
        pytest.skip("The laboratory needs root, which alone may make network namespaces.")
    return Run(name)


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """One that goes on running while it is looked at."""
    running = own_folder("r").start()
    yield running
    running.stop()
    assert running.gone()


@pytest.fixture
def folder() -> Iterator[Run]:
    """A folder for one that is started and ended by the test, which leaves nothing behind."""
    run = own_folder("e")
    yield run
    assert run.gone()


def page(run: Run) -> str:
    with urllib.request.urlopen(run.printed("URL"), timeout=10) as answer:  # noqa: S310 our own
        assert answer.status == 200
        return answer.url


def test_the_last_block_has_all_that_a_person_needs(run):
    *_, url, user, password, command = run.output.splitlines()

    assert re.fullmatch(r"URL: http://127\.0\.0\.1:\d+/", url)
    assert user == "User name: admin"
    assert password == f"Password: {(run.state / 'password').read_text().strip()}"
    assert command == (
        f"Try: VPNPORTAL_LAB={run.prefix} .venv/bin/python manage.py"
        " lab exec server ping -c 3 10.1.255.92"
    )


def test_the_portal_answers_at_that_address(run):
    assert page(run).startswith(run.printed("URL"))


def test_only_the_concentrators_worker_and_watch_are_root(run):
    users = {word: run.user(word) == 0 for word in ("beat", "redis-server", "worker", "watch")}
    web = [pid for pid, command in run.everything().items() if "-m gunicorn" in command]
    portal = [pid for pid in web if Path(f"/proc/{pid}").stat().st_uid != 0]
    status = Path(f"/proc/{portal[0]}/status").read_text()

    assert users == {"beat": False, "redis-server": False, "worker": True, "watch": True}
    assert len(portal) == 3, "gunicorn and its two workers"
    assert re.findall(r"^Cap\w+:\t(\w+)$", status, re.M) == ["0" * 16] * 5
    assert "NoNewPrivs:\t1" in status


def test_what_root_writes_cannot_be_moved_by_the_portals_user(run):
    """Else a link in place of a log would make root write wherever that user wants."""
    owners = {path: path.stat().st_uid for path in (run.state, run.state / "log")}
    secrets = [run.state / "password", run.state / "lab" / "peer" / "swanctl.conf"]
    secrets += list((run.state / "keys").iterdir())

    assert set(owners.values()) == {0}
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}


def test_a_second_one_in_the_same_folder_is_refused(run):
    assert run.refused() == (
        f"Another bin/run (process {run.pid}) uses {run.state}; stop it, or set VPNPORTAL_STATE.\n"
    )


def test_a_second_one_with_the_same_namespaces_is_refused(run):
    other = run.state.parent / "o"

    assert run.refused("--port", "0", VPNPORTAL_STATE=str(other)) == (
        f"The laboratory {run.prefix} is used by the bin/run of {run.state}/; set VPNPORTAL_LAB.\n"
    )
    assert run.ping("10.2.0.1")


def test_a_port_in_use_is_told_in_one_sentence(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        said = folder.refused("--port", str(port))

    assert said == f"Port {port} is in use; choose another with --port N.\n"
    assert folder.gone()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_no_process_and_no_namespace(folder, how):
    folder.start()

    os.kill(folder.pid, how)

    assert folder._running.wait(timeout=30) == 128 + how
    assert folder.gone()


def test_killed_it_leaves_nothing_and_starts_again_with_the_same_password(folder):
    password = folder.start().printed("Password")

    os.kill(folder.pid, signal.SIGKILL)
    folder._running.wait(timeout=5)
    wait_for(folder.gone, 20)

    assert folder.start().printed("Password") == password
    folder.stop()
    assert folder.gone()


def test_it_starts_again_at_once_after_everything_was_killed(folder):
    folder.start()
    children = Path(f"/proc/{folder.pid}/task/{folder.pid}/children").read_text().split()

    for pid in [folder.pid, *map(int, children)]:
        os.kill(pid, signal.SIGKILL)
    folder._running.wait(timeout=5)

    folder.start()
    assert page(folder)
    folder.stop()
    assert folder.gone()


def test_it_ends_when_the_process_manager_is_killed(folder):
    folder.start()
    (manager,) = [
        int(pid)
        for pid in Path(f"/proc/{folder.pid}/task/{folder.pid}/children").read_text().split()
        if b"honcho" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]

    os.kill(manager, signal.SIGKILL)

    assert folder._running.wait(timeout=30) == 1
    assert folder.gone()
