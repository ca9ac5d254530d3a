"""The start of `bin/run`, and every way in which it can end."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running_portal import PATIENCE, ROOT, RunningPortal, read, wait_for

# Starts bin/run nine times. On a busy machine a start took 34 s here and 220 to 420 s in a guest,
# where each other file starts and ends bin/run. The only ping here goes beside the tunnels.
pytestmark = pytest.mark.own_kernel


class Run(RunningPortal):
    """A bin/run with its processes and namespaces."""

    def start(self) -> Run:
        self.output = ""
        super().start()
        return self

    @property
    def pid(self) -> int:
        return self._running.pid

    def refused(self, *arguments: str, **environment: str) -> str:
        """Start a second bin/run in the same folder, which must refuse; return its message."""
        done = subprocess.run(
            [str(ROOT / "bin" / "run"), *arguments],
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1
        return done.stderr

    def commands(self) -> dict[int, str]:
        """Return the command of each running process of this state folder, by process id."""
        mark = f"VPNPORTAL_RUN={self.state}/".encode()
        return {
            int(entry.name): read(entry / "cmdline").replace(b"\0", b" ").decode()
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and mark in read(entry / "environ")
        }

    def namespaces(self) -> list[str]:
        return [path.name for path in Path("/run/netns").glob(f"{self.prefix}-*")]

    def has_ended(self) -> bool:
        return not self.commands() and not self.namespaces()

    def user(self, word: str) -> int:
        """Return the user id of the process with this word in its command."""
        return Path(f"/proc/{self.process(word)}").stat().st_uid


def make_run(name: str) -> Run:
    if os.geteuid() != 0:
        pytest.skip("The laboratory needs root, which alone may make network namespaces.")
    return Run(name)


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Yield a bin/run for all tests that do not end it."""
    running = make_run("r").start()
    yield running
    running.stop()
    assert running.has_ended()


@pytest.fixture
def new_run() -> Iterator[Run]:
    """Yield a bin/run without an earlier state, which the test starts and ends without remains."""
    run = make_run("e")
    shutil.rmtree(run.state, ignore_errors=True)
    yield run
    if run.commands():
        # The test failed.
        run.stop()
        wait_for(run.has_ended, 20)
    assert run.has_ended()


def page(run: Run) -> str:
    with urllib.request.urlopen(run.printed("URL"), timeout=10) as answer:  # noqa: S310 our own
        assert answer.status == 200
        return answer.url


def test_the_last_block_has_url_user_password_and_a_command(run):
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


HEAD = b"Host: 127.0.0.1\r\nX-Forwarded-For: 192.0.2.1\r\n"
SLOW_REQUESTS = {
    "its header": b"GET / HTTP/1.1\r\n" + HEAD + b"X-Slow: ",
    # Django reads the body for the CSRF token of the form.
    "its body": b"POST /sign-in/ HTTP/1.1\r\n"
    + HEAD
    + b"Cookie: csrftoken="
    + b"a" * 32
    + b"\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    + b"Content-Length: 100000\r\n\r\na=",
    "nothing of the response": b"GET /static/app.js HTTP/1.1\r\n" + HEAD + b"\r\n",
}


def test_s2_two_hundred_slow_clients_at_once_do_not_delay_a_page(run):
    port = int(run.printed("URL").rstrip("/").rpartition(":")[2])
    with contextlib.ExitStack() as stack:
        slow = {name: [] for name in SLOW_REQUESTS}
        for number in range(201):
            name = list(SLOW_REQUESTS)[number % 3]
            # From many addresses: the proxy limits the connections of each.
            source = (f"127.0.1.{number % 20 + 1}", 0)
            client = socket.create_connection(("127.0.0.1", port), 10, source_address=source)
            client.sendall(SLOW_REQUESTS[name])
            slow[name].append(stack.enter_context(client))

        for _ in range(10):
            began = time.monotonic()
            assert page(run)
            assert time.monotonic() - began < PATIENCE
            for client in slow["its body"]:
                client.sendall(b" ")

        # And they are not kept for long.
        silent = slow["its header"][0]
        silent.settimeout(20)
        assert silent.recv(1000) == b""


def test_worker_and_monitor_have_a_user_of_their_own(run):
    gunicorn = [pid for pid, command in run.commands().items() if "-m gunicorn" in command]
    web = {Path(f"/proc/{pid}").stat().st_uid for pid in gunicorn} - {0}
    gateway_words = ("concentrator.hou02-vpn01", "watch", "guard_routes")
    gateway = {run.user(word) for word in gateway_words}

    assert web == {run.user("beat")} == {run.user("portal")} == {run.user("redis-server")}
    assert len(gateway) == 1
    assert not gateway & {0, *web}


