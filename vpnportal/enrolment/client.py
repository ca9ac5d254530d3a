"""A question to the signer, through its Unix socket."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

SOCKET = Path("/run/vpnportal-enrolment/socket")
# The signer waits for PostgreSQL and Redis, and for the message before.
SECONDS = 30
MAX_ANSWER = 256 << 10


class SignerAway(Exception):
    """The signer does not answer. Its text is a sentence that says what to do."""


def ask(operation: str, values: dict[str, Any], path: Path = SOCKET) -> dict[str, Any]:
    """Return the signer's answer: `status` as in HTTP, and `error` or other fields.

    Raises SignerAway without an answer.
    """
    message = json.dumps({**values, "operation": operation}).encode()
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SECONDS)
            connection.connect(str(path))
            connection.sendall(message)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while len(answer) < MAX_ANSWER and (part := connection.recv(1 << 16)):
                answer += part
        decoded: dict[str, Any] = json.loads(answer)
        return decoded
    except (OSError, ValueError):
        raise SignerAway(
            "The signer of the portal does not answer: on the portal, "
            "`systemctl enable --now vpnportal-enrolment.socket`; its journal has the reason."
        ) from None
