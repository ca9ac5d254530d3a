"""Requirements on charon, and on the kernel's IPsec."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from vpnportal.domain.gateway_config.desired import LoadedConnection
from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.requirements.findings import Finding, at_risk, met, unmet
from vpnportal.gateway.tunnel_route import count_routes
from vpnportal.gateway.vici.session import CharonSession

# charon's default for `charon.routing_table`.
CHARON_TABLE = 220
# An ESP state between documentation addresses (RFC 5737), which no packet can use.
STATE = ("src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp", "spi", "0xc0de")
CIPHER = ("enc", "cbc(aes)", f"0x{'0' * 64}", "auth", "hmac(sha256)", f"0x{'0' * 64}")
COMMAND_SECONDS = 20
# With 200 of them a packet takes up to twice the time (docs/decisions/031, Limit).
MAX_EQUAL_CHILDREN = 100


@dataclass(frozen=True, slots=True)
class Charon:
    """Facts about charon; `problem` is the reason why it does not answer, or "".

    `user_id` is the user as which it runs, None if that cannot be seen.
    """

    problem: str = ""
    version: str = ""
    user_id: int | None = None
    userland_esp: bool = False
    connections: Mapping[str, LoadedConnection] = field(default_factory=dict)

    @classmethod
    def read(cls, vici_socket: str) -> Charon:
        """Return the facts about the charon behind the socket."""
        try:
            with CharonSession(vici_socket) as session:
                return cls(
                    version=session.version(),
                    user_id=session.user_id(),
                    userland_esp=session.userland_esp(),
                    connections=session.list_conns(),
                )
        except GatewayError as error:
            return cls(problem=str(error))


def charon_answers(charon: Charon, vici_socket: str) -> Finding:
    """Check that charon answers over vici."""
    if charon.problem:
        remedy = "Start charon with the plugin vici, and set VPNPORTAL_VICI to its socket."
        return unmet("charon", f"{vici_socket}: {charon.problem}", remedy)
    count = len(charon.connections)
    return met("charon", f"strongSwan {charon.version} answers, with {count} connections.")


def charon_user(charon: Charon) -> Finding:
    """Check that charon is not root: a client of vici names files that charon reads."""
    if charon.user_id == 0:
        text = "charon is root, so the worker's user can let it read files of root."
        remedy = (
            "Set user = vpnportal-charon in charon's part of strongswan.conf, as the package of the"
            " gateway does. It counts from charon's next start."
        )
        return at_risk("charon_user", text, remedy)
    if charon.user_id is None:
        return met("charon_user", "The process of charon cannot be seen from here.")
    return met("charon_user", "charon is not root.")


def esp(charon: Charon) -> Finding:
    """Check that the kernel carries ESP if it can: charon's own ESP is for laboratories."""
    kernel_refusal = _esp_refusal()
    if not charon.userland_esp:
        if kernel_refusal:
            text = f"The kernel has no ESP: {kernel_refusal}"
            remedy = "Use a kernel with CONFIG_INET_ESP, or load its module esp4."
            return unmet("esp", text, remedy)
        return met("esp", "The kernel carries ESP.")
    if not kernel_refusal:
        text = "charon carries ESP in user space, although the kernel could: it is slow."
        return at_risk("esp", text, "Start charon without the plugin kernel-libipsec.")
    return met("esp", "charon carries ESP in user space, for a laboratory: the kernel has no ESP.")


def charon_routes(charon: Charon) -> Finding:
    """Check that charon makes no routes. It makes them while tunnels run, so none proves little."""
    count = count_routes(CHARON_TABLE)
    if count and not charon.userland_esp:
        text = (
            f"charon made {count} routes in table {CHARON_TABLE}. Tunnels with equal remote"
            " networks would share one, and lose it together."
        )
        return at_risk("install_routes", text, "Set charon.install_routes = no, and restart it.")
    if charon.userland_esp:
        return met("install_routes", "charon makes the routes into its own device.")
    return met("install_routes", "charon makes no routes.")


def equal_selectors(charon: Charon) -> Finding:
    """Check that few children have equal selectors: the kernel finds their policies one by one."""
    counts = Counter(
        (", ".join(child.local_ts), ", ".join(child.remote_ts))
        for connection in charon.connections.values()
        for child in connection.children
    )
    ((hosted, remote), count), *_ = counts.most_common(1) or [(("", ""), 0)]
    if count > MAX_EQUAL_CHILDREN:
        text = (
            f"{count} tunnels have the hosted subnet {hosted} and the remote network {remote}."
            f" The kernel compares each packet between them with up to {count} policies."
        )
        remedy = "Move some of these tunnels to another concentrator."
        return at_risk("equal_selectors", text, remedy)
    return met("equal_selectors", "Packets find the policy of their tunnel at once.")


def _esp_refusal() -> str:
    """Return why the kernel refuses an ESP state, or ""; the state is removed at once."""
    if refusal := _run("ip", "xfrm", "state", "add", *STATE, "mode", "tunnel", *CIPHER):
        return refusal
    return _run("ip", "xfrm", "state", "delete", *STATE)


def _run(*command: str) -> str:
    """Return the error of a command, or ""."""
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return process.stderr.strip() if process.returncode else ""
