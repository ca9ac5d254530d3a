"""Nobody waits for charon's answer to a start, and it is neither lost nor taken for another's."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from vici.protocol import Message, Packet

from vpnportal.gateway.steps import Step
from vpnportal.gateway.vici.initiator import InitiateSession
from vpnportal.gateway.vici.persistent_session import PersistentSession

REFUSED = Message.serialize({"success": "no", "errmsg": "CHILD_SA config 'a' not found"})
NOTHING = Message.serialize({})
TOLD = Step("ctx1", "charon refused to start a: CHILD_SA config 'a' not found", False, False)


class SlowCharon:
    """Refuses every start once it may `go`, or is `gone` then; answers all else with nothing."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.go = threading.Event()
        self.gone = False
        self.sessions = 0
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.go.set()
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                session, _ = self._socket.accept()
            except OSError:
                return
            self.sessions += 1
            threading.Thread(target=self._serve, args=(session,), daemon=True).start()

    def _serve(self, session: socket.socket) -> None:
        with session, session.makefile("rb") as requests, suppress(ConnectionError):
            while head := requests.read(4):
                request = requests.read(*struct.unpack("!I", head))
                if b"initiate" in request:
                    self.go.wait(5)
                    if self.gone:
                        return
                    answer = bytes((Packet.CMD_RESPONSE,)) + REFUSED
                elif request[0] == Packet.CMD_REQUEST:
                    answer = bytes((Packet.CMD_RESPONSE,)) + NOTHING
                else:
                    answer = bytes((Packet.EVENT_CONFIRM,))
                session.sendall(struct.pack("!I", len(answer)) + answer)


@pytest.fixture
def charon(tmp_path: Path) -> Iterator[SlowCharon]:
    slow = SlowCharon(str(tmp_path / "charon.vici"))
    yield slow
    slow.close()


def test_a_refusal_is_told_when_that_tunnel_is_looked_at_and_not_before(charon: SlowCharon):
    mouth, told = InitiateSession(charon.path), list[Step]()

    mouth.initiate("ctx1", "a", told.append)
    mouth.settle("ctx2")
    assert not told

    charon.go.set()
    mouth.settle("ctx1")
    mouth.settle()
    assert told == [TOLD]


def test_a_refusal_is_told_before_the_next_start(charon: SlowCharon):
    mouth, told = InitiateSession(charon.path), list[Step]()
    charon.go.set()

    mouth.initiate("ctx1", "a", told.append)
    mouth.initiate("ctx2", "b", told.append)

    assert (told, charon.sessions) == ([TOLD], 1)


def test_what_nobody_took_the_answer_of_is_not_asked_again_in_that_session(charon: SlowCharon):
    session = PersistentSession(charon.path)
    session.start(lambda one: one.initiate("ctx1", "a"))

    with session.use() as another:
        assert another.list_conns("ctx2") == {}

    assert charon.sessions == 2


def test_a_charon_that_went_away_with_its_answer_costs_a_start_and_no_error(charon: SlowCharon):
    mouth, told = InitiateSession(charon.path), list[Step]()
    mouth.initiate("ctx1", "a", told.append)

    charon.gone = True
    charon.go.set()
    mouth.settle()

    assert not told
