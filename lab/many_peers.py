"""A laboratory with many peers: one concentrator, and one device that plays all the peers.

    server           concentrator                        peer
    10.2.0.10/24 ─── 10.2.0.1/24
                     192.0.2.1/30 ═══════════ 192.0.2.2/30
                     198.18.0.1, .2, …        198.19.0.1, .2, …
                                              10.64.0.0/24, 10.64.1.0/24, …

The concentrator's charon starts empty: whoever tests something loads it. The device's file is
loaded whenever its charon starts. Every address of a peer's network answers, so translations lead
somewhere. In a test, with `VPNPORTAL_LAB` and `VPNPORTAL_STATE` as `bin/test` gives them:

    with ManyPeers(prefix, folder, 50).running() as many:
        with entered(many.prefix, CONCENTRATOR):  # nftables acts where the thread is
            load_somehow(many.concentrator.socket, many.peers)
        assert many.ping(many.peers[7].computer)
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import dataplane, namespaces, peers, prerequisites
from lab.ike_daemons import Charon
from lab.namespaces import LaboratoryError
from lab.peers import Peer
from lab.topology import CONCENTRATOR, PEER, SERVER, Host

PATIENCE = 60.0
WIRES = ((SERVER, CONCENTRATOR, "hosted"), (CONCENTRATOR, PEER, "public"))
CLONE_NEWNET = 0x40000000


class ManyPeers:
    """`count` peers; namespaces begin with `prefix`, files lie in `folder`, keys are random.

    `proposal` holds for both phases of the device. `silent` are further peers that nobody plays:
    what is sent to them is lost. `more` is text for the end of both strongswan.conf, such as
    `charon { dos_protection = no }`.
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
    ) -> None:
        self.prefix, self.folder = prefix, folder
        self.ike_version, self.proposal = ike_version, proposal
        everybody = peers.strangers(count + silent)
        self.peers, self.silent = everybody[:count], everybody[count:]
        self.concentrator = Charon(prefix, CONCENTRATOR, folder / CONCENTRATOR, more=more)
        self.file = folder / PEER / "swanctl.conf"
        self.device = Charon(prefix, PEER, folder / PEER, self.file, more)

    def up(self) -> None:
        """Makes everything anew; LaboratoryError, and nothing left running, if that fails."""
        socket = self.concentrator.socket
        refusal = prerequisites.missing_on_machine() or prerequisites.folder_objection(
            self.folder, socket
        )
        if refusal := refusal or prerequisites.name_objection(self.prefix):
            raise LaboratoryError(refusal)
        self.down()
        try:
            namespaces.make(self.prefix, _hosts(self.peers, self.silent), WIRES)
            self._start(dataplane.probe(self.prefix, CONCENTRATOR))
        except BaseException:
            self.down()
            raise

    def _start(self, plane: dataplane.DataPlane) -> None:
        for charon in (self.concentrator, self.device):
            charon.folder.mkdir(parents=True, exist_ok=True)
            charon.folder.chmod(0o700)
        self.write()
        for charon in (self.concentrator, self.device):
            charon.start(plane)
        for charon in (self.concentrator, self.device):
            charon.wait(PATIENCE)
        self.device.load()

    def write(self, changed: Iterable[Peer] = ()) -> None:
        """Writes the device's file, with other peers in the place of those of their numbers."""
        by_number = {peer.number: peer for peer in (*self.peers, *changed)}
        text = peers.swanctl_file(by_number.values(), self.ike_version, self.proposal)
        self.file.touch(0o600)
        self.file.write_text(text)

    def down(self) -> None:
        """Ends what `up` started and removes the namespaces; harmless when there is nothing."""
        self.concentrator.stop()
        self.device.stop()
        namespaces.delete(self.prefix)

    @contextmanager
    def running(self) -> Iterator[ManyPeers]:
        """Up for as long as the block runs."""
        self.up()
        try:
            yield self
        finally:
            self.down()

    def kill(self, charon: Charon) -> None:
        """Kills a charon; its keeper starts it again a second later, as empty as at first."""
        found = namespaces.processes(self.prefix, charon.host)
        namespaces.end([pid for pid in found if _name(pid) == "charon"], signal.SIGKILL)

    def ping(self, target: object, seconds: int = 1) -> bool:
        """Whether an address answers the server once within so many seconds."""
        ask = ["ping", "-n", "-q", "-c", "1", "-W", str(seconds), str(target)]
        inside = namespaces.inside(self.prefix, SERVER, ask)
        return subprocess.run(inside, capture_output=True, check=False).returncode == 0


def _hosts(played: tuple[Peer, ...], silent: tuple[Peer, ...]) -> tuple[Host, ...]:
    """The gateways' ends of the tunnels are behind a route: so many neighbours a kernel forgets."""
    near = tuple(f"{peer.hosted_peer}/32" for peer in (*played, *silent))
    far = tuple(f"{peer.remote_peer}/32" for peer in played)
    # charon looks for an address of its own in each network that it protects.
    networks = tuple(f"{peer.remote_network[1]}/24" for peer in played)
    return (
        Host(SERVER, "", {"hosted": ("10.2.0.10/24",)}, ("default via 10.2.0.1",)),
        Host(
            CONCENTRATOR,
            "",
            {"hosted": ("10.2.0.1/24",), "public": ("192.0.2.1/30", *near)},
            ("default via 192.0.2.2",),
            forwards=True,
        ),
        Host(
            PEER,
            "",
            {"public": ("192.0.2.2/30", *far), "lo": networks},
            ("198.18.0.0/16 via 192.0.2.1", "blackhole 198.19.0.0/16"),
            forwards=True,
        ),
    )


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


@contextmanager
def entered(prefix: str, host: str) -> Iterator[None]:
    """This thread, and the processes that it starts, are in the host's network namespace.

    `down` ends whatever is in there: leave first.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespaces.of(prefix, host)}", os.O_RDONLY)
    try:
        _enter(there)
        yield
    finally:
        _enter(home)
        os.close(there)
        os.close(home)


def _enter(namespace: int) -> None:
    """os.setns of Python 3.12."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "The network namespace cannot be entered")
