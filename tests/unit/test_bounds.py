"""Time limits of vici calls, for a charon that stops at any byte of its reply."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vpnportal.gateway import GatewayError
from vpnportal.gateway.vici.session import CharonSession

TIMEOUT_SECONDS = 0.05


@pytest.fixture
def hung(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Provide a vici socket whose charon sends the bytes of the parameter and nothing more."""
    path = str(tmp_path / "charon.vici")
    done = threading.Event()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(request.param)
            done.wait(5)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield path
        done.set()
        thread.join()


@pytest.mark.parametrize(
    "hung",
    [b"", b"\0\0", b"\0\0\0\x09\x01", b"\0\0\0\x01\x05\0\0\0\x09\x07"],
    ids=["nothing", "half a length", "half a reply", "half an event"],
    indirect=True,
)
@pytest.mark.parametrize(
    "send",
    [CharonSession.start_list_sas, lambda charon: charon.initiate("ctx1", "a")],
    ids=["list", "initiate"],
)
def test_every_call_ends_in_bounded_time(hung: str, send: Callable):
    began = time.monotonic()

    with CharonSession(hung, timeout=TIMEOUT_SECONDS) as charon, pytest.raises(GatewayError):
        send(charon)()

    assert time.monotonic() - began < 1
