"""Helpers of the doctor's tests: a healthy installation, and the findings of its checks."""

from __future__ import annotations

import json
import os
import subprocess
from io import StringIO
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
PRESHARED_KEY = "canary-preshared-key-51c7"


class InlineThread:
    """A thread that runs in the test's own: another one would not see the test's transaction."""

    def __init__(self, target, **_) -> None:
        self._target = target

    def start(self) -> None:
        self._target()

    def join(self, seconds: float) -> None:
        pass

    def is_alive(self) -> bool:
        return False


class NoConnections:
    """The connections of the inline thread, which are the test's and stay open."""

    @staticmethod
    def close_all() -> None:
        pass


def secrets_here() -> set[str]:
    """Return all secrets of the installation under test."""
    lines = {
        line
        for file in Path(settings.KEYS).glob("*.key")
        if file.stat().st_size < 4096
        for line in file.read_text(errors="replace").split()
        if len(line) > 20
    }
    password = settings.CELERY_BROKER_URL.partition("@")[0].rpartition(":")[2]
    return {settings.SECRET_KEY, PRESHARED_KEY, *lines, password} - {""}


def examine(*names: str) -> tuple[int, list[dict[str, str]]]:
    """Return the command's status and its findings; no secret may be in its output."""
    secrets = secrets_here()
    out, status = StringIO(), 0
    options = ["--only", *names] if names else []
    try:
        call_command("doctor", "--json", *options, stdout=out)
    except SystemExit as end:
        status = int(end.code or 0)
    for secret in secrets:
        assert secret not in out.getvalue()
    return status, json.loads(out.getvalue())


def states(findings: list[dict[str, str]]) -> dict[str, str]:
    """Return the state by name."""
    return {finding["name"]: finding["state"] for finding in findings}


def put_program(folder: Path, name: str, script: str, monkeypatch) -> None:
    """Put a shell script before all programs of its name."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


class Authority:
    """A certificate authority in a folder, made by openssl."""

    def __init__(
        self, folder: Path, extensions: str = "keyUsage=critical,keyCertSign", days: int = 730
    ) -> None:
        self.folder = folder
        self.file = folder / "ca.pem"
        folder.mkdir(exist_ok=True)
        made = ("-keyout", "ca.key", "-out", "ca.pem", "-config", "ca.cnf", "-extensions", "ca")
        basic = "basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n"
        (folder / "ca.cnf").write_text(
            f"[req]\ndistinguished_name=dn\n[dn]\n[ca]\n{basic}{extensions}\n"
        )
        self._run("req", "-x509", *CURVE, "-subj", "/CN=authority", "-days", str(days), *made)

    def issue(self, extensions: str, days: int = 730) -> Path:
        """Return the folder with server.pem and server.key of a certificate for localhost."""
        (self.folder / "server.cnf").write_text(extensions)
        self._run("req", *CURVE, "-subj", "/CN=r", "-keyout", "server.key", "-out", "server.csr")
        signer = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", *self._period(days))
        made = ("-extfile", "server.cnf", "-out", "server.pem")
        self._run("x509", "-req", "-in", "server.csr", *signer, *made)
        return self.folder

    def _period(self, days: int) -> tuple[str, ...]:
        """Return the options for the time of a certificate. OpenSSL 3.5 takes no negative days."""
        if days < 0 and b"-not_after" in self._run("x509", "-help").stderr:
            return ("-not_before", "20240101000000Z", "-not_after", "20240201000000Z")
        return ("-days", str(days))

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = ("openssl", *arguments)
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
