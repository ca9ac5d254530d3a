"""The portal as an operator starts it: `bin/run` with its own folder and namespaces."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PYTHON = str(ROOT / ".venv" / "bin" / "python")
# A machine under load is slower than the one for which the tests give their seconds.
PATIENCE = 3
PRELUDE = """
import json
from ipaddress import IPv4Address, IPv4Network
from django.contrib.auth.models import User
from vpnportal import services
from vpnportal.models import *
tunnel, user = Tunnel.objects.get(name="ipsec001"), User.objects.order_by("pk").first()
def say(value): print(json.dumps(value, default=str))
"""
# Runs each piece of code that it reads, and answers with the output and the error of each.
SERVE_CODE = """
import contextlib, io, json, sys, traceback
import django
django.setup()
from django.db import connections
for line in sys.stdin:
    output, error = io.StringIO(), ""
    try:
        with contextlib.redirect_stdout(output):
            exec(json.loads(line), {})
    except SystemExit:
        pass
    except BaseException:
        error = traceback.format_exc()
    connections.close_all()
    print(json.dumps([output.getvalue(), error]), flush=True)
"""
FILL_IN = """
if tunnel.revisions.exists():
    raise SystemExit
for name, value in {
    "remote_peer": "203.0.113.2",
    "phase_one_encryption": "AES256", "phase_one_authentication": "SHA256", "phase_one_group": 5,
    "phase_two_encryption": "AES256", "phase_two_authentication": "SHA256", "phase_two_group": 5,
}.items():
    services.edit(tunnel, name, value, user)
services.set_preshared_key(tunnel, KEY, user)
services.add_remote_subnet(tunnel, IPv4Network("192.168.10.0/24"), user)
"""


def laboratory_prefix(name: str) -> str:
    """Return the prefix of a test's namespaces, different in each worker of pytest."""
    return os.environ.get("VPNPORTAL_LAB", "vt") + _name_in_worker(name)


def state_folder(name: str) -> Path:
    """Return the state folder of a test's portal, different in each worker of pytest."""
    return Path(os.environ.get("VPNPORTAL_STATE", ROOT / "var")) / _name_in_worker(name)


def _name_in_worker(name: str) -> str:
    return name + os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")


