"""`python -m vpnportal.enrolment.server`: the signer behind a Unix socket that systemd holds.

A connection has one message, which ends with the sender's half of the connection, and one answer.
The process ends when no message comes for a minute; systemd starts it with the next one. So the key
of the authority is seldom in memory.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
import time
from datetime import timedelta
from pathlib import Path

from vpnportal.enrolment import messages
from vpnportal.enrolment.access import Access
from vpnportal.enrolment.authority import LIFETIME, Authority
from vpnportal.enrolment.key_files import derived_key, first_key
from vpnportal.enrolment.registry import Registry
from vpnportal.enrolment.signer import Signer

log = logging.getLogger(__name__)

# The first file that systemd passes (sd_listen_fds(3)).
LISTEN_FD = 3
IDLE_SECONDS = 60.0
READ_SECONDS = 5.0
SECONDS_OF_A_DAY = 86400


def serve(listener: socket.socket, signer: Signer, idle_seconds: float = IDLE_SECONDS) -> None:
    """Answer connections, one after the other, until none comes for `idle_seconds`."""
    listener.settimeout(idle_seconds)
    while True:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            return
        with connection:
            try:
                _answer(connection, signer)
            except OSError as error:
                log.warning("A connection ended early: %s", error)
            except Exception:
                log.exception("A message could not be answered.")


def _answer(connection: socket.socket, signer: Signer) -> None:
    message = _read(connection, time.monotonic() + READ_SECONDS)
    answer = signer.answer(message, is_root=_peer_is_root(connection))
    connection.settimeout(READ_SECONDS)
    connection.sendall(json.dumps(answer).encode())


def _read(connection: socket.socket, deadline: float) -> bytes:
    """Return a message, and one byte more than allowed of one that is too long."""
    message = b""
    while len(message) <= messages.MAX_BYTES:
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        part = connection.recv(messages.MAX_BYTES + 1 - len(message))
        if not part:
            break
        message += part
    return message


def _peer_is_root(connection: socket.socket) -> bool:
    """Return True if root opened the connection (SO_PEERCRED of socket(7))."""
    form = struct.Struct("3i")
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, form.size)
    _, user, _ = form.unpack(raw)
    return user == 0


def signer_of(environment: dict[str, str]) -> Signer:
    """Return the signer of this machine, from its settings and systemd's credentials."""
    credentials = Path(environment["CREDENTIALS_DIRECTORY"])
    authority_file = environment["VPNPORTAL_BROKER_CA"]
    authority = Authority.load(
        (credentials / "ca.secret").read_bytes(), Path(authority_file).read_bytes()
    )
    master = first_key(credentials / "fingerprint.key")
    access = Access(
        environment["VPNPORTAL_ENROLMENT_DATABASE"],
        environment["VPNPORTAL_ENROLMENT_BROKER"],
        str(credentials / "tls.key"),
        authority_file,
    )
    return Signer(
        authority,
        Registry(Path(environment["STATE_DIRECTORY"])),
        access,
        lambda name: derived_key(master, name.encode()),
        {
            "database": environment["VPNPORTAL_GATEWAY_DATABASE"],
            "broker": environment["VPNPORTAL_GATEWAY_BROKER"],
        },
        lifetime_of(environment),
    )


def lifetime_of(environment: dict[str, str]) -> timedelta:
    """Return the life of new certificates: VPNPORTAL_CERTIFICATE_DAYS, or 90 days."""
    days = environment.get("VPNPORTAL_CERTIFICATE_DAYS")
    return timedelta(seconds=float(days) * SECONDS_OF_A_DAY) if days else LIFETIME


def main() -> None:
    """Serve the socket that systemd passes."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    with socket.socket(fileno=LISTEN_FD) as listener:
        serve(listener, signer_of(dict(os.environ)))


if __name__ == "__main__":
    main()
