"""Pipelined load requests: many requests are sent before the first reply is read.

Loading all of 10,000 tunnels takes 5.3 s, and bare calls take 3.6 s (docs/speed.md). The goal is
1.5 times the time of the bare calls, which have all settings in memory. The worker reads, decrypts
and compiles the next revisions while charon loads the first. charon answers in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from vici import Session
from vici.exception import SessionException
from vici.protocol import Message, Packet

from vpnportal.domain.gateway_config.desired import Connection, Secret
from vpnportal.gateway.vici.wire import parse_message, receive_packets

Loadable: TypeAlias = Connection | Secret
# Requests without a reply. Each socket's buffer holds many times this number.
MAX_PENDING_REQUESTS = 64


def load(session: Session, items: Iterable[Loadable]) -> Iterator[tuple[Loadable, str]]:
    """Yield each item with charon's reason for refusing it, or "" if charon loaded it.

    Exhaust the iterator, or replies stay in the session. Raises SessionException if charon sends
    another kind of reply.
    """
    packets = receive_packets(session.transport.socket)
    pending: deque[Loadable] = deque()
    for item in items:
        session.transport.send(_request(item))
        pending.append(item)
        if len(pending) == MAX_PENDING_REQUESTS:
            yield pending.popleft(), _refusal(next(packets))
    while pending:
        yield pending.popleft(), _refusal(next(packets))


def _request(item: Loadable) -> bytes:
    if isinstance(item, Connection):
        return Packet.request("load-conn", Message.serialize({item.name: item.settings}))
    secret: dict[str, Any] = {"id": item.id, "type": "IKE", "owners": list(item.owners)}
    return Packet.request("load-shared", Message.serialize({**secret, "data": item.data.encode()}))


def _refusal(raw: bytes) -> str:
    if raw[0] != Packet.CMD_RESPONSE:
        raise SessionException(f"Unexpected response type {raw[0]} to what was loaded")
    reply = parse_message(raw, 1)
    return "" if reply["success"] == "yes" else reply["errmsg"]
