"""The kernel setting on which the ruleset depends (https://docs.kernel.org/networking/ip-sysctl.html).

An ICMP error or echo reply of the gateway itself gets the mark of the packet that it answers. Only
with this mark does it go into that packet's tunnel.
"""

from __future__ import annotations

from pathlib import Path

from vpnportal.gateway.errors import GatewayError

FWMARK_REFLECT = Path("/proc/sys/net/ipv4/fwmark_reflect")


def marks_are_reflected() -> bool:
    """Return True if the kernel's own answers get the mark of what they answer."""
    try:
        return FWMARK_REFLECT.read_text().strip() == "1"
    except OSError as error:
        raise GatewayError(f"the kernel's settings cannot be read: {error}.") from error


def reflect_marks() -> None:
    """Give the kernel's own answers the mark of what they answer."""
    if marks_are_reflected():
        return
    try:
        FWMARK_REFLECT.write_text("1")
    except OSError as error:
        raise GatewayError(f"net.ipv4.fwmark_reflect cannot be set to 1: {error}.") from error
