"""What the other end needs: the translations as a hosts file, and its device's configuration.

Each export is text made of one specification, for one kind of device, a file each. None of them
sees the preshared key, and what people typed is in their comments only, as `text.plain` leaves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vpnportal.domain.exports.cisco_ios import cisco_ios
from vpnportal.domain.exports.fortigate import fortigate
from vpnportal.domain.exports.hosts_file import hosts
from vpnportal.domain.exports.juniper_srx import juniper_srx
from vpnportal.domain.exports.libreswan import libreswan
from vpnportal.domain.exports.mikrotik import mikrotik
from vpnportal.domain.exports.opnsense import opnsense
from vpnportal.domain.exports.peer_view import PeerView, peer_view
from vpnportal.domain.exports.pfsense import pfsense
from vpnportal.domain.exports.safe_text import KEY, NOT_AVAILABLE
from vpnportal.domain.exports.strongswan import strongswan

__all__ = ["EXPORTS", "KEY", "NOT_AVAILABLE", "Export", "PeerView", "peer_view"]


@dataclass(frozen=True, slots=True)
class Export:
    """One kind of text for the other end; `suffix` follows the tunnel's name in a file's name."""

    slug: str
    title: str
    suffix: str
    write: Callable[[PeerView], str]
    media_type: str = "text/plain; charset=utf-8"

    def file_name(self, end: PeerView) -> str:
        """`ipsec038.swanctl.conf`."""
        return f"{end.name}{self.suffix}"


EXPORTS = {
    one.slug: one
    for one in (
        Export("hosts", "Hosts file of the translations", ".hosts", hosts),
        Export("strongswan", "strongSwan (swanctl)", ".swanctl.conf", strongswan),
        Export("libreswan", "libreswan", ".libreswan.conf", libreswan),
        Export("cisco-ios", "Cisco IOS", ".cisco-ios.txt", cisco_ios),
        Export("juniper-srx", "Juniper SRX", ".juniper-srx.txt", juniper_srx),
        Export("fortigate", "FortiGate", ".fortigate.txt", fortigate),
        Export("mikrotik", "MikroTik RouterOS", ".rsc", mikrotik),
        Export("pfsense", "pfSense", ".pfsense.txt", pfsense),
        Export("opnsense", "OPNsense", ".opnsense.txt", opnsense),
    )
}
