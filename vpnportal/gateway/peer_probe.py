"""Asking a peer over vici: a connection that lives for one attempt and is always taken away.

Its name, and that of its secret, is `ask-42`. What a crash leaves of it, the next sweep removes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address
from typing import Self

from vpnportal.domain.gateway_config.desired import ViciSection
from vpnportal.domain.gateway_config.names import is_probe, probe_of
from vpnportal.domain.peer_probe.connection import ProbeOffer, connection
from vpnportal.domain.peer_probe.offers import ProbeAlgorithms, probe_algorithms
from vpnportal.domain.peer_probe.reply import OfferReply, OfferResult, ends_phase_one, read, renewed
from vpnportal.domain.planning.observed import CARRYING, ChildSa
from vpnportal.domain.tunnel.algorithms import Suite
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.gateway import iproute
from vpnportal.gateway.addresses import LocalAddresses
from vpnportal.gateway.errors import GatewayRefused
from vpnportal.gateway.vici.parsing import ike_sa, text
from vpnportal.gateway.vici.session import CharonSession

# How long a peer may take for one or two answers in phase one, and for all of phase two.
PHASE_ONE_SECONDS, PHASE_TWO_SECONDS = 1.5, 2.0
PAUSE_SECONDS = 0.02


class PeerProber:
    """The gateway whose charon asks; each call ends within about two seconds."""

    def __init__(self, vici_socket: str) -> None:
        self._vici_socket = vici_socket

    def owns(self, address: IPv4Address) -> bool:
        """Whether it is one of the gateway's own addresses."""
        there = LocalAddresses(iproute.LOOPBACK_LABEL).now()
        return address in there.own or address in there.loopback

    def is_up(self, name: str) -> bool:
        """Whether a child of the connection of this name carries traffic."""
        with CharonSession(self._vici_socket) as charon:
            running = charon.list_sas(name)
        return any(child.state in CARRYING for sa in running for child in sa.children)

    def algorithms(self) -> ProbeAlgorithms:
        """What the running charon can offer."""
        with _ProbeSession(self._vici_socket) as charon:
            found = charon.algorithms()
        return probe_algorithms({name for several in found.values() for name in several})

    def offer(self, spec: TunnelSpec, offer: ProbeOffer) -> OfferReply:
        """Make the offer to the peer of the draft; nothing of it is left afterwards."""
        name, began = probe_of(spec.tunnel_id), time.monotonic()
        with self._cleared(name), _ProbeSession(self._vici_socket) as charon:
            if offer.esp:
                charon.remember_for(name, spec)
            charon.load_probe(name, connection(spec, offer))
            reply = read(offer, self._attempt(charon, name, bool(offer.esp)))
            if offer.version == 2 and offer.esp and reply.heard is OfferResult.SELECTED:
                suite = charon.renewal(name, began + PHASE_TWO_SECONDS)
                reply = renewed(reply, suite) if suite else reply
        return reply

    def sweep(self) -> None:
        """Take away whatever earlier questions have left, also their associations."""
        with _ProbeSession(self._vici_socket) as charon:
            for name in charon.probes():
                charon.clear(name)

    def _attempt(self, charon: _ProbeSession, name: str, with_child: bool) -> list[str]:
        """What charon says of it. Phase one ends with the choice: further it must not go."""
        lines = []
        with _ProbeSession(self._vici_socket) as other:
            for line in charon.attempt(name, with_child):
                lines.append(line)
                if ends_phase_one(line) and not with_child:
                    other.end(name)
        return lines

    @contextmanager
    def _cleared(self, name: str) -> Iterator[None]:
        """Nothing of this name is there before the block, nor after it.

        A session that failed in the middle of a reply is of no use for that.
        """
        with _ProbeSession(self._vici_socket) as charon:
            charon.clear(name)
        try:
            yield
        finally:
            with _ProbeSession(self._vici_socket) as charon:
                charon.clear(name)


class _ProbeSession(CharonSession):
    """A session that can also do what only a question needs."""

    def __enter__(self) -> Self:
        return self

    def load_probe(self, name: str, settings: ViciSection) -> None:
        """Put the connection there; what charon refuses is a DeviceRefused."""
        with self._errors():
            self._session.load_conn({name: settings})

    def remember_for(self, name: str, spec: TunnelSpec) -> None:
        """Load the draft's key for its two ends, under a name that the clearing knows."""
        owners = [str(spec.hosted_peer), str(spec.remote_peer)]
        request = {"id": name, "type": "IKE", "owners": owners}
        with self._errors():
            self._session.load_shared({**request, "data": spec.preshared_key.encode()})

    def attempt(self, name: str, with_child: bool) -> Iterator[str]:
        """Negotiate for a bounded time; the lines that charon says of it, and why it gave up."""
        seconds = PHASE_TWO_SECONDS if with_child else PHASE_ONE_SECONDS
        request = {"ike": name, "timeout": str(int(seconds * 1000)), "loglevel": "1"}
        if with_child:
            request["child"] = name
        try:
            with self._errors():
                for event in self._session.initiate(request):
                    yield text(event)["msg"]
        except GatewayRefused as refusal:
            yield str(refusal)

    def renewal(self, name: str, deadline: float) -> Suite | None:
        """The algorithms of the child once its keys were renewed; None if that was not in time."""
        before = {child.unique_id: child for child in self._children(name)}
        for child in before.values():
            self.rekey(child)
        while before and time.monotonic() < deadline:
            time.sleep(PAUSE_SECONDS)
            for child in self._children(name):
                if child.unique_id not in before:
                    return child.suite
        return None

    def _children(self, name: str) -> list[ChildSa]:
        with self._errors():
            found = [text(item) for item in self._session.list_sas({"ike": name})]
        every = (ike_sa(name, item[name]) for item in found if name in item)
        return [child for sa in every for child in sa.children if child.state in CARRYING]

    def probes(self) -> frozenset[str]:
        """Names under which something of a question is loaded or runs."""
        with self._errors():
            loaded = text(self._session.get_conns()).get("conns", [])
            secrets = text(self._session.get_shared()).get("keys", [])
            running = [name for item in self._session.list_sas() for name in text(item)]
        return frozenset(name for name in (*loaded, *secrets, *running) if is_probe(name))

    def end(self, name: str) -> None:
        """End every association of a connection, whether or not the peer answers."""
        request = {"ike": name, "force": "yes", "timeout": "200"}
        # That nothing runs is a refusal, too.
        with suppress(GatewayRefused), self._errors():
            list(self._session.terminate(request))

    def clear(self, name: str) -> None:
        """Take away the connection, its associations and its secret, whatever is there of them."""
        self.unload(name)
        self.end(name)
        self.unload_shared(name)
