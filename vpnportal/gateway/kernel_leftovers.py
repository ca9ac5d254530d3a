"""Leftovers of a gateway: reads the kernel's IPsec, confirms leftovers at charon, removes them."""

from __future__ import annotations

from collections.abc import Iterable

from vpnportal.domain.planning.kernel_ipsec import KernelIpsec, KernelPolicy, KernelState, Peers
from vpnportal.domain.planning.leftovers import Leftover, still_unknown
from vpnportal.gateway.steps import Report, Step
from vpnportal.gateway.vici.persistent_session import PersistentSession, is_charon_listening
from vpnportal.gateway.xfrm.policies import delete_policies, read_policies
from vpnportal.gateway.xfrm.states import (
    delete_states,
    present_states,
    read_states,
    read_states_between,
)
from vpnportal.gateway.xfrm.xfrm_socket import XfrmSocket


class KernelLeftovers:
    """The kernel's IPsec in the network namespace of this process, and a session with its charon.

    Its methods raise GatewayError if the kernel or charon does not answer.
    """

    def __init__(self, vici_socket: str, session: PersistentSession) -> None:
        self._vici_socket = vici_socket
        self._session = session
        self._link = XfrmSocket()

    def read(self) -> KernelIpsec:
        """Return all states and policies."""
        return KernelIpsec(read_states(self._link), self.policies())

    def states_between(self, peers: Iterable[Peers]) -> tuple[KernelState, ...]:
        """Return the states between peers, which the kernel selects among all of its states."""
        return read_states_between(self._link, peers)

    def policies(self) -> tuple[KernelPolicy, ...]:
        """Return all policies."""
        return read_policies(self._link)

    def charon_seconds(self) -> float:
        """Return the time since the start of charon."""
        with self._session.use() as charon:
            return charon.uptime_seconds()

    def charon_runs(self) -> bool:
        """Return False if no process listens at charon's socket."""
        return is_charon_listening(self._vici_socket)

    def confirm(self, leftovers: Iterable[Leftover]) -> tuple[Leftover, ...]:
        """Return those of the leftovers that the kernel still has and charon still does not know.

        charon may just have deleted a state. While an IKE_SA is rekeyed, a single list can miss its
        CHILD_SAs. The second list has the SAs of all connections, those of other programs included.
        """
        found = tuple(leftovers)
        states = _states(found)
        gone = frozenset(states).difference(present_states(self._link, states))
        if present := [leftover for leftover in found if leftover.entry not in gone]:
            with self._session.use() as charon:
                return still_unknown(present, charon.list_all_sas())
        return ()

    def remove(self, leftovers: Iterable[Leftover], report: Report) -> None:
        """Remove leftovers from the kernel, states first, and report a step for each.

        Without a state, its policy keeps packets in the gateway until it is removed, too.
        """
        found = tuple(leftovers)
        if not found:
            return
        delete_states(self._link, _states(found))
        delete_policies(self._link, _policies(found))
        for connection, entry in found:
            noun = "state" if isinstance(entry, KernelState) else "policy"
            report(Step(connection, f"Removed a kernel {noun} that charon does not know"))


def _states(leftovers: tuple[Leftover, ...]) -> list[KernelState]:
    return [entry for _, entry in leftovers if isinstance(entry, KernelState)]


def _policies(leftovers: tuple[Leftover, ...]) -> list[KernelPolicy]:
    return [entry for _, entry in leftovers if isinstance(entry, KernelPolicy)]
