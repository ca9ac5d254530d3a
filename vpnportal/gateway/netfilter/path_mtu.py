"""Parts of the ruleset that let packets fit into a tunnel: the MSS of TCP, and errors about ESP.

Kernel ESP knows how large a packet may be: the MTU of the public path, less what this tunnel's
algorithms add. A packet on its way into a tunnel has a route with this MTU, so `rt mtu` limits the
MSS that it announces. The MSS that a packet out of the tunnel announces limits what comes back into
the tunnel, but its route is that of the hosted side. So each SYN on its way in notes the MSS of its
tunnel in a map, and a SYN on its way out is limited by the map.

A router on the public path that cannot forward an ESP packet sends an ICMP error. It has no mark,
so the kernel would not find the CHILD_SA with the mark of the tunnel. The hosted peer address in
the quoted ESP packet shows the tunnel. See docs/decisions/033-routes-of-a-gateway.md.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from vpnportal.domain.gateway_config.compile import MARK_BITS

Json: TypeAlias = "dict[str, Any]"
Rule: TypeAlias = "list[Json]"

# For userland ESP, and for the first SYN of a tunnel if it comes from the customer: 1500 bytes less
# ESP in UDP with the largest cipher block and hash, less IP and TCP headers.
SAFE_MSS = 1340
# The map from marks to MSS. A later SYN writes the entry again, but not each of them: until the
# kernel frees the old entry, within a second, it takes up memory.
MSS_MAP, LEARN_CHAIN, LEARNING_RULES = "mss", "learn_mss", 2
# The chains of a SYN that is forwarded into a tunnel, and of one that came out of a tunnel.
SYN_IN, SYN_OUT = "syn_to_tunnel", "syn_from_tunnel"
MSS_MAP_TYPE = (
    "{ typeof meta mark : tcp option maxseg size; flags dynamic,timeout; size 65535; timeout 1d; }"
)
REWRITES = "limit rate 50/second burst 50 packets"
# Offsets in bits from the header of the ICMP error: protocol and source of the quoted packet.
QUOTED_SOURCE, QUOTED_SOURCE_JSON = (
    "@th,160,32",
    {"payload": {"base": "th", "offset": 160, "len": 32}},
)
QUOTED_PROTOCOL = {"payload": {"base": "th", "offset": 136, "len": 8}}
ESP_PROTOCOL, FRAGMENTATION_NEEDED = 50, 4

_MAXSEG: Json = {"tcp option": {"name": "maxseg", "field": "size"}}


def learning_text(table: str, userland_esp: bool, comment: str) -> str:
    """Return the commands that write the rules which note the MSS of a tunnel.

    They are text: libnftables 1.0.6 does not know statements for maps in JSON.
    """
    chain = f"{table} {LEARN_CHAIN}"
    lines = [f"add chain {chain}", f"flush chain {chain}"]
    if not userland_esp:
        entry = f"@{MSS_MAP} {{ meta mark & {MARK_BITS:#x} : rt mtu }}"
        for statement in (f"{REWRITES} delete {entry} add {entry}", f"add {entry}"):
            lines.append(f'add rule {chain} {statement} comment "{comment}"')
    return "\n".join([*lines, ""])


def rules_to_tunnel(userland_esp: bool) -> list[Rule]:
    """Return the rules of a SYN into a tunnel: the MSS that fits into it, which is also noted."""
    if userland_esp:
        return [[set_mss(SAFE_MSS)]]
    return [[{"jump": {"target": LEARN_CHAIN}}], [_mss_of_route()]]


def rules_from_tunnel(userland_esp: bool, tunnel_mark: Json) -> list[Rule]:
    """Return the rules of a SYN out of a tunnel: the MSS of its tunnel, or the safe one."""
    if userland_esp:
        return [[set_mss(SAFE_MSS)]]
    learnt = {"map": {"key": tunnel_mark, "data": f"@{MSS_MAP}"}}
    return [[_mss_of_route()], [set_mss(learnt), {"return": None}], [set_mss(SAFE_MSS)]]


def _mss_of_route() -> Json:
    return set_mss({"rt": {"key": "mtu"}})


def syn() -> Rule:
    """Return the matches of the first packet of each direction of a TCP connection."""
    flags = {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["syn", "rst"]]}
    return [{"match": {"op": "==", "left": flags, "right": "syn"}}]


def set_mss(value: Json | int) -> Json:
    """Return the statement that lowers the MSS; the kernel never raises it."""
    return {"mangle": {"key": _MAXSEG, "value": value}}


def error_about_esp() -> Rule:
    """Return the matches of an ICMP error "fragmentation needed" about an ESP packet."""
    return [
        {"match": {"op": "==", "left": left, "right": right}}
        for left, right in (
            (_icmp("type"), "destination-unreachable"),
            (_icmp("code"), FRAGMENTATION_NEEDED),
            (QUOTED_PROTOCOL, ESP_PROTOCOL),
        )
    ]


def _icmp(field: str) -> Json:
    return {"payload": {"protocol": "icmp", "field": field}}
