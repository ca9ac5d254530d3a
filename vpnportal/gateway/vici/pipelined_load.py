"""Connections and secrets loaded one after the other, maybe ten thousand of each.

Before charon has answered for the first ones the next are made and sent, so that neither waits for
the other. It answers in the order in which it was asked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from vici import Session
from vici.exception import SessionException
from vici.protocol import Message, Packet

from vpnportal.domain.gateway_config.desired import Connection, Secret
from vpnportal.gateway.vici.wire import parse_message, received

Loadable: TypeAlias = Connection | Secret
# Requests without an answer: what a socket's buffer holds of either, many times over.
AHEAD = 64


def load(session: Session, several: Iterable[Loadable]) -> Iterator[tuple[Loadable, str]]:
    """Each of them with charon's reason why it refused it, or "". Reads all, if all is taken."""
    answers = received(session.transport.socket)
    unanswered: deque[Loadable] = deque()
    for one in several:
        session.transport.send(_request(one))
        unanswered.append(one)
        if len(unanswered) == AHEAD:
            yield unanswered.popleft(), _refusal(next(answers))
    while unanswered:
        yield unanswered.popleft(), _refusal(next(answers))


def _request(one: Loadable) -> bytes:
    if isinstance(one, Connection):
        return Packet.request("load-conn", Message.serialize({one.name: one.settings}))
    secret: dict[str, Any] = {"id": one.id, "type": "IKE", "owners": list(one.owners)}
    return Packet.request("load-shared", Message.serialize({**secret, "data": one.data.encode()}))


def _refusal(raw: bytes) -> str:
    if raw[0] != Packet.CMD_RESPONSE:
        raise SessionException(f"Unexpected response type {raw[0]} to what was loaded")
    answer = parse_message(raw, 1)
    return "" if answer["success"] == "yes" else answer["errmsg"]
