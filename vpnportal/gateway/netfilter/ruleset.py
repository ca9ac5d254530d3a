"""The ruleset of the portal's nftables table: maps, two sets and their chains.

Tunnels and translations are elements of the maps, so their number adds no rule. The rules:

- Give each packet to or from a tunnel the tunnel's mark, and its conntrack entry the zone of that
  mark. Packets of two tunnels with equal addresses thus never meet. The chain runs before packets
  are defragmented, so that fragments of two tunnels are not mixed either.
- Forward packets only from a tunnel, or from the hosted side into a tunnel. Drop and count all
  others, so that no packet leaves unencrypted while its tunnel is down, and the public side sends
  nothing into a tunnel.
- Accept from a tunnel to the gateway itself only pings and replies. The gateway's own errors and
  replies to a customer leave through the customer's tunnel or not at all.
- Limit the segments of TCP to what fits into the tunnel (path_mtu.py).
- Renew the pair of addresses of each translated packet in the usage set. The remaining time of a
  pair shows when it was last used.

ESP itself checks that a packet matches the selectors of its tunnel (RFC 4301, 5.2). Statements and
expressions: libnftables-json(5).
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any, TypeAlias

from vpnportal.domain.addresses import dotted
from vpnportal.domain.gateway_config.compile import MARK_BITS
from vpnportal.domain.gateway_config.drop_counters import COUNTERS
from vpnportal.domain.gateway_config.nat_elements import NatMap
from vpnportal.gateway.netfilter import path_mtu

FAMILY, TABLE = "ip", "vpnportal"
# charon's tun device, from which packets of userland ESP arrive.
DEVICE = "ipsec0"
# A bit of the packet mark beside the tunnel's mark in MARK_BITS: packets out of a tunnel, and the
# gateway's own packets to its customer.
DECRYPTED_MARK = 0x10000000
# The same of packets from the hosted side. One look at the mark costs less than the name of the
# interface in a set.
HOSTED_MARK = 0x20000000
TUNNEL_OR_DECRYPTED = MARK_BITS | DECRYPTED_MARK
NOT_MARK_BITS = 0xFFFF_FFFF ^ MARK_BITS
# Before the kernel defragments (-400) and before conntrack (-200).
EARLY = -450
# Each packet passes the few rules of its way only: out of a tunnel, into one, or neither. An
# encrypted packet passes the chains of output and postrouting, too.
EARLY_OUT, EARLY_IN, FORWARD_OUT = "early_from_tunnel", "early_to_tunnel", "forward_from_tunnel"
INPUT_OUT, USED_OTHERS, ERRORS = "input_from_tunnel", "used_others", "errors_to_customers"
# The chains of the packets out of a CHILD_SA without a mark: before and after the check of ESP.
UNMARKED, MARK_LATE = "unmarked", "mark_late"
# The set of the interfaces from which packets may enter a tunnel.
HOSTED_SIDE = "hosted_side"
# The set of pairs of internal and customer address; a pair expires after its last packet.
USAGE_SET, RETENTION_SECONDS = "used", 30 * 86_400
# A pair that no flow has: its age is that of the rules. The counter of the packets whose pair the
# kernel could not add to the set.
RECORD_START, RECORD_SECONDS, UNRECORDED = (0, 0), 3650 * 86_400, "unrecorded"
# The kernel walks the whole usage set to free expired pairs, so once an hour is enough.
TABLE_TEXT = f"""\
add table {FAMILY} {TABLE}
add set {FAMILY} {TABLE} {USAGE_SET} {{ type ipv4_addr . ipv4_addr; flags timeout;\
 timeout {RETENTION_SECONDS}s; gc-interval 3600s; size 1000000; }}