def test_secrets_are_in_folders_of_root_and_closed_to_others(run):
    """A link in place of a log would let another user choose the file that root writes."""
    owners = {run.state / name: (run.state / name).stat().st_uid for name in ("", "log", "keys")}
    secrets = [run.state / "password", run.state / "lab" / "peer" / "swanctl.conf"]
    keys = list((run.state / "keys").rglob("*.key"))

    assert set(owners.values()) == {0}
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o640}
    assert {path.stat().st_uid for path in keys} == {0}


def test_s17_a_run_prints_no_file_that_the_portals_user_names_as_password(new_run):
    """A link in the place of a password would show a file of root's on the terminal."""
    secret = new_run.state.parent / "secret of root"
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.write_text("TOP SECRET\n")
    (new_run.state / "keys").mkdir(parents=True)
    (new_run.state / "keys" / "password").symlink_to(secret)

    printed = new_run.start().printed("Password")

    new_run.stop()
    assert printed == (new_run.state / "password").read_text().strip() != "TOP SECRET"


def test_a_second_run_in_the_same_folder_is_refused(run):
    assert run.refused() == (
        f"Another bin/run (process {run.pid}) uses {run.state}; stop it, or set VPNPORTAL_STATE.\n"
    )


def test_a_second_run_with_the_same_namespaces_is_refused(run):
    other = run.state.parent / "o"

    assert run.refused("--port", "0", VPNPORTAL_STATE=str(other)) == (
        f"The laboratory {run.prefix} is used by the bin/run of {run.state}/; set VPNPORTAL_LAB.\n"
    )
    assert run.ping("10.2.0.1")


def test_a_port_in_use_is_reported_in_a_sentence(new_run):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]

        message = new_run.refused("--port", str(port))

    assert message == f"Port {port} is in use; choose another with --port N.\n"
    assert new_run.has_ended()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_no_process_and_no_namespace(new_run, number):
    new_run.start()

    os.kill(new_run.pid, number)

    assert new_run._running.wait(timeout=30) == 128 + number
    assert new_run.has_ended()


def test_a_killed_run_leaves_nothing_and_starts_again_with_the_same_password(new_run):
    password = new_run.start().printed("Password")

    os.kill(new_run.pid, signal.SIGKILL)
    new_run._running.wait(timeout=5)
    wait_for(new_run.has_ended, 20)

    assert new_run.start().printed("Password") == password
    new_run.stop()
    assert new_run.has_ended()


@pytest.mark.timeout(400)  # It starts twice, with all migrations.
def test_a_laboratory_takes_over_the_database_of_a_run_without_one(new_run):
    """That one is an SQLite file, which no second user may open."""
    # The prepared PostgreSQL of bin/test would be the database of the first run already.
    new_run.environment["VPNPORTAL_MIGRATED"] = ""
    password = run_without_laboratory(new_run)

    new_run.start()

    assert "Copying " in new_run.output
    assert new_run.printed("Password") == password
    assert new_run.do("say(User.objects.get(username='admin').check_password(KEY))", KEY=password)
    new_run.stop()
    files = {file.name.partition("-")[0] for file in (new_run.state / "db").iterdir()}
    assert files == {"portal.sqlite3.copied"}


def run_without_laboratory(run: Run) -> str:
    """Start bin/run --no-lab, end it, and return the password that it printed."""
    command = [str(ROOT / "bin" / "run"), "--port", "0", "--no-lab"]
    with subprocess.Popen(command, env=run.environment, stdout=subprocess.PIPE, text=True) as bare:
        lines = []
        while not (lines and lines[-1].startswith("No concentrator")):
            lines.append(bare.stdout.readline())
            assert lines[-1], lines
        bare.terminate()
    assert run.has_ended()
    return re.search("Password: (.*)", "".join(lines))[1]


def test_a_run_starts_again_at_once_after_all_its_processes_were_killed(new_run):
    new_run.start()
    children = Path(f"/proc/{new_run.pid}/task/{new_run.pid}/children").read_text().split()

    for pid in [new_run.pid, *map(int, children)]:
        os.kill(pid, signal.SIGKILL)
    new_run._running.wait(timeout=5)

    new_run.start()
    assert page(new_run)
    new_run.stop()
    assert new_run.has_ended()


def test_a_run_ends_when_the_process_manager_is_killed(new_run):
    new_run.start()
    (manager,) = [
        int(pid)
        for pid in Path(f"/proc/{new_run.pid}/task/{new_run.pid}/children").read_text().split()
        if b"honcho" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]

    os.kill(manager, signal.SIGKILL)

    assert new_run._running.wait(timeout=30) == 1
    assert new_run.has_ended()
