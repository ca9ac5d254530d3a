"""The machine of an upgrade: its state folder, laboratory and port outlive the portal on it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import vici

from tests import portal_database
from tests.running_portal import ROOT, laboratory_prefix, state_folder

CONCENTRATOR = "hou02-vpn01"
PING_SECONDS = 0.01


class Flow(NamedTuple):
    """Packets from an address of a host of the laboratory through the tunnel of a connection."""

    connection: str
    host: str
    source: str
    target: str


class Machine:
    """A state folder and network namespaces; `name` makes both its own."""

    def __init__(self, name: str) -> None:
        self.state = state_folder(name)
        self.prefix = laboratory_prefix(name)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        # What bin/run exports; bin/stop finds the processes of this machine by VPNPORTAL_RUN.
        self.environment = {
            **os.environ,
            "VPNPORTAL_STATE": str(self.state),
            "VPNPORTAL_LAB": self.prefix,
            "VPNPORTAL_NAMESPACE": f"{self.prefix}-concentrator",
            "VPNPORTAL_CONCENTRATOR": CONCENTRATOR,
            "VPNPORTAL_HTTPS": "false",
            "VPNPORTAL_OPERATORS_NEED_SECOND_FACTOR": "false",
            "VPNPORTAL_PORT": str(self.port),
            "VPNPORTAL_RUN": f"{self.state}/",
            "PYTHONUNBUFFERED": "1",
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def password(self) -> str:
        """The password of the user `admin`, where the first release wrote it."""
        return self.password_file.read_text().strip()

    @property
    def password_file(self) -> Path:
        return self.state / "keys" / "password"

    @property
    def device(self) -> Path:
        """The swanctl file of the customer's device."""
        return self.state / "lab" / "peer" / "swanctl.conf"

    @contextmanager
    def cleaned_up(self) -> Iterator[Machine]:
        """Start with an empty state folder; end all processes and namespaces afterwards.

        They end also when this process is killed.
        """
        stop = [str(ROOT / "bin" / "stop")]
        subprocess.run([*stop, str(self.state)], check=True)
        shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir(parents=True)
        hosts = ("server", "concentrator", "peer", "customer")
        namespaces = "".join(f"{self.prefix}-{host}\n" for host in hosts)
        (self.state / "namespaces").write_text(namespaces)
        guard = subprocess.Popen([*stop, "--later", str(self.state)])
        try:
            yield self
        finally:
            guard.terminate()
            guard.wait(timeout=60)

    def inside(self, host: str, *command: str) -> list[str]:
        """Return the command line that runs `command` on a host of the laboratory."""
        return ["ip", "netns", "exec", f"{self.prefix}-{host}", *command]

    def on(self, host: str, *command: str) -> str:
        """Return the output of a command on a host of the laboratory."""
        done = subprocess.run(self.inside(host, *command), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def answers(self, address: str) -> bool:
        """Return True if the address answers the server within a second."""
        command = self.inside("server", "ping", "-n", "-q", "-c", "1", "-W", "1", address)
        return subprocess.run(command, capture_output=True).returncode == 0

    @contextmanager
    def pinging(self, flows: Iterable[Flow]) -> Iterator[dict[Flow, list[float]]]:
        """Ping in each flow 100 times a second meanwhile.

        Once the block is left, the dictionary has the times of the lost pings by flow.
        """
        lost: dict[Flow, list[float]] = {}
        with ExitStack() as pings:
            reads = {flow: pings.enter_context(self._pinging(flow)) for flow in flows}
            yield lost
        lost |= {flow: read() for flow, read in reads.items()}

    @contextmanager
    def _pinging(self, flow: Flow) -> Iterator[Callable[[], list[float]]]:
        file = self.state / f"ping-{flow.source}-{flow.target}"
        ping = ("ping", "-n", "-D", "-i", str(PING_SECONDS), "-I", flow.source, flow.target)
        command = self.inside(flow.host, *ping)
        with file.open("w") as output, subprocess.Popen(command, stdout=output) as process:
            try:
                yield lambda: _lost(file.read_text())
            finally:
                process.send_signal(signal.SIGINT)

    @contextmanager
    def listening(self) -> Iterator[dict[str, float]]:
        """Yield a dictionary that gets the time of the first initiation of each connection."""
        began_at: dict[str, float] = {}
        ended = threading.Event()

        def listen() -> None:
            for _, body in session.listen(["log"], timeout=0.1):
                text, name = (body or {}).get("msg", b""), (body or {}).get("ikesa-name", b"")
                if text.startswith(b"initiating "):
                    began_at.setdefault(name.decode(), time.time())
                if ended.is_set():
                    return

        with self._charon() as session:
            thread = threading.Thread(target=listen)
            thread.start()
            try:
                yield began_at
            finally:
                ended.set()
                thread.join()

    def open_charon_to_gateway(self) -> None:
        """Give the running charon's socket to the gateway's user, as docs/operations.md says."""
        folder = self.state / "lab" / "concentrator"
        for file in (folder, folder / "charon.vici"):
            shutil.chown(file, group="vpnportal-gateway")
            file.chmod(0o770)

    @contextmanager
    def _charon(self) -> Iterator[vici.Session]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.state / "lab" / "concentrator" / "charon.vici"))
            yield vici.Session(connection)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of the portal's database."""
        return [tuple(row.values()) for row in portal_database.rows(self.state, query, *values)]

    def write(self, statement: str, *values: object) -> None:
        """Change rows of the portal's database."""
        portal_database.write(self.state, statement, *values)

    def log(self, name: str) -> Log:
        """Return the log of a process of the portal, from here on."""
        return Log(self.state / "log" / f"{name}.log")

    def charon_log(self) -> CharonLog:
        """Return the log of the concentrator's charon, from here on."""
        return CharonLog(self.state / "lab" / "concentrator" / "charon.log")

    def security_associations(self) -> dict[str, set[bytes]]:
        """Return the SPIs of the IKE_SAs and of their installed CHILD_SAs by connection.

        charon lists a CHILD_SA for five seconds after its rekey, no longer as INSTALLED.
        """
        with self._charon() as session:
            listed = list(session.list_sas())
        spis: dict[str, set[bytes]] = {}
        for name, ike_sa in (pair for entry in listed for pair in entry.items()):
            spis.setdefault(name, set()).update((ike_sa["initiator-spi"], ike_sa["responder-spi"]))
            for child_sa in ike_sa["child-sas"].values():
                if child_sa["state"] == b"INSTALLED":
                    spis[name].update((child_sa["spi-in"], child_sa["spi-out"]))
        return spis

    def kernel(self) -> str:
        """Return the rules, map elements and addresses of the concentrator.

        A rule that is written again has another handle. Counters are left out.
        """
        rules = self.on("concentrator", "nft", "--handle", "--stateless", "list", "ruleset")
        return rules + self.on("concentrator", "ip", "-oneline", "address")


