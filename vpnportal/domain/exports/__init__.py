"""Exports for the peer: configurations of its device, and the translations as a hosts file.

Each export is text made from one specification, one module per vendor. No export has access to the
preshared key. Names entered by users appear in comments only, reduced by `safe_text.plain`.
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
    """A kind of export; `suffix` follows the tunnel's name in the file name."""

    slug: str
    title: str
    suffix: str
    write: Callable[[PeerView], str]
    media_type: str = "text/plain; charset=utf-8"

    def file_name(self, peer: PeerView) -> str:
        """Return a name such as `ipsec038.swanctl.conf`."""
        return f"{peer.name}{self.suffix}"


EXPORTS = {
    export.slug: export
    for export in (
        Export("hosts", "Hosts file", ".hosts", hosts),
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