class RunningPortal:
    """A `bin/run` whose state folder and namespaces have the name `name`."""

    def __init__(self, name: str, *arguments: str, **environment: str) -> None:
        self.state = state_folder(name)
        self.prefix = laboratory_prefix(name)
        self.environment = {
            **os.environ,
            **environment,
            "VPNPORTAL_STATE": str(self.state),
            "VPNPORTAL_LAB": self.prefix,
        }
        self.arguments = arguments or ("--port", "0")
        self.output = ""
        self._shell: subprocess.Popen[str] | None = None

    def start(self) -> RunningPortal:
        """Start bin/run and read its output, up to the last line of its last block.

        With VPNPORTAL_MIGRATED, a stopped PostgreSQL from bin/test, it begins with a copy of that.
        The migrations are a third of the work of a start.
        """
        migrated = self.environment.get("VPNPORTAL_MIGRATED", "")
        database = self.state / "postgresql"
        if migrated and Path(migrated).exists() and not (database / "data").exists():
            self.state.mkdir(parents=True, exist_ok=True)
            extract = ["tar", "--extract", "--file", migrated, "--directory", str(self.state)]
            subprocess.run(extract, check=True)
        self._running = subprocess.Popen(
            [str(ROOT / "bin" / "run"), *self.arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._running.stdout
        for line in self._running.stdout:
            # For a start that does not end.
            print(line, end="")
            self.output += line
            if line.startswith("Try: "):
                return self
        raise AssertionError(f"bin/run ended before it served anything:\n{self.output}")

    def stop(self) -> None:
        """Stop bin/run as a service manager does; it removes all that it made."""
        if self._shell:
            self._shell.kill()
            self._shell.communicate()
            self._shell = None
        self._running.send_signal(signal.SIGTERM)
        self._running.wait(timeout=60 * PATIENCE)

    def printed(self, label: str) -> str:
        """Return the value of a line of the last block, such as `URL`."""
        match = re.search(rf"^{re.escape(label)}: (.*)$", self.output, re.MULTILINE)
        assert match, self.output
        return match[1]

    def run(self, *command: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command in the checkout, with the environment of this portal."""
        return subprocess.run(
            command, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=check
        )

    def on(self, host: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on a host of the laboratory."""
        return self.run("ip", "netns", "exec", f"{self.prefix}-{host}", *command)

    def ping(self, target: str = "10.1.255.92", host: str = "server") -> bool:
        """Return True if the target answers an echo request within a second."""
        return self.on(host, "ping", "-c", "1", "-W", "1", target).returncode == 0

    def process(self, word: str, host: str = "") -> int:
        """Return the id of the only process with this word in its command, on a host or on all."""
        pids = self.processes(word, host)
        assert len(pids) == 1, (word, pids)
        return pids[0]

    def processes(self, word: str, host: str = "") -> list[int]:
        """Return the ids of this portal's processes with this word in their command."""
        return [pid for pid in self._pids(host) if word in _command_words(pid)]

    def run_all(self, *words: str) -> bool:
        """Return True if each word is in the command of a process of this portal."""
        return set(words) <= set().union(*map(_command_words, self._pids("")))

    def _pids(self, host: str) -> list[int]:
        if host:
            listed = self.run("ip", "netns", "pids", f"{self.prefix}-{host}", check=True).stdout
            return [int(pid) for pid in listed.split()]
        mark = f"VPNPORTAL_LAB={self.prefix}\0".encode()
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit()
            and (mark in read(entry / "environ") or self._names_state(entry))
        ]

    def _names_state(self, entry: Path) -> bool:
        """Return True for Redis: it overwrites its environment with a title that has its socket."""
        return str(self.state).encode() in read(entry / "cmdline")

    @property
    def kernel_esp(self) -> bool:
        """Return True if the laboratory's kernel carries ESP, False if charon does."""
        return (self.state / "lab" / "dataplane").read_text().startswith("kernel")

    def device_key(self) -> str:
        """Return the preshared key of the customer's device, as `lab status` prints it."""
        status = self.run(PYTHON, "manage.py", "lab", "status", check=True).stdout
        match = re.search(r"preshared key: (\S+)", status)
        assert match, status
        return match[1]

    def do(self, code: str, **names: str) -> Any:
        """Run code in the portal's shell, after PRELUDE; return what it passes to `say`."""
        assignments = "".join(f"{name} = {value!r}\n" for name, value in names.items())
        if self._shell is None:
            self._shell = subprocess.Popen(
                [PYTHON, "-c", SERVE_CODE],
                env={**self.environment, "DJANGO_SETTINGS_MODULE": "vpnportal.settings"},
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._shell.stdin and self._shell.stdout
        print(json.dumps(PRELUDE + assignments + code), file=self._shell.stdin, flush=True)
        output, error = json.loads(self._shell.stdout.readline())
        assert not error, error
        return json.loads(output) if output.strip() else None

    def fill_in(self) -> None:
        """Enter the parameters of the example, without its translation, and the device's key."""
        self.do(FILL_IN, KEY=self.device_key())

    def apply(self, code: str = "") -> dict[str, Any]:
        """Run `code`, apply the draft, and return the revision with its outcome."""
        apply_and_wait = """
import time
revision = services.apply(Tunnel.objects.get(pk=tunnel.pk), user)
while revision.unfinished:
    time.sleep(0.02)
    revision.refresh_from_db()
say({name: getattr(revision, name) for name in ("number", "outcome", "reason", "steps")})
"""
        return self.do(code + apply_and_wait)


def read(file: Path) -> bytes:
    """Return the content of a file; nothing if its process has ended."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _command_words(pid: int) -> set[str]:
    """Return the words of a process's command line; none for a program that runs another."""
    text = read(Path(f"/proc/{pid}/cmdline")).decode(errors="replace").replace(" ", "\0")
    words = {part.rpartition("/")[2] for part in text.split("\0")}
    return set() if words & {"keep", "honcho", "setpriv", "sh", "unshare"} else words


def wait_for(condition: Callable[[], object], seconds: float) -> float:
    """Return the seconds until the condition was true.

    `seconds` are those of a quiet machine. Raises AssertionError after PATIENCE times as many. A
    test that promises a duration compares the result.
    """
    started_at = time.monotonic()
    while not condition():
        took = time.monotonic() - started_at
        assert took < seconds * PATIENCE, f"not within {took:.0f} seconds"
        time.sleep(0.1)
    return time.monotonic() - started_at
