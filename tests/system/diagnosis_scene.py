"""Two ends that can be set wrong, and what the portal then finds: for the tests of diagnosis.

The portal's worker is held while a test dials, so that only the end that is asked to starts.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import vici
from vici.exception import CommandException

from tests.running_portal import PYTHON, ROOT, RunningPortal, read, wait_for

HOSTED, REMOTE = "203.0.113.1", "203.0.113.2"
DEVICE = {
    "version": 1,
    "proposals": "aes256-sha256-modp1536",
    "id": REMOTE,
    "remote_id": HOSTED,
    "local_ts": "192.168.10.0/24",
    "remote_ts": "10.2.0.0/24",
    "esp_proposals": "aes256-sha256-modp1536",
    "key": "",
    "key_of": HOSTED,
    "connections": 1,
}
# What waits for a peer that is silent waits less here; charon reads it for each IKE_SA.
HASTE = """
charon {
    retransmit_timeout = 0.4
    retransmit_base = 1.2
    retransmit_tries = 3
    half_open_timeout = 2
}
"""
PLUGINS = re.compile(r"load = (.*)")
DESK = """
import json, sys
from vpnportal.reconciler.target import load_target
from vpnportal.gateway.vici.session import CharonSession
from vpnportal.models import *
from vpnportal.services.diagnosis import findings_of
from django.conf import settings
from django.utils import timezone
def tunnel(): return Tunnel.objects.get(name="ipsec001")
def desired(): return load_target(tunnel().concentrator, tunnel().pk).desired
def load():
    with CharonSession(settings.VICI_SOCKET) as charon:
        for several in (desired().secrets, desired().connections):
            assert not any(refusal for _, refusal in charon.load(several.values()))
def forget():
    with CharonSession(settings.VICI_SOCKET) as charon:
        for secret in desired().secrets: charon.unload_shared(secret)
def children(): return sorted(c for one in desired().connections.values() for c in one.children)
def found():
    kept = DiagnosticLog.objects.filter(tunnel=tunnel()).first()
    lines = kept.lines if kept else []
    return {
        "findings": [
            {"cause": one.cause.name, "field": one.field, "theirs": one.theirs, "ours": one.ours,
             "said": [one.text, one.advice, one.request, *one.lines]}
            for one in findings_of(tunnel())
        ],
        "roles": sorted({line["role"] for line in lines}),
        "oldest": min((line["at"] for line in lines), default=""),
        "kept": json.dumps(lines),
    }
for line in sys.stdin:
    print(json.dumps(eval(line)), flush=True)