add set {FAMILY} {TABLE} {HOSTED_SIDE} {{ type ifname; }}
add map {FAMILY} {TABLE} {NatMap.INBOUND} {{ type ipv4_addr : ipv4_addr; }}
add map {FAMILY} {TABLE} {NatMap.OUTBOUND} {{ type mark . ipv4_addr : ipv4_addr; }}
add map {FAMILY} {TABLE} {NatMap.TUNNEL_OF} {{ type ipv4_addr : mark; }}
add map {FAMILY} {TABLE} {NatMap.NETWORKS} {{ type ipv4_addr : mark; flags interval; }}
add map {FAMILY} {TABLE} {NatMap.PEERS} {{ typeof {path_mtu.QUOTED_SOURCE} : meta mark; }}
add map {FAMILY} {TABLE} {NatMap.ZONE_OF} {{ typeof meta mark : ct zone; }}
add map {FAMILY} {TABLE} {path_mtu.MSS_MAP} {path_mtu.MSS_MAP_TYPE}
"""
# Objects of earlier versions.
FORMER_OBJECTS = (
    *(f"chain {FAMILY} {TABLE} {name}" for name in ("decrypted", "path_mtu", "clamp")),
    f"chain {FAMILY} {TABLE} used_from_customer",
    f"map {FAMILY} {TABLE} outbound",
)

Json: TypeAlias = "dict[str, Any]"
Rule: TypeAlias = "list[Json]"

CHAINS: dict[str, Json] = {
    "early": {"type": "filter", "hook": "prerouting", "prio": EARLY, "policy": "accept"},
    EARLY_OUT: {},
    EARLY_IN: {},
    UNMARKED: {},
    "early_output": {"type": "filter", "hook": "output", "prio": EARLY, "policy": "accept"},
    "prerouting": {"type": "nat", "hook": "prerouting", "prio": -100, "policy": "accept"},
    "postrouting": {"type": "nat", "hook": "postrouting", "prio": 100, "policy": "accept"},
    "used": {"type": "filter", "hook": "postrouting", "prio": 110, "policy": "accept"},
    USED_OTHERS: {},
    path_mtu.SYN_OUT: {},
    path_mtu.SYN_IN: {},
    MARK_LATE: {},
    FORWARD_OUT: {},
    "forward": {"type": "filter", "hook": "forward", "prio": 0, "policy": "drop"},
    INPUT_OUT: {},
    "input": {"type": "filter", "hook": "input", "prio": 0, "policy": "accept"},
    ERRORS: {},
    "errors": {"type": "route", "hook": "output", "prio": -150, "policy": "accept"},
    "output": {"type": "filter", "hook": "output", "prio": 0, "policy": "accept"},
}


def rules(userland_esp: bool) -> dict[str, list[Rule]]:
    """Return the rules of each chain for userland ESP or for kernel ESP."""
    arrived, encrypting = (_device_matches if userland_esp else _ipsec_matches)()
    customer = {"concat": [_TUNNEL_MARK, _address("saddr")]}
    decrypted = _match(_bits(DECRYPTED_MARK), DECRYPTED_MARK)
    from_hosted_side = _match(_bits(DECRYPTED_MARK | HOSTED_MARK), HOSTED_MARK)
    mark_by_network = _mark_by(_address("saddr"), NatMap.NETWORKS)
    # A packet without a mark has no zone: the rule ends at its lookup.
    set_zone = _set({"ct": {"key": "zone"}}, _lookup(_TUNNEL_MARK, NatMap.ZONE_OF))
    early_errors: list[Rule] = []
    # Userland ESP marks no packet.
    without_mark, unmarked_chain, mark_late, late_chain = mark_by_network, [], [], []
    if not userland_esp:
        without_mark = _goto(UNMARKED)
        # The policy of such a CHILD_SA has no mark. That of its successor has, and would refuse
        # the packet. So the zone is chosen here, and the mark is set after the check.
        unmarked_chain = [
            [mark_by_network],
            [set_zone],
            [_set(_MARK, {"|": [_bits(NOT_MARK_BITS), DECRYPTED_MARK]})],
        ]
        mark_late = [[_not(_IN_TUNNEL), _jump(MARK_LATE)]]
        late_chain = [[mark_by_network], [_add_to_mark(DECRYPTED_MARK)]]
        early_errors = [[*path_mtu.error_about_esp(), *_MARK_BY_PEER]]
    return {
        "early": [
            [_UNMARKED, _not(arrived), _IS_HOSTED, _goto(EARLY_IN)],
            [arrived, _goto(EARLY_OUT)],
            *early_errors,
            [set_zone],
        ],
        # The kernel marks what a CHILD_SA with a mark decrypts. Userland ESP does not, and neither
        # does a CHILD_SA of a version of the portal without marks.
        EARLY_OUT: [
            [_not(_IN_TUNNEL), without_mark],
            [_add_to_mark(DECRYPTED_MARK)],
            [set_zone],
        ],
        EARLY_IN: [
            # All for a packet to an internal address, in one rule.
            [
                _mark_by(_address("daddr"), NatMap.TUNNEL_OF),
                _add_to_mark(HOSTED_MARK),
                set_zone,
                _ACCEPT,
            ],
            *early_errors,
            [_mark_by(_address("daddr"), NatMap.NETWORKS)],
            [_add_to_mark(HOSTED_MARK)],
            [set_zone],
        ],
        UNMARKED: unmarked_chain,
        # Answers and errors of the gateway itself have the mark of what they answer
        # (net.ipv4.fwmark_reflect), its own pings that of their tunnel.
        "early_output": [[_ICMP, set_zone]],
        "prerouting": [
            [_not(decrypted), {"dnat": {"addr": _lookup(_address("daddr"), NatMap.INBOUND)}}]
        ],
        "postrouting": [[decrypted, {"snat": {"addr": _lookup(customer, NatMap.OUTBOUND)}}]],
        # Both directions of a flow are one conntrack entry, whichever peer began the flow. A rule
        # ends at a pair that cannot be added; then another one counts the packet.
        "used": [
            [_translated("dnat"), _RENEW_DNAT, _ACCEPT],
            [_translated("dnat", "snat"), _goto(USED_OTHERS)],
        ],
        USED_OTHERS: [
            [_translated("dnat"), {"counter": UNRECORDED}, _ACCEPT],
            [_RENEW_SNAT, _ACCEPT],
            [{"counter": UNRECORDED}],
        ],
        MARK_LATE: late_chain,
        "forward": [
            [*path_mtu.syn(), from_hosted_side, encrypting, _jump(path_mtu.SYN_IN)],
            [from_hosted_side, encrypting, _ACCEPT],
            [decrypted, _goto(FORWARD_OUT)],
            [_not(from_hosted_side), *_drop("not_from_hosted")],
            _drop("outside_tunnels"),
        ],
        FORWARD_OUT: [
            *mark_late,
            [encrypting, *_drop("between_tunnels")],
            [*path_mtu.syn(), _jump(path_mtu.SYN_OUT)],
            # Without a route, a packet for a server would leave unencrypted on the public side.
            [_match({"meta": {"key": "oifname"}}, f"@{HOSTED_SIDE}"), _ACCEPT],
            _drop("outside_tunnels"),
        ],
        path_mtu.SYN_IN: path_mtu.rules_to_tunnel(userland_esp),
        path_mtu.SYN_OUT: path_mtu.rules_from_tunnel(userland_esp, _TUNNEL_MARK),
        "input": [[decrypted, _goto(INPUT_OUT)]],
        INPUT_OUT: [[_ANSWER, _ACCEPT], [_PING, _ACCEPT], _drop("to_the_gateway")],
        "errors": [[_ICMP, decrypted, _not(encrypting), _goto(ERRORS)]],
        # The kernel takes the source of an error from the route to the customer: an address of the
        # public side, which is not in the selectors of the tunnel. The destination of the packet in
        # error is. It comes from conntrack, because nftables 1.1.3 sets no address to the quoted
        # header. The error has the other direction of the flow.
        ERRORS: [
            [_ICMP_ERROR, _direction(error), _set(_address("saddr"), _flow(packet, "daddr"))]
            for error, packet in (("reply", "original"), ("original", "reply"))
        ],
        "output": [[_ICMP, decrypted, _not(encrypting), *_drop("outside_tunnels")]],
    }


def digest(userland_esp: bool) -> str:
    """Return the comment that all rules have; it contains a hash of the ruleset."""
    learning = path_mtu.learning_text(f"{FAMILY} {TABLE}", userland_esp, comment="")
    text = json.dumps([TABLE_TEXT, learning, CHAINS, rules(userland_esp)], sort_keys=True)
    return f"vpnportal {hashlib.sha256(text.encode()).hexdigest()[:12]}"


@cache
def comments(userland_esp: bool) -> dict[str, list[str]]:
    """Return the comments of the rules in each chain that has rules. Do not change the result."""
    numbers = {chain: len(lines) for chain, lines in rules(userland_esp).items()}
    numbers[path_mtu.LEARN_CHAIN] = 0 if userland_esp else path_mtu.LEARNING_RULES
    comment = digest(userland_esp)
    return {chain: [comment] * number for chain, number in numbers.items() if number}


def table_text(userland_esp: bool) -> str:
    """Return the commands that libnftables takes as text only; run them before `definition`."""
    comment = digest(userland_esp)
    return TABLE_TEXT + path_mtu.learning_text(f"{FAMILY} {TABLE}", userland_esp, comment)


def definition(userland_esp: bool) -> list[Json]:
    """Return the commands that write chains and rules. They keep sets, maps and their elements.

    Run `table_text` in an earlier transaction: libnftables marks a set that a rule of the same
    transaction updates, and does not recognise that set the next time.
    """
    place = {"family": FAMILY, "table": TABLE}
    commands: list[Json] = [{"add": {"table": {"family": FAMILY, "name": TABLE}}}]
    names = (*COUNTERS, UNRECORDED)
    commands += [{"add": {"counter": {**place, "name": name}}} for name in names]
    for name, hook in CHAINS.items():
        commands.append({"add": {"chain": {**place, "name": name, **hook}}})
        commands.append({"flush": {"chain": {**place, "name": name}}})
    comment = digest(userland_esp)
    for chain, lines in rules(userland_esp).items():
        commands += [
            {"add": {"rule": {**place, "chain": chain, "expr": line, "comment": comment}}}
            for line in lines
        ]
    return commands + _begin_record()


def _begin_record() -> list[Json]:
    """Return the commands that make RECORD_START as new as the rules of the same transaction."""
    place = {"family": FAMILY, "table": TABLE, "name": USAGE_SET}
    pair = {"concat": [dotted(address) for address in RECORD_START]}
    lasting = {"elem": {"val": pair, "timeout": RECORD_SECONDS}}
    # Only an element that exists can be deleted.
    steps = (("add", pair), ("delete", pair), ("add", lasting))
    return [{verb: {"element": {**place, "elem": [item]}}} for verb, item in steps]


def _drop(counter: str) -> Rule:
    return [{"counter": counter}, {"drop": None}]


_ACCEPT: Json = {"accept": None}
_MARK: Json = {"meta": {"key": "mark"}}
_STATE: Json = {"ct": {"key": "state"}}
_ANSWER: Json = {"match": {"op": "in", "left": _STATE, "right": ["established", "related"]}}
_ICMP_TYPE: Json = {"payload": {"protocol": "icmp", "field": "type"}}
_ERRORS = {"set": ["destination-unreachable", "time-exceeded", "parameter-problem"]}
_ICMP_ERROR: Json = {"match": {"op": "==", "left": _ICMP_TYPE, "right": _ERRORS}}
_ICMP: Json = {
    "match": {
        "op": "==",
        "left": {"payload": {"protocol": "ip", "field": "protocol"}},
        "right": "icmp",
    }
}
_PING: Json = {"match": {"op": "==", "left": _ICMP_TYPE, "right": "echo-request"}}


def _match(left: Json, right: Any, op: str = "==") -> Json:
    return {"match": {"op": op, "left": left, "right": right}}


def _device_matches() -> tuple[Json, Json]:
    """Return the matches of arriving decrypted packets and of packets to encrypt, for userland."""
    return (
        _match({"meta": {"key": "iifname"}}, DEVICE),
        _match({"meta": {"key": "oifname"}}, DEVICE),
    )


def _ipsec_matches() -> tuple[Json, Json]:
    """Return the matches of arriving decrypted packets and of packets to encrypt, for kernel ESP.

    Postrouting does not know that a packet was decrypted, so a bit of the mark says it there.
    """
    return _match({"meta": {"key": "ipsec"}}, True), _match({"rt": {"key": "ipsec"}}, True)


def _bits(mask: int) -> Json:
    return {"&": [_MARK, mask]}


_TUNNEL_MARK = _bits(MARK_BITS)
_IN_TUNNEL = _match(_TUNNEL_MARK, 0, "!=")
_UNMARKED = _match(_bits(TUNNEL_OR_DECRYPTED), 0)
_IS_HOSTED = _match({"meta": {"key": "iifname"}}, f"@{HOSTED_SIDE}")


def _not(match: Json) -> Json:
    operator = "==" if match["match"]["op"] == "!=" else "!="
    return {"match": {**match["match"], "op": operator}}


def _set(key: Json, value: Json) -> Json:
    return {"mangle": {"key": key, "value": value}}


def _mark_by(key: Json, name: NatMap) -> Json:
    return _set(_MARK, _lookup(key, name))


def _address(side: str) -> Json:
    return {"payload": {"protocol": "ip", "field": side}}


def _lookup(key: Json, name: NatMap) -> Json:
    return {"map": {"key": key, "data": f"@{name}"}}


def _flow(way: str, side: str) -> Json:
    return {"ct": {"key": f"ip {side}", "dir": way}}


def _direction(way: str) -> Json:
    return _match({"ct": {"key": "direction"}}, way)


def _translated(*how: str) -> Json:
    return {"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": [*how]}}


def _renew(internal: Json, customer: Json) -> Json:
    pair = {"concat": [internal, customer]}
    return {"set": {"op": "update", "elem": pair, "set": f"@{USAGE_SET}"}}


def _add_to_mark(bit: int) -> Json:
    return _set(_MARK, {"|": [_MARK, bit]})


def _jump(chain: str) -> Json:
    return {"jump": {"target": chain}}


def _goto(chain: str) -> Json:
    return {"goto": {"target": chain}}


_MARK_BY_PEER: Rule = [_mark_by(path_mtu.QUOTED_SOURCE_JSON, NatMap.PEERS), _ACCEPT]
_RENEW_DNAT = _renew(_flow("original", "daddr"), _flow("reply", "saddr"))
_RENEW_SNAT = _renew(_flow("reply", "daddr"), _flow("original", "saddr"))
