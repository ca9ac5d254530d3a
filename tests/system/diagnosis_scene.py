"""A tunnel whose device can have wrong settings, and the findings of the portal about it.

A test stops the worker while it initiates, so that it alone decides the initiator.
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
    # "yes" looks like a NAT between the peers, which moves IKE and ESP to UDP port 4500 (RFC 3947).
    "encap": "no",
}
# Shorter waits for a silent peer; charon reads these settings for each IKE_SA.
SHORT_WAITS = """
charon {
    retransmit_timeout = 0.4
    retransmit_base = 1.2
    retransmit_tries = 3
    half_open_timeout = 2
}
"""
PLUGINS = re.compile(r"load = (.*)")
# Evaluates expressions of the test, a line each, with the code of the portal.
EVALUATOR = """
import json, sys
from vpnportal.reconciler.target import load_target
from vpnportal.gateway.vici.session import CharonSession
from vpnportal.models import *
from vpnportal.services import findings_of
from django.conf import settings
from django.utils import timezone
def tunnel(): return Tunnel.objects.get(name="ipsec001")
def desired(): return load_target(tunnel().concentrator, tunnel().pk).desired
def load():
    with CharonSession(settings.VICI_SOCKET) as charon:
        for items in (desired().secrets, desired().connections):
            assert not any(refusal for _, refusal in charon.load(items.values()))
def unload_secrets():
    with CharonSession(settings.VICI_SOCKET) as charon:
        for secret in desired().secrets: charon.unload_shared(secret)
def children(): return sorted(
    child for connection in desired().connections.values() for child in connection.children
)
def diagnosis():
    log = DiagnosticLog.objects.filter(tunnel=tunnel()).first()
    lines = log.lines if log else []
    return {
        "findings": [
            {"cause": finding.cause.name, "field": finding.field,
             "theirs": finding.theirs, "ours": finding.ours,
             "texts": [finding.text, finding.advice, finding.request, *finding.lines]}
            for finding in findings_of(tunnel())
        ],
        "roles": sorted({line["role"] for line in lines}),
        "oldest": min((line["at"] for line in lines), default=""),
        "log": json.dumps(lines),
    }
for line in sys.stdin:
    print(json.dumps(eval(line)), flush=True)
