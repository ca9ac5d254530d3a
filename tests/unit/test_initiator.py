"""Replies to `initiate` that are read later: none is lost or taken for another reply."""

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
EMPTY = Message.serialize({})
REFUSAL = Step("ctx1", "charon refused to initiate a: CHILD_SA config 'a' not found", False, False)


class SlowCharon:
    """A charon that refuses `initiate` once `go` is set, or exits instead if `gone` is."""

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
                    reply = bytes((Packet.CMD_RESPONSE,)) + REFUSED
                elif request[0] == Packet.CMD_REQUEST:
                    reply = bytes((Packet.CMD_RESPONSE,)) + EMPTY
                else:
                    reply = bytes((Packet.EVENT_CONFIRM,))
                session.sendall(struct.pack("!I", len(reply)) + reply)


@pytest.fixture
def charon(tmp_path: Path) -> Iterator[SlowCharon]:
    slow = SlowCharon(str(tmp_path / "charon.vici"))
    yield slow
    slow.close()


def test_a_refusal_is_reported_when_the_reply_about_that_tunnel_is_read(charon: SlowCharon):
    session, steps = InitiateSession(charon.path), list[Step]()

    session.initiate("ctx1", "a", steps.append)
    session.read_pending_reply("ctx2")
    assert not steps

    charon.go.set()
    session.read_pending_reply("ctx1")
    session.read_pending_reply()
    assert steps == [REFUSAL]


def test_a_refusal_is_reported_before_the_next_initiation(charon: SlowCharon):
    session, steps = InitiateSession(charon.path), list[Step]()
    charon.go.set()

    session.initiate("ctx1", "a", steps.append)
    session.initiate("ctx2", "b", steps.append)

    assert (steps, charon.sessions) == ([REFUSAL], 1)


def test_a_session_with_an_unread_reply_is_replaced(charon: SlowCharon):
    session = PersistentSession(charon.path)
    session.send(lambda first: first.initiate("ctx1", "a"))

    with session.use() as second:
        assert second.list_conns("ctx2") == {}

    assert charon.sessions == 2


def test_a_charon_that_exits_before_its_reply_causes_no_error(charon: SlowCharon):
    session, steps = InitiateSession(charon.path), list[Step]()
    session.initiate("ctx1", "a", steps.append)

    charon.gone = True
    charon.go.set()
    session.read_pending_reply()

    assert not steps
