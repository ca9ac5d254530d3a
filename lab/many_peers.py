"""A laboratory with many peers: one concentrator, and one device that is all its peers.

    server           concentrator                        peer
    10.2.0.10/24 ─── 10.2.0.1/24
                     192.0.2.1/30 ═══════════ 192.0.2.2/30
                     198.18.0.1, .2, …        198.19.0.1, .2, …
                                              10.64.0.0/24, 10.64.1.0/24, …

The concentrator's charon starts empty; the test loads it. The device's charon loads its file at
each start. All addresses of a peer's subnet answer. In a test:

    with ManyPeers(prefix, folder, 50).running() as many:
        with enter_namespace(many.prefix, CONCENTRATOR):  # nftables uses the thread's namespace
            load(many.concentrator.socket, many.peers)
        assert many.ping(many.peers[7].computer)
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from lab import namespaces, peers
from lab.charon_laboratory import CharonLaboratory
from lab.icmp_echo import Echo, decode_reply, encode_request
from lab.ike_daemons import Charon
from lab.peers import Peer
from lab.topology import CONCENTRATOR, PEER, SERVER, Host

WIRES = ((SERVER, CONCENTRATOR, "hosted"), (CONCENTRATOR, PEER, "public"))
ECHO = Echo(identifier=0, number=0)
CLONE_NEWNET = 0x40000000


class ManyPeers(CharonLaboratory):
    """`count` peers in namespaces `PREFIX-HOST`, with files in `folder` and random keys.

    `proposal` is for both phases of the device. `silent` is the number of additional peers that do
    not exist: packets to them are dropped. `more` is text for the end of both strongswan.conf, such
    as `charon { dos_protection = no }`. With a `shared_network`, which needs kernel ESP, all peers
    have this subnet. With `own_hosted`, each tunnel has a subnet of its own behind the
    concentrator, in which the server has an address.
    """

    def __init__(
        self,
        prefix: str,
        folder: Path,
        count: int,
        *,
        ike_version: int = 1,
        proposal: str = "aes128-sha1-modp1024",
        silent: int = 0,
        more: str = "",
        shared_network: IPv4Network | None = None,
        own_hosted: bool = False,
    ) -> None:
        self.ike_version, self.proposal = ike_version, proposal
        self.shared_network = shared_network
        all_peers = peers.make_peers(count + silent, shared_network, own_hosted=own_hosted)
        self.peers, self.silent = all_peers[:count], all_peers[count:]
        self.file = folder / PEER / "swanctl.conf"
        self.device = Charon(prefix, PEER, folder / PEER, self.file, more)
        super().__init__(prefix, folder, (self.device,), more)

    def make_namespaces(self) -> None:
        """Make the hosts; a device with a shared network answers with the mark of a connection."""
        namespaces.make(self.prefix, _hosts(self.peers, self.silent), WIRES)
        if self.shared_network:
            self.on(PEER, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_fwmark_accept")

    def write_files(self) -> None:
        """Write the device's file."""
        self.write()

    def write(self, changed: Iterable[Peer] = ()) -> None:
        """Write the device's file; a changed peer replaces the peer of its number."""
        by_number = {peer.number: peer for peer in (*self.peers, *changed)}
        text = peers.swanctl_file(by_number.values(), self.ike_version, self.proposal)
        self.file.touch(0o600)
        self.file.write_text(text)

    def kill(self, charon: Charon) -> None:
        """Kill a charon; bin/keep restarts it a second later, without loaded connections."""
        pids = namespaces.processes(self.prefix, charon.host)
        namespaces.end([pid for pid in pids if _program(pid) == "charon"], signal.SIGKILL)

    def ping(self, target: object, seconds: int = 1) -> bool:
        """Return True if an address answers the server within `seconds`."""
        ping = self.on(SERVER, "ping", "-n", "-q", "-c", "1", "-W", str(seconds), str(target))
        return ping.returncode == 0

    def answering(self, targets: Iterable[IPv4Address], seconds: float = 1) -> set[IPv4Address]:
        """Return the addresses that answer one ping of the server within `seconds`."""
        waiting, answered = set(targets), set[IPv4Address]()
        with (
            enter_namespace(self.prefix, SERVER),
            socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp,
        ):
            for target in waiting:
                icmp.sendto(encode_request(ECHO), (str(target), 0))
            deadline = time.monotonic() + seconds
            while waiting and (left := deadline - time.monotonic()) > 0:
                icmp.settimeout(left)
                try:
                    packet, (source, _) = icmp.recvfrom(1500)
                except TimeoutError:
                    break
                address = IPv4Address(source)
                if decode_reply(packet) == ECHO and address in waiting:
                    waiting.remove(address)
                    answered.add(address)
        return answered


def _hosts(played: tuple[Peer, ...], silent: tuple[Peer, ...]) -> tuple[Host, ...]:
    # A route leads to the peers' addresses: the kernel's neighbour table has no room for thousands.
    hosted_peers = tuple(f"{peer.hosted_peer}/32" for peer in (*played, *silent))
    remote_peers = tuple(f"{peer.remote_peer}/32" for peer in played)
    servers = tuple(f"{peer.server}/32" for peer in played if peer.own_hosted)
    to_servers = (f"{peers.OWN_HOSTED_NETWORKS} via 10.2.0.10",) if servers else ()
    # Userland ESP needs an address of the device in each subnet that it protects.
    networks = tuple(dict.fromkeys(f"{peer.remote_network[1]}/24" for peer in played))
    return (
        Host(SERVER, "", {"hosted": ("10.2.0.10/24", *servers)}, ("default via 10.2.0.1",)),
        Host(
            CONCENTRATOR,
            "",
            {"hosted": ("10.2.0.1/24",), "public": ("192.0.2.1/30", *hosted_peers)},
            (*to_servers, "default via 192.0.2.2"),
            forwards=True,
        ),
        Host(
            PEER,
            "",
            {"public": ("192.0.2.2/30", *remote_peers), "lo": networks},
            ("198.18.0.0/16 via 192.0.2.1", "blackhole 198.19.0.0/16"),
            forwards=True,
        ),
    )


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@contextmanager
def enter_namespace(prefix: str, host: str) -> Iterator[None]:
    """Move this thread to the host's network namespace for the duration of the block.

    Processes that the block starts are also in the namespace. `down` terminates all processes in
    the namespace, so leave the block first.
    """
    original = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    target = os.open(f"/run/netns/{namespaces.namespace_of(prefix, host)}", os.O_RDONLY)
    try:
        _setns(target)
        yield
    finally:
        _setns(original)
        os.close(target)
        os.close(original)


def _setns(namespace: int) -> None:
    # os.setns exists since Python 3.12.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "The network namespace cannot be entered")
