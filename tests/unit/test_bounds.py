"""A charon that stopped answering costs a lane seconds, wherever in its answer it stopped."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vpnportal.gateway import GatewayError
from vpnportal.gateway.vici.session import CharonSession

BOUND = 0.05


@pytest.fixture
def hung(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A socket whose other end reads everything, and says no more than the test wants."""
    path = str(tmp_path / "charon.vici")
    done = threading.Event()

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(request.param)
            done.wait(5)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        thread = threading.Thread(target=answer)
        thread.start()
        yield path
        done.set()
        thread.join()


@pytest.mark.parametrize(
    "hung",
    [b"", b"\0\0", b"\0\0\0\x09\x01", b"\0\0\0\x01\x05\0\0\0\x09\x07"],
    ids=["nothing", "half a length", "half an answer", "half an event"],
    indirect=True,
)
@pytest.mark.parametrize(
    "ask",
    [CharonSession.start_list_sas, lambda charon: charon.initiate("ctx1", "a")],
    ids=["a look", "a start"],
)
def test_every_call_ends_in_bounded_time(hung: str, ask: Callable):
    began = time.monotonic()

    with CharonSession(hung, timeout=BOUND) as charon, pytest.raises(GatewayError):
        ask(charon)()

    assert time.monotonic() - began < 1