"""


class Scene:
    """A portal whose tunnel is applied, and the customer's device with settings of the test."""

    def __init__(self, portal: RunningPortal) -> None:
        self.portal = portal
        self.key = portal.device_key()
        self._since = ""
        self._file = portal.state / "lab" / "peer" / "diagnosis.conf"
        self._evaluator = subprocess.Popen(
            [PYTHON, "manage.py", "shell", "-v0", "-c", EVALUATOR],
            cwd=ROOT,
            env=portal.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for host in ("concentrator", "peer"):
            with (portal.state / "lab" / host / "strongswan.conf").open("a") as settings:
                settings.write(SHORT_WAITS)
            self.session(host).reload_settings()

    def close(self) -> None:
        """End the evaluator."""
        self._evaluator.stdin.close()
        self._evaluator.wait(10)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the EVALUATOR."""
        self._evaluator.stdin.write(expression + "\n")
        self._evaluator.stdin.flush()
        return json.loads(self._evaluator.stdout.readline())

    def session(self, host: str) -> vici.Session:
        """Return a new session with the charon of a host."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.portal.state / "lab" / host / "charon.vici"))
        connection.settimeout(10)
        return vici.Session(connection)

    def set_device(self, **wrong: Any) -> None:
        """Load the tunnel's settings into the device, except for these."""
        self._file.write_text(_swanctl({**DEVICE, "key": self.key, **wrong}))
        uri = f"unix://{self.portal.state}/lab/peer/charon.vici"
        swanctl = ("swanctl", "--load-all", "--noprompt", "--clear", "--uri", uri, "--file")
        self.portal.run(*swanctl, str(self._file), check=True)

    def reset(self) -> None:
        """Terminate every IKE_SA at both charons, and ignore the log lines before now.

        An attempt whose packets were lost goes on when they pass again. So both charons are asked
        until they have none.
        """
        wait_for(lambda: not (self._terminate("peer") or self._terminate("concentrator")), 20)
        self._since = self.evaluate("timezone.now().isoformat()")
        self.evaluate("load()")

    def _terminate(self, host: str) -> bool:
        """Terminate every IKE_SA at a charon; return True if it had one."""
        session = self.session(host)
        listed = [sa for item in list(session.list_sas()) for sa in item.values()]
        for sa in listed:
            request = {"ike-id": sa["uniqueid"].decode(), "force": "yes", "timeout": "50"}
            with contextlib.suppress(CommandException):
                list(session.terminate(request))
        return bool(listed)

    def initiate(self, role: str, connection: str = "c0") -> None:
        """Initiate at the concentrator (role "initiator") or at the device."""
        if role == "initiator":
            session = self.session("concentrator")
            for child in self.evaluate("children()"):
                request = {"ike": "ctx1", "child": child, "timeout": "-1"}
                list(session.initiate(request))
        else:
            request = {"ike": connection, "child": "private", "timeout": "-1"}
            list(self.session("peer").initiate(request))

    def rekey(self, role: str) -> None:
        """Rekey each CHILD_SA from the concentrator (role "initiator") or the device."""
        session = self.session("concentrator" if role == "initiator" else "peer")
        for listed in list(session.list_sas()):
            for sa in listed.values():
                for child in sa["child-sas"].values():
                    session.rekey({"child-id": child["uniqueid"].decode()})

    def is_up(self) -> bool:
        """Return True if a CHILD_SA is installed."""
        return any(
            child["state"] == b"INSTALLED"
            for listed in self.session("concentrator").list_sas()
            for sa in listed.values()
            for child in sa["child-sas"].values()
        )

    def has_established(self, number: int) -> bool:
        """Return True if charon has logged this number of established IKE_SAs since the reset."""
        diagnosis = self.evaluate("diagnosis()")
        count = diagnosis["log"].count("established between")
        return diagnosis["oldest"] >= self._since and count >= number

    def has_logged_child_sa(self) -> bool:
        """Return True if the portal has recorded an installed CHILD_SA since the reset."""
        diagnosis = self.evaluate("diagnosis()")
        return diagnosis["oldest"] >= self._since and "established with SPIs" in diagnosis["log"]

    def terminate_at_device(self) -> None:
        """Terminate every IKE_SA from the device."""
        session = self.session("peer")
        for listed in list(session.list_sas()):
            for sa in listed.values():
                list(session.terminate({"ike-id": sa["uniqueid"].decode(), "timeout": "2000"}))

    def expect_finding(self, cause: str, seconds: float = 8, **expected: Any) -> dict[str, Any]:
        """Wait for a finding with this cause and these values, and return it.

        Raises AssertionError if the finding is missing, or if the diagnosis has the preshared key.
        """
        diagnosis: dict[str, Any] = {}

        def has_finding() -> bool:
            diagnosis.update(self.evaluate("diagnosis()"))
            for finding in diagnosis["findings"]:
                finding["roles"] = diagnosis["roles"]
            return diagnosis["oldest"] >= self._since and any(
                finding["cause"] == cause and expected.items() <= finding.items()
                for finding in diagnosis["findings"]
            )

        try:
            took = wait_for(has_finding, seconds)
        except AssertionError:
            actual = json.dumps(diagnosis, indent=1)
            raise AssertionError(f"{cause} with {expected} is not among {actual}") from None
        causes = [finding["cause"] for finding in diagnosis["findings"]]
        print(f"{cause} after {took:.1f} s, with {causes}")
        assert self.key not in json.dumps(diagnosis)
        return next(finding for finding in diagnosis["findings"] if finding["cause"] == cause)

    def restart_gateway(self, without: str = "") -> None:
        """Restart the gateway's charon without these plugins, and load the configuration."""
        file = self.portal.state / "lab" / "concentrator" / "strongswan.conf"
        shipped = file.read_text()
        plugins = " ".join(
            name for name in PLUGINS.search(shipped)[1].split() if name not in without.split()
        )
        file.write_text(PLUGINS.sub(f"load = {plugins}", shipped, count=1))
        try:
            os.kill(self.portal.process("charon", "concentrator"), signal.SIGKILL)
            before = self.evaluate("str(tunnel().concentrator.seen_at)")
            wait_for(lambda: self.evaluate("str(tunnel().concentrator.seen_at)") != before, 20)
        finally:
            file.write_text(shipped)
        self.evaluate("load()")

    @contextlib.contextmanager
    def rules(self, host: str, rule: str) -> Iterator[None]:
        """Add an nftables rule for packets to a host during the block."""
        chain = "add chain inet wrong input { type filter hook input priority -10; }"
        commands = f"add table inet wrong; {chain}; add rule inet wrong input {rule}"
        done = self.portal.on(host, "nft", commands)
        assert done.returncode == 0, done.stderr
        try:
            yield
        finally:
            self.portal.on(host, "nft", "delete table inet wrong")

    @contextlib.contextmanager
    def worker_stopped(self) -> Iterator[None]:
        """Stop the worker during the block, so that it neither repairs nor initiates."""
        processes = self.portal.processes("celery")
        workers = [
            pid for pid in processes if b"concentrator." in read(Path(f"/proc/{pid}/cmdline"))
        ]
        assert workers
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)


def _swanctl(device: dict[str, Any]) -> str:
    """Return the device's file; connections that differ in `aaa_id` have their own IKE_SAs."""
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
        encap = {device["encap"]}
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
