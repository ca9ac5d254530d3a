"""A WSGI application behind gunicorn with the portal's options, and clients of it."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.running_portal import ROOT, wait_for

CLIENTS = 4
# Requests on one connection. A connection stays with one gunicorn worker, so new connections are
# needed to load both workers.
REQUESTS_PER_CONNECTION = 10


@cache
def options() -> list[str]:
    """Return gunicorn's options in the Procfile, without application and address."""
    (web,) = [line for line in (ROOT / "Procfile").read_text().splitlines() if line[:4] == "web:"]
    words = shlex.split(web)
    return ["--preload", *words[words.index("--workers") :]]


@contextmanager
def served(application: str, at: Path, **environment: str) -> Iterator[Path]:
    """Run gunicorn for the duration of the block; provide its socket."""
    command = [sys.executable, "-m", "gunicorn", application, "--bind", f"unix:{at}", *options()]
    command += ["--log-level", "warning"]
    with at.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stderr=log)
    try:
        wait_for(at.exists, 30)
        yield at
    finally:
        process.terminate()
        process.wait(30)


class Connection:
    """A connection with little Python code, because it shares the CPU with the server."""

    def __init__(self, at: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(at))

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def request(self, request: bytes) -> bytes:
        """Send a request and return the response, which needs a Content-Length."""
        self._socket.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, body = received.partition(b"\r\n\r\n")
        _, _, rest = head.lower().partition(b"content-length:")
        length = int(rest.split(b"\r\n", 1)[0])
        while len(body) < length:
            body += self._receive()
        return head + b"\r\n\r\n" + body

    def _receive(self) -> bytes:
        data = self._socket.recv(1 << 16)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data


def per_second(at: Path, request: Callable[[int], bytes], count: int) -> float:
    """Return the responses a second to `count` requests of CLIENTS concurrent clients."""

    def send_requests(first: int) -> None:
        numbers = range(first, count, CLIENTS)
        for begin in range(0, len(numbers), REQUESTS_PER_CONNECTION):
            with Connection(at) as connection:
                for number in numbers[begin : begin + REQUESTS_PER_CONNECTION]:
                    response = connection.request(request(number))
                    assert response.startswith(b"HTTP/1.1 200"), response

    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(send_requests, range(CLIENTS)))
    return count / (time.perf_counter() - began)
