"""The text of our nftables table: two maps, a set, six chains, and no rule for a translation.

Everything that a concentrator forwards comes out of a tunnel or goes into one; all else is dropped
and counted, so that nothing leaves in the clear while a tunnel is down. What comes out of a tunnel
may not reach the gateway itself, but for a ping and for answers to what it asked. Which networks a
tunnel may lead to is ESP's own check of every packet (RFC 4301, 5.2). Statements and expressions:
libnftables-json(5).

Each translated packet that has passed renews its pair of addresses in the set: how long the pair
has left there tells when it was last used.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeAlias

from vpnportal.domain.gateway_config.drop_counters import COUNTERS
from vpnportal.domain.gateway_config.nat_elements import NatMap

FAMILY, TABLE = "ip", "vpnportal"
# Userland ESP hands packets over in charon's tun device.
DEVICE = "ipsec0"
# One bit of the packet mark; charon's own mark (0x42) and this one do not meet.
DECRYPTED_MARK = 0x10000000
# 1500 bytes less ESP in UDP with the largest cipher block and hash, less IP and TCP headers.
MSS_BYTES = 1340
# Pairs of internal and customer address, forgotten so long after their last packet.
USED, REMEMBERED_SECONDS = "used", 30 * 86_400

Json: TypeAlias = "dict[str, Any]"
Rule: TypeAlias = "list[Json]"

CHAINS: dict[str, Json] = {
    "decrypted": {"type": "filter", "hook": "prerouting", "prio": -150, "policy": "accept"},
    "prerouting": {"type": "nat", "hook": "prerouting", "prio": -100, "policy": "accept"},
    "postrouting": {"type": "nat", "hook": "postrouting", "prio": 100, "policy": "accept"},
    "used": {"type": "filter", "hook": "postrouting", "prio": 110, "policy": "accept"},
    "forward": {"type": "filter", "hook": "forward", "prio": 0, "policy": "drop"},
    "input": {"type": "filter", "hook": "input", "prio": 0, "policy": "accept"},
}


def rules(userland_esp: bool) -> dict[str, list[Rule]]:
    """The rules of each chain, for the data plane in use."""
    decrypted, encrypting = (_by_device if userland_esp else _by_mark)()
    mark = [] if userland_esp else [[_match({"meta": {"key": "ipsec"}}, True), _SET_MARK]]
    to_customer = {"dnat": {"addr": _looked_up("daddr", NatMap.INBOUND)}}
    from_customer = {"snat": {"addr": _looked_up("saddr", NatMap.OUTBOUND)}}
    return {
        "decrypted": mark,
        "prerouting": [[_not(decrypted), to_customer]],
        "postrouting": [[decrypted, from_customer]],
        # Whoever began the flow: both ways its packets belong to one entry of conntrack.
        "used": [
            [_translated("dnat"), _renew(_flow("original", "daddr"), _flow("reply", "saddr"))],
            [_translated("snat"), _renew(_flow("reply", "daddr"), _flow("original", "saddr"))],
        ],
        "forward": [
            [decrypted, encrypting, *_dropped("between_tunnels")],
            [*_syn(), {"mangle": {"key": _MAXSEG, "value": MSS_BYTES}}],
            [decrypted, {"accept": None}],
            [encrypting, {"accept": None}],
            _dropped("outside_tunnels"),
        ],
        "input": [
            [decrypted, _ANSWER, {"accept": None}],
            [decrypted, _PING, {"accept": None}],
            [decrypted, *_dropped("to_the_gateway")],
        ],
    }


def digest(userland_esp: bool) -> str:
    """The comment that each rule carries: which ruleset, in which version, it belongs to."""
    text = json.dumps([CHAINS, COUNTERS, rules(userland_esp)], sort_keys=True)
    return f"vpnportal {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def usage_set_definition() -> list[Json]:
    """Commands that make the set, or leave it and what it remembers as it is.

    It must be there before the rules are: libnftables marks a set that a rule of the same
    transaction updates, and then takes it for another one the next time.
    """
    place = {"family": FAMILY, "table": TABLE, "name": USED, "type": ["ipv4_addr", "ipv4_addr"]}
    # Searching it for what is forgotten takes long where there is much; nobody waits for that.
    bounds = {"timeout": REMEMBERED_SECONDS, "gc-interval": 3600, "size": 1_000_000}
    return [
        {"add": {"table": {"family": FAMILY, "name": TABLE}}},
        {"add": {"set": {**place, "flags": ["timeout"], **bounds}}},
    ]


def definition(userland_esp: bool) -> list[Json]:
    """Commands that put table, maps, chains and rules right and leave the maps' elements alone."""
    place = {"family": FAMILY, "table": TABLE}
    address = {"type": "ipv4_addr", "map": "ipv4_addr"}
    commands: list[Json] = [{"add": {"table": {"family": FAMILY, "name": TABLE}}}]
    commands += [{"add": {"map": {**place, "name": name, **address}}} for name in NatMap]
    commands += [{"add": {"counter": {**place, "name": name}}} for name in COUNTERS]
    for name, hook in CHAINS.items():
        commands.append({"add": {"chain": {**place, "name": name, **hook}}})
        commands.append({"flush": {"chain": {**place, "name": name}}})
    comment = digest(userland_esp)
    for chain, lines in rules(userland_esp).items():
        commands += [
            {"add": {"rule": {**place, "chain": chain, "expr": line, "comment": comment}}}
            for line in lines
        ]
    return commands


def _dropped(counter: str) -> Rule:
    return [{"counter": counter}, {"drop": None}]


_MARK: Json = {"meta": {"key": "mark"}}
_SET_MARK: Json = {"mangle": {"key": _MARK, "value": {"|": [_MARK, DECRYPTED_MARK]}}}
_MAXSEG: Json = {"tcp option": {"name": "maxseg", "field": "size"}}

_STATE: Json = {"ct": {"key": "state"}}
_ANSWER: Json = {"match": {"op": "in", "left": _STATE, "right": ["established", "related"]}}
_ICMP_TYPE: Json = {"payload": {"protocol": "icmp", "field": "type"}}
_PING: Json = {"match": {"op": "==", "left": _ICMP_TYPE, "right": "echo-request"}}


def _match(left: Json, right: Any, op: str = "==") -> Json:
    return {"match": {"op": op, "left": left, "right": right}}


def _by_device() -> tuple[Json, Json]:
    return (
        _match({"meta": {"key": "iifname"}}, DEVICE),
        _match({"meta": {"key": "oifname"}}, DEVICE),
    )


def _by_mark() -> tuple[Json, Json]:
    """Kernel ESP: whence a packet came is no longer known in postrouting, so it is marked."""
    marked = {"&": [_MARK, DECRYPTED_MARK]}
    return _match(marked, DECRYPTED_MARK), _match({"rt": {"key": "ipsec"}}, True)


def _not(match: Json) -> Json:
    return {"match": {**match["match"], "op": "!="}}


def _looked_up(side: str, name: NatMap) -> Json:
    return {"map": {"key": {"payload": {"protocol": "ip", "field": side}}, "data": f"@{name}"}}


def _translated(how: str) -> Json:
    return {"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": how}}


def _flow(way: str, side: str) -> Json:
    return {"ct": {"key": f"ip {side}", "dir": way}}


def _renew(internal: Json, customer: Json) -> Json:
    pair = {"concat": [internal, customer]}
    return {"set": {"op": "update", "elem": pair, "set": f"@{USED}"}}


def _syn() -> Rule:
    flags = {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["syn", "rst"]]}
    return [_match(flags, "syn"), _match(_MAXSEG, MSS_BYTES, ">")]
