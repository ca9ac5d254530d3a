"""The product as a person starts it: `bin/run` in a folder and namespaces of its own."""

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
START_SECONDS = 120
PRELUDE = """
import json
from ipaddress import IPv4Address, IPv4Network
from django.contrib.auth.models import User
from vpnportal import services
from vpnportal.models import *
tunnel, user = Tunnel.objects.get(name="ipsec001"), User.objects.order_by("pk").first()
def say(value): print(json.dumps(value, default=str))
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


class RunningPortal:
    """A running `bin/run`; `name` makes its state folder and its namespaces its own."""

    def __init__(self, name: str, *arguments: str, **environment: str) -> None:
        # Two workers of pytest may each have a product for the same folder of tests.
        name += os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
        parent = Path(os.environ.get("VPNPORTAL_STATE", ROOT / "var"))
        self.state = parent / name
        self.prefix = os.environ.get("VPNPORTAL_LAB", "vt") + name
        self.environment = {
            **os.environ,
            **environment,
            "VPNPORTAL_STATE": str(self.state),
            "VPNPORTAL_LAB": self.prefix,
        }
        self.arguments = arguments or ("--port", "0")
        self.output = ""

    def start(self) -> RunningPortal:
        """Start it and read what it prints, up to its last block."""
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
            self.output += line
            if line.startswith("Try: "):
                return self
        raise AssertionError(f"bin/run ended before it served anything:\n{self.output}")

    def stop(self) -> None:
        """As Ctrl-C or a service manager would; everything it made is gone afterwards."""
        self._running.send_signal(signal.SIGTERM)
        self._running.wait(timeout=60)

    def printed(self, label: str) -> str:
        """The value of a line of the last block, such as `URL`."""
        found = re.search(rf"^{re.escape(label)}: (.*)$", self.output, re.MULTILINE)
        assert found, self.output
        return found[1]

    def run(self, *command: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        """A command in the checkout, for this product."""
        return subprocess.run(
            command, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=check
        )

    def on(self, host: str, *command: str) -> subprocess.CompletedProcess[str]:
        """A command on a host of the laboratory."""
        return self.run("ip", "netns", "exec", f"{self.prefix}-{host}", *command)

    def ping(self, target: str = "10.1.255.92", host: str = "server") -> bool:
        """Whether one echo request is answered within a second."""
        return self.on(host, "ping", "-c", "1", "-W", "1", target).returncode == 0

    def process(self, word: str, host: str = "") -> int:
        """The one process of this product that is what `word` says, on a host or anywhere."""
        found = self.processes(word, host)
        assert len(found) == 1, (word, found)
        return found[0]

    def processes(self, word: str, host: str = "") -> list[int]:
        """All processes of this product that are what `word` says."""
        return [pid for pid in self._mine(host) if word in _words(pid)]

    def _mine(self, host: str) -> list[int]:
        if host:
            listed = self.run("ip", "netns", "pids", f"{self.prefix}-{host}", check=True).stdout
            return [int(pid) for pid in listed.split()]
        mark = f"VPNPORTAL_LAB={self.prefix}\0".encode()
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and (mark in read(entry / "environ") or self._named_in(entry))
        ]

    def _named_in(self, entry: Path) -> bool:
        """Redis writes a title over its environment; its socket is in it."""
        return str(self.state).encode() in read(entry / "cmdline")

    def device_key(self) -> str:
        """The preshared key that the customer's device expects, as `lab status` prints it."""
        status = self.run(PYTHON, "manage.py", "lab", "status", check=True).stdout
        found = re.search(r"preshared key: (\S+)", status)
        assert found, status
        return found[1]

    def do(self, code: str, **names: str) -> Any:
        """Run code with the services at hand, as the pages do; the answer is what it `say`s."""
        given = "".join(f"{name} = {value!r}\n" for name, value in names.items())
        done = self.run(PYTHON, "manage.py", "shell", "-v0", "-c", PRELUDE + given + code)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def fill_in(self) -> None:
        """The example's parameters, as the customer's device expects them; no translation yet."""
        self.do(FILL_IN, KEY=self.device_key())

    def apply(self, code: str = "") -> dict[str, Any]:
        """Edit, apply, and wait until the revision has its outcome."""
        waiting = """
import time
revision = services.apply(Tunnel.objects.get(pk=tunnel.pk), user)
while revision.unfinished:
    time.sleep(0.02)
    revision.refresh_from_db()
say({name: getattr(revision, name) for name in ("number", "outcome", "reason", "steps")})
"""
        return self.do(code + waiting)


def read(file: Path) -> bytes:
    """What a file holds; nothing once its process is gone."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _words(pid: int) -> set[str]:
    """What a process is called: its words, its program's name; nothing for a mere keeper."""
    text = read(Path(f"/proc/{pid}/cmdline")).decode(errors="replace").replace(" ", "\0")
    words = {part.rpartition("/")[2] for part in text.split("\0")}
    return set() if words & {"keep", "honcho", "setpriv", "sh", "unshare"} else words


def wait_for(what: Callable[[], object], seconds: float) -> float:
    """How many seconds it took until `what` was true; AssertionError when it took too long."""
    began = time.monotonic()
    while not what():
        took = time.monotonic() - began
        assert took < seconds, f"not within {seconds} seconds"
        time.sleep(0.1)
    return time.monotonic() - began