def _lost(printed: str) -> list[float]:
    """Return the times of the pings without an answer; the last one may still be on its way."""
    (sent,) = re.findall(r"(\d+) packets transmitted", printed)
    times = dict(re.findall(r"\[([\d.]+)\] .*icmp_seq=(\d+) ttl", printed))
    answered = {int(number): float(at) for at, number in times.items()}
    lost = sorted(set(range(1, int(sent))) - answered.keys())
    # The answer to the ping before it, and the interval between both.
    known = sorted(answered)
    befores = ((number, known[max(bisect(known, number) - 1, 0)]) for number in lost)
    return [answered[old] + (number - old) * PING_SECONDS for number, old in befores]


class Log:
    """The lines that a log file gets after this object is made."""

    def __init__(self, file: Path) -> None:
        self._file, self._start = file, file.stat().st_size if file.exists() else 0

    def find(self, pattern: str) -> list[str]:
        """Return the matches of the pattern, or of its group, in those lines."""
        with self._file.open(errors="replace") as stream:
            stream.seek(self._start)
            return re.findall(pattern, stream.read(), re.MULTILINE)


class CharonLog(Log):
    """The lines that the concentrator's charon logs after this object is made."""

    def commands(self) -> list[str]:
        """Return the vici commands in those lines that do more than read, in their order."""
        requests = self.find(r"vici client \d+ requests: (\S+)")
        return [name for name in requests if not re.match("get-|list-|stats$|version$", name)]

    def negotiations(self) -> Counter[str]:
        """Return the number of IKE_SAs that were established, by connection."""
        return Counter(self.find(r"IKE_SA (ctx\d+)\[\d+\] established"))
