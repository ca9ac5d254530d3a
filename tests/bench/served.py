"""A WSGI application behind gunicorn, as the product has its own, and those who ask it."""

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

ASKERS = 4
# So many requests on one connection: it stays with the process that took it, and they are to share.
KEPT_FOR = 10


@cache
def options() -> list[str]:
    """What Procfile gives to gunicorn beside an application and an address."""
    (web,) = [line for line in (ROOT / "Procfile").read_text().splitlines() if line[:4] == "web:"]
    words = shlex.split(web)
    return words[words.index("--workers") :]


@contextmanager
def served(application: str, at: Path, **environment: str) -> Iterator[Path]:
    """The socket at which it answers, until the block ends."""
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
    """One that is kept open; as little Python as can be, because it shares the processors."""

    def __init__(self, at: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(at))

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> bytes:
        """The whole answer, which has to tell its length."""
        self._socket.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            got += self._more()
        head, _, body = got.partition(b"\r\n\r\n")
        _, _, rest = head.lower().partition(b"content-length:")
        length = int(rest.split(b"\r\n", 1)[0])
        while len(body) < length:
            body += self._more()
        return head + b"\r\n\r\n" + body

    def _more(self) -> bytes:
        part = self._socket.recv(1 << 16)
        if not part:
            raise ConnectionError("the server hung up")
        return part


def per_second(at: Path, request: Callable[[int], bytes], count: int) -> float:
    """Answers in a second to so many requests, which several ask at the same time."""

    def ask(first: int) -> None:
        numbers = range(first, count, ASKERS)
        for begin in range(0, len(numbers), KEPT_FOR):
            with Connection(at) as connection:
                for number in numbers[begin : begin + KEPT_FOR]:
                    answer = connection.ask(request(number))
                    assert answer.startswith(b"HTTP/1.1 200"), answer

    began = time.perf_counter()
    with ThreadPoolExecutor(ASKERS) as askers:
        list(askers.map(ask, range(ASKERS)))
    return count / (time.perf_counter() - began)
