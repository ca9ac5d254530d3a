"""The kernel's reports that interfaces, addresses or routes of a gateway have changed.

The hosted side and the route into tunnels depend on them. Both are observed by each full converge,
which a change requests. Messages: linux/rtnetlink.h, linux/if_link.h.
"""

from __future__ import annotations

import socket
import struct

from vpnportal.gateway import rtnetlink
from vpnportal.gateway.announced_routes import (
    PROTOCOL,
    ROUTE_MESSAGE,
    RT_TABLE_MAIN,
    RTM_DELROUTE,
    RTM_NEWROUTE,
    RTMGRP_IPV4_ROUTE,
)
from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.links import RTMGRP_LINK
from vpnportal.gateway.local_addresses import (
    ADDRESS_MESSAGE,
    IFA_LABEL,
    LOOPBACK_LABEL,
    RTMGRP_IPV4_IFADDR,
)
from vpnportal.gateway.netlink_messages import Message, parse_attributes

RTMGRP_IPV4_RULE = 0x80
RTM_NEWLINK, RTM_DELLINK, RTM_DELADDR, RTM_DELRULE = 16, 17, 21, 33
RTM_NEWADDR, RTM_NEWRULE = 20, 32
IFLA_IFNAME, IFF_UP, IFF_RUNNING = 3, 0x1, 0x40
# struct ifinfomsg: family, type, index, flags, mask of the changed flags.
LINK_MESSAGE = struct.Struct("=BxHiII")
# The table of charon's own routes. Userland ESP changes one there for each tunnel.
CHARON_TABLE = 220
RT_TABLE_LOCAL = 255


class NetworkChanges:
    """Notices changes that no plan made, in this process's network namespace."""

    def __init__(self) -> None:
        self._reports = rtnetlink.ChangeReports(
            RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_RULE
        )
        self._links: dict[int, tuple[bytes, int]] = {}

    def noticed(self) -> bool:
        """Return True if something has changed since the last call; True at the first call.

        Raises GatewayError if the kernel does not answer.
        """
        try:
            reports = self._reports.read()
        except OSError as error:
            raise GatewayError(f"the gateway's interfaces cannot be watched: {error}.") from error
        # Each report is noted, also after the first change.
        return reports is None or any([self._is_change(report) for report in reports])

    def _is_change(self, report: Message) -> bool:
        if report.kind in (RTM_NEWLINK, RTM_DELLINK):
            return self._is_link_change(report)
        if report.kind in (RTM_NEWADDR, RTM_DELADDR):
            attributes = parse_attributes(report.body[ADDRESS_MESSAGE.size :])
            return attributes.get(IFA_LABEL, b"").rstrip(b"\0") != LOOPBACK_LABEL.encode()
        if report.kind in (RTM_NEWROUTE, RTM_DELROUTE):
            return _is_route_change(report)
        return report.kind in (RTM_NEWRULE, RTM_DELRULE)

    def _is_link_change(self, report: Message) -> bool:
        """Return True if an interface has come, gone, or got another name or state.

        The kernel also reports other changes, such as a new MTU.
        """
        family, _, index, flags, _ = LINK_MESSAGE.unpack_from(report.body)
        if family != socket.AF_UNSPEC:
            return False
        if report.kind == RTM_DELLINK:
            self._links.pop(index, None)
            return True
        name = parse_attributes(report.body[LINK_MESSAGE.size :]).get(IFLA_IFNAME, b"")
        before, now = self._links.get(index), (name, flags & (IFF_UP | IFF_RUNNING))
        self._links[index] = now
        return now != before


def _is_route_change(report: Message) -> bool:
    _, _, _, _, table, protocol, _, _, _ = ROUTE_MESSAGE.unpack_from(report.body)
    if protocol == PROTOCOL:
        # Plans change the announced routes, and add the route into tunnels.
        return report.kind == RTM_DELROUTE and table != RT_TABLE_MAIN
    return table not in (RT_TABLE_LOCAL, CHARON_TABLE)
