"""A Redis server over TLS with ACL users for portal and gateways, on a free loopback port."""

from __future__ import annotations

import secrets
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from tests.running_portal import wait_for
from vpnportal.deployment.broker_access import (
    PORTAL_USER,
    SIGNER_USER,
    gateway_acl,
    gateway_user,
    portal_acl,
    signer_acl,
)

CONFIGURATION = """
port 0
bind 127.0.0.1
tls-port {port}
tls-cert-file {folder}/server.pem
tls-key-file {folder}/server.key
tls-ca-cert-file {folder}/ca.pem
tls-auth-clients no
aclfile {folder}/users.acl
dir {folder}
save ""
"""
AUTHORITY_EXTENSIONS = "keyUsage=critical,keyCertSign"
SERVER_EXTENSIONS = "subjectAltName=DNS:localhost\nauthorityKeyIdentifier=keyid\n"
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class TlsRedis:
    """A server with random passwords; runs for the duration of the `with` block."""

    def __init__(self, folder: Path, *concentrators: str) -> None:
        self._folder = folder
        self.authority = folder / "ca.pem"
        self.passwords = {
            user: secrets.token_urlsafe(24)
            for user in (PORTAL_USER, SIGNER_USER, *map(gateway_user, concentrators))
        }
        self._make_certificates()
        users = [
            "user default off",
            portal_acl(self.passwords[PORTAL_USER]),
            signer_acl(self.passwords[SIGNER_USER]),
            *(gateway_acl(name, self.passwords[gateway_user(name)]) for name in concentrators),
        ]
        (folder / "users.acl").write_text("\n".join(users) + "\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        (folder / "redis.conf").write_text(CONFIGURATION.format(port=self._port, folder=folder))

    def __enter__(self) -> Self:
        with (self._folder / "log").open("w") as log:
            command = ["setpriv", "--pdeathsig", "KILL", "redis-server", "redis.conf"]
            self._server = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log)
        wait_for(self._accepts, 10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.terminate()
        self._server.wait(10)

    def url(self, user: str) -> str:
        """Return the broker's URL of a user."""
        return f"rediss://{user}:{self.passwords[user]}@localhost:{self._port}/0"

    def client(
        self, user: str, password: str | None = None, authority: Path | None = None
    ) -> redis.Redis:
        """Return a connection of a user."""
        return redis.Redis(
            host="localhost",
            port=self._port,
            username=user,
            password=password or self.passwords[user],
            ssl=True,
            ssl_ca_certs=str(authority or self.authority),
        )

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def _make_certificates(self) -> None:
        def openssl(*arguments: str) -> None:
            command = ["openssl", *arguments]
            subprocess.run(command, cwd=self._folder, check=True, capture_output=True)

        (self._folder / "extensions").write_text(SERVER_EXTENSIONS)
        authority = ("-keyout", "ca.key", "-out", "ca.pem", "-addext", AUTHORITY_EXTENSIONS)
        openssl("req", "-x509", *CURVE, "-subj", "/CN=authority", "-days", "730", *authority)
        openssl("req", *CURVE, "-subj", "/CN=r", "-keyout", "server.key", "-out", "server.csr")
        signer = ("-CA", "ca.pem", "-CAkey", "ca.key", "-extfile", "extensions")
        openssl("x509", "-req", "-in", "server.csr", *signer, "-days", "730", "-out", "server.pem")