"""


class Bench:
    """A portal whose tunnel is applied, and the customer's device, which a test may set wrong."""

    def __init__(self, portal: RunningPortal) -> None:
        self.portal = portal
        self.key = portal.device_key()
        self._since = ""
        self._file = portal.state / "lab" / "peer" / "diagnosis.conf"
        self._desk = subprocess.Popen(
            [PYTHON, "manage.py", "shell", "-v0", "-c", DESK],
            cwd=ROOT,
            env=portal.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for host in ("concentrator", "peer"):
            with (portal.state / "lab" / host / "strongswan.conf").open("a") as settings:
                settings.write(HASTE)
            self.session(host).reload_settings()

    def close(self) -> None:
        """End what was begun."""
        self._desk.stdin.close()
        self._desk.wait(10)

    def ask(self, expression: str) -> Any:
        """What an expression gives at the portal's side."""
        self._desk.stdin.write(expression + "\n")
        self._desk.stdin.flush()
        return json.loads(self._desk.stdout.readline())

    def session(self, host: str) -> vici.Session:
        """A new session with the charon of a host."""
        there = socket.socket(socket.AF_UNIX)
        there.connect(str(self.portal.state / "lab" / host / "charon.vici"))
        there.settimeout(10)
        return vici.Session(there)

    def set_device(self, **wrong: Any) -> None:
        """The device with the tunnel's settings, except for these."""
        self._file.write_text(_swanctl({**DEVICE, "key": self.key, **wrong}))
        uri = f"unix://{self.portal.state}/lab/peer/charon.vici"
        swanctl = ("swanctl", "--load-all", "--noprompt", "--clear", "--uri", uri, "--file")
        self.portal.run(*swanctl, str(self._file), check=True)

    def start_over(self) -> None:
        """End every association at both ends, and forget what was heard."""
        for host in ("concentrator", "peer"):
            session = self.session(host)
            for listed in list(session.list_sas()):
                for sa in listed.values():
                    number = sa["uniqueid"].decode()
                    with contextlib.suppress(CommandException):
                        request = {"ike-id": number, "force": "yes", "timeout": "50"}
                        list(session.terminate(request))
        self._since = self.ask("timezone.now().isoformat()")
        self.ask("load()")

    def dial(self, role: str, connection: str = "c0") -> None:
        """Let the portal's end begin (it is the initiator then), or the device."""
        if role == "initiator":
            session = self.session("concentrator")
            for child in self.ask("children()"):
                request = {"ike": "ctx1", "child": child, "timeout": "-1"}
                list(session.initiate(request))
        else:
            request = {"ike": connection, "child": "private", "timeout": "-1"}
            list(self.session("peer").initiate(request))

    def rekey(self, role: str) -> None:
        """Let one end ask for new keys of what is up."""
        session = self.session("concentrator" if role == "initiator" else "peer")
        for listed in list(session.list_sas()):
            for sa in listed.values():
                for child in sa["child-sas"].values():
                    session.rekey({"child-id": child["uniqueid"].decode()})

    def up(self) -> bool:
        """Whether a CHILD_SA is installed."""
        listed = self.session("concentrator").list_sas()
        return any(
            child["state"] == b"INSTALLED"
            for one in listed
            for sa in one.values()
            for child in sa["child-sas"].values()
        )

    def established(self, number: int) -> bool:
        """Whether charon has established so many IKE_SAs, of which some may have ended."""
        kept = self.ask("found()")
        return kept["oldest"] >= self._since and kept["kept"].count("established between") >= number

    def carried(self) -> bool:
        """Whether the portal heard that a CHILD_SA came up."""
        kept = self.ask("found()")
        return kept["oldest"] >= self._since and "established with SPIs" in kept["kept"]

    def hang_up(self) -> None:
        """The device ends what it has."""
        session = self.session("peer")
        for listed in list(session.list_sas()):
            for sa in listed.values():
                list(session.terminate({"ike-id": sa["uniqueid"].decode(), "timeout": "2000"}))

    def finds(self, cause: str, seconds: float = 8, **expected: Any) -> dict[str, Any]:
        """The finding of this cause, once it is as expected; nobody's key is in what is kept."""
        last: dict[str, Any] = {}

        def there() -> bool:
            last.update(self.ask("found()"))
            for one in last["findings"]:
                one["roles"] = last["roles"]
            return last["oldest"] >= self._since and any(
                one["cause"] == cause and expected.items() <= one.items()
                for one in last["findings"]
            )

        try:
            took = wait_for(there, seconds)
        except AssertionError:
            wanted = f"{cause} with {expected}"
            raise AssertionError(f"{wanted} is not among {json.dumps(last, indent=1)}") from None
        print(f"{cause} after {took:.1f} s, with {[one['cause'] for one in last['findings']]}")
        assert self.key not in json.dumps(last)
        return next(one for one in last["findings"] if one["cause"] == cause)

    def restart_gateway(self, without: str = "") -> None:
        """Kill the gateway's charon, which comes back without some plugins, and load it."""
        file = self.portal.state / "lab" / "concentrator" / "strongswan.conf"
        shipped = file.read_text()
        plugins = " ".join(
            word for word in PLUGINS.search(shipped)[1].split() if word not in without.split()
        )
        file.write_text(PLUGINS.sub(f"load = {plugins}", shipped, count=1))
        try:
            os.kill(self.portal.process("charon", "concentrator"), signal.SIGKILL)
            seen = self.ask("str(tunnel().concentrator.seen_at)")
            wait_for(lambda: self.ask("str(tunnel().concentrator.seen_at)") != seen, 20)
        finally:
            file.write_text(shipped)
        self.ask("load()")

    @contextlib.contextmanager
    def rules(self, host: str, rule: str) -> Iterator[None]:
        """One nftables rule for what comes in at a host."""
        chain = "add chain inet wrong input { type filter hook input priority -10; }"
        added = f"add table inet wrong; {chain}; add rule inet wrong input {rule}"
        done = self.portal.on(host, "nft", added)
        assert done.returncode == 0, done.stderr
        try:
            yield
        finally:
            self.portal.on(host, "nft", "delete table inet wrong")

    @contextlib.contextmanager
    def worker_held(self) -> Iterator[None]:
        """Nothing is mended or dialled by the portal meanwhile."""
        processes = self.portal.processes("celery")
        workers = [pid for pid in processes if b"worker" in read(Path(f"/proc/{pid}/cmdline"))]
        assert workers
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)


def _swanctl(device: dict[str, Any]) -> str:
    """The device's file; a connection that differs in `aaa_id` has an IKE_SA of its own."""
    connections = "".join(_connection(f"c{at}", device) for at in range(device["connections"]))
    return f"""
connections {{
{connections}}}
secrets {{
    ike-customer {{
        id-1 = {device["key_of"]}
        secret = "{device["key"]}"
    }}
}}
"""


def _connection(name: str, device: dict[str, Any]) -> str:
    return f"""
    {name} {{
        version = {device["version"]}
        local_addrs = {REMOTE}
        remote_addrs = {HOSTED}
        proposals = {device["proposals"]}
        unique = never
        keyingtries = 1
        local {{
            auth = psk
            id = {device["id"]}
            aaa_id = {name}
        }}
        remote {{
            auth = psk
            id = {device["remote_id"]}
        }}
        children {{
            private {{
                local_ts = {device["local_ts"]}
                remote_ts = {device["remote_ts"]}
                esp_proposals = {device["esp_proposals"]}
                start_action = none
            }}
        }}
    }}
"""
