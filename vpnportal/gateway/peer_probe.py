"""Probes of a peer over vici: each loads a connection for one attempt and removes it again.

The connection and its secret are named `ask-42` for tunnel 42. `sweep` removes objects that a
crash left behind.
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
from vpnportal.domain.peer_probe.reply import (
    OfferReply,
    OfferResult,
    ends_phase_one,
    read,
    with_rekeyed_suite,
)
from vpnportal.domain.planning.observed import CARRYING, ChildSa
from vpnportal.domain.tunnel.algorithms import Suite
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.gateway.errors import GatewayRefused
from vpnportal.gateway.local_addresses import LocalAddresses
from vpnportal.gateway.vici.parsing import decode, parse_ike_sa
from vpnportal.gateway.vici.session import CharonSession

# Limits for the peer's one or two answers in phase one, for all of phase two, and for either of a
# patient offer: charon repeats a lost message after 4 s. It drops an answer itself that arrives
# while it still processes the answer before, which happens with a near peer and a busy processor.
PHASE_ONE_SECONDS, PHASE_TWO_SECONDS, PATIENT_SECONDS = 1.5, 2.0, 6.0
POLL_SECONDS = 0.02


class PeerProber:
    """Client of this gateway's charon that probes peers.

    A call returns within about two seconds, or six for a patient offer.

    Its methods raise GatewayError if charon does not answer.
    """

    def __init__(self, vici_socket: str) -> None:
        self._vici_socket = vici_socket

    def owns(self, address: IPv4Address) -> bool:
        """Return True if the gateway has this address on any interface."""
        addresses = LocalAddresses().read()
        return address in addresses.own or address in addresses.loopback

    def is_up(self, name: str) -> bool:
        """Return True if a CHILD_SA of the connection `name` carries traffic."""
        with CharonSession(self._vici_socket) as charon:
            ike_sas = charon.list_sas(name)
        return any(child.state in CARRYING for sa in ike_sas for child in sa.children)

    def algorithms(self) -> ProbeAlgorithms:
        """Return the algorithms that the running charon can offer."""
        with _ProbeSession(self._vici_socket) as charon:
            by_kind = charon.algorithms()
        return probe_algorithms({name for names in by_kind.values() for name in names})

    def offer(self, spec: TunnelSpec, offer: ProbeOffer) -> OfferReply:
        """Send an offer to the peer of a draft and return the reply.

        Removes the connection, its SAs and its secret afterwards. Raises GatewayRefused if charon
        refuses the connection.
        """
        name, seconds = probe_of(spec.tunnel_id), _seconds(offer)
        deadline = time.monotonic() + seconds
        with self._cleared(name), _ProbeSession(self._vici_socket) as charon:
            if offer.esp:
                charon.load_secret(name, spec)
            charon.load_probe(name, connection(spec, offer))
            reply = read(offer, self._attempt(charon, name, seconds, bool(offer.esp)))
            if offer.version == 2 and offer.esp and reply.heard is OfferResult.SELECTED:
                suite = charon.rekeyed_suite(name, deadline)
                reply = with_rekeyed_suite(reply, suite) if suite else reply
        return reply

    def sweep(self) -> None:
        """Remove the connections, SAs and secrets that earlier probes left behind."""
        with _ProbeSession(self._vici_socket) as charon:
            for name in charon.probes():
                charon.clear(name)

    def _attempt(
        self, charon: _ProbeSession, name: str, seconds: float, with_child: bool
    ) -> list[str]:
        """Negotiate with the peer and return charon's log lines.

        Without a child, the IKE_SA is terminated as soon as the peer has selected a proposal.
        """
        lines = []
        with _ProbeSession(self._vici_socket) as terminator:
            for line in charon.attempt(name, seconds, with_child):
                lines.append(line)
                if ends_phase_one(line) and not with_child:
                    terminator.terminate_all(name)
        return lines

    @contextmanager
    def _cleared(self, name: str) -> Iterator[None]:
        """Remove the connection, SAs and secret called `name` before and after the block.

        Uses separate sessions, because the block's session may have failed in the middle of a
        reply.
        """
        with _ProbeSession(self._vici_socket) as charon:
            charon.clear(name)
        try:
            yield
        finally:
            with _ProbeSession(self._vici_socket) as charon:
                charon.clear(name)


def _seconds(offer: ProbeOffer) -> float:
    """Return the limit for an offer's attempt."""
    if offer.patient:
        return PATIENT_SECONDS
    return PHASE_TWO_SECONDS if offer.esp else PHASE_ONE_SECONDS


class _ProbeSession(CharonSession):
    """A session with the calls that only a probe needs."""

    def __enter__(self) -> Self:
        return self

    def load_probe(self, name: str, settings: ViciSection) -> None:
        """Load the probe's connection `name`. Raises GatewayRefused if charon refuses it."""
        with self._errors():
            self._session.load_conn({name: settings})

    def load_secret(self, name: str, spec: TunnelSpec) -> None:
        """Load the draft's preshared key for its two peers, with the probe's name as its id."""
        owners = [str(spec.hosted_peer), str(spec.remote_peer)]
        request = {"id": name, "type": "IKE", "owners": owners}
        with self._errors():
            self._session.load_shared({**request, "data": spec.preshared_key.encode()})

    def attempt(self, name: str, seconds: float, with_child: bool) -> Iterator[str]:
        """Negotiate for these seconds; yield charon's log lines, then the reason for a failure."""
        request = {"ike": name, "timeout": str(int(seconds * 1000)), "loglevel": "1"}
        if with_child:
            request["child"] = name
        try:
            with self._errors():
                for event in self._session.initiate(request):
                    yield decode(event)["msg"]
        except GatewayRefused as refusal:
            yield str(refusal)

    def rekeyed_suite(self, name: str, deadline: float) -> Suite | None:
        """Rekey the CHILD_SA and return its new algorithms; None if the deadline passes."""
        before = {child.unique_id: child for child in self._children(name)}
        for child in before.values():
            self.rekey(child)
        while before and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            for child in self._children(name):
                if child.unique_id not in before:
                    return child.suite
        return None

    def _children(self, name: str) -> list[ChildSa]:
        with self._errors():
            entries = [decode(entry) for entry in self._session.list_sas({"ike": name})]
        ike_sas = (parse_ike_sa(name, entry[name]) for entry in entries if name in entry)
        return [child for sa in ike_sas for child in sa.children if child.state in CARRYING]

    def probes(self) -> frozenset[str]:
        """Return the names of probes with a loaded connection, a loaded secret or an SA."""
        with self._errors():
            loaded = decode(self._session.get_conns()).get("conns", [])
            secrets = decode(self._session.get_shared()).get("keys", [])
            running = [name for entry in self._session.list_sas() for name in decode(entry)]
        return frozenset(name for name in (*loaded, *secrets, *running) if is_probe(name))

    def terminate_all(self, name: str) -> None:
        """Terminate every SA of a connection, without waiting for the peer's answer."""
        request = {"ike": name, "force": "yes", "timeout": "200"}
        # charon also refuses if there is no SA to terminate.
        with suppress(GatewayRefused), self._errors():
            list(self._session.terminate(request))

    def clear(self, name: str) -> None:
        """Remove the connection, its SAs and its secret, if they exist."""
        self.unload(name)
        self.terminate_all(name)
        self.unload_shared(name)
