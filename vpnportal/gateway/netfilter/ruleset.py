"""The ruleset of the portal's nftables table: two maps, one set, six chains.

Translations are elements of the maps, so their number adds no rule. The rules:

- Forward packets only from a tunnel or into one. Drop and count all others, so that no packet
  leaves unencrypted while its tunnel is down.
- Accept from a tunnel to the gateway itself only pings and replies.
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
from vpnportal.domain.gateway_config.drop_counters import COUNTERS
from vpnportal.domain.gateway_config.nat_elements import NatMap

FAMILY, TABLE = "ip", "vpnportal"
# charon's tun device, from which packets of userland ESP arrive.
DEVICE = "ipsec0"
# One bit of the packet mark, which is not in charon's own mark (0x42).
DECRYPTED_MARK = 0x10000000
# 1500 bytes less ESP in UDP with the largest cipher block and hash, less IP and TCP headers.
MSS_BYTES = 1340
# The set of pairs of internal and customer address; a pair expires after its last packet.
USAGE_SET, RETENTION_SECONDS = "used", 30 * 86_400
# A pair that no flow has: its age is that of the rules. The counter of the packets whose pair the
# kernel could not add to the set.
RECORD_START, RECORD_SECONDS, UNRECORDED = (0, 0), 3650 * 86_400, "unrecorded"

# Part of the digest in the rules' comments. Another text would rewrite the rules of each gateway.
DIGEST_COUNTERS = {
    "between_tunnels": "From one tunnel into another",
    "outside_tunnels": "On its way past the tunnels",
    "to_the_gateway": "From a tunnel to the gateway itself",
}

Json: TypeAlias = "dict[str, Any]"
Rule: TypeAlias = "list[Json]"

CHAINS: dict[str, Json] = {
    "decrypted": {"type": "filter", "hook": "prerouting", "prio": -150, "policy": "accept"},
    "prerouting": {"type": "nat", "hook": "prerouting", "prio": -100, "policy": "accept"},
    "postrouting": {"type": "nat", "hook": "postrouting", "prio": 100, "policy": "accept"},
    "used": {"type": "filter", "hook": "postrouting", "prio": 110, "policy": "accept"},
    "used_from_customer": {},
    "forward": {"type": "filter", "hook": "forward", "prio": 0, "policy": "drop"},
    "input": {"type": "filter", "hook": "input", "prio": 0, "policy": "accept"},
}


def rules(userland_esp: bool) -> dict[str, list[Rule]]:
    """Return the rules of each chain for userland ESP or for kernel ESP."""
    decrypted, encrypting = (_device_matches if userland_esp else _mark_matches)()
    mark = [] if userland_esp else [[_match({"meta": {"key": "ipsec"}}, True), _SET_MARK]]
    to_customer = {"dnat": {"addr": _lookup("daddr", NatMap.INBOUND)}}
    from_customer = {"snat": {"addr": _lookup("saddr", NatMap.OUTBOUND)}}
    return {
        "decrypted": mark,
        "prerouting": [[_not(decrypted), to_customer]],
        "postrouting": [[decrypted, from_customer]],
        # Both directions of a flow are one conntrack entry, whichever peer began the flow. A rule
        # ends at a pair that cannot be added; the next one counts the packet.
        "used": [
            [
                _translated("dnat"),
                _renew(_flow("original", "daddr"), _flow("reply", "saddr")),
                _goto("used_from_customer"),
            ],
            [_translated("dnat"), {"counter": UNRECORDED}],
            [_goto("used_from_customer")],
        ],
        "used_from_customer": [
            [
                _translated("snat"),
                _renew(_flow("reply", "daddr"), _flow("original", "saddr")),
                {"accept": None},
            ],
            [_translated("snat"), {"counter": UNRECORDED}],
        ],
        "forward": [
            [decrypted, encrypting, *_drop("between_tunnels")],
            [*_syn(), {"mangle": {"key": _MAXSEG, "value": MSS_BYTES}}],
            [decrypted, {"accept": None}],
            [encrypting, {"accept": None}],
            _drop("outside_tunnels"),
        ],
        "input": [
            [decrypted, _ANSWER, {"accept": None}],
            [decrypted, _PING, {"accept": None}],
            [decrypted, *_drop("to_the_gateway")],
        ],
    }


def digest(userland_esp: bool) -> str:
    """Return the comment that all rules have; it contains a hash of the ruleset."""
    text = json.dumps([CHAINS, DIGEST_COUNTERS, rules(userland_esp)], sort_keys=True)
    return f"vpnportal {hashlib.sha256(text.encode()).hexdigest()[:12]}"


@cache
def comments(userland_esp: bool) -> dict[str, list[str]]:
    """Return the comments of the rules in each chain that has rules. Do not change the result."""
    comment = digest(userland_esp)
    return {chain: [comment] * len(lines) for chain, lines in rules(userland_esp).items() if lines}


def usage_set_definition() -> list[Json]:
    """Return the commands that create the usage set, or leave an existing set as it is.

    Run them in an earlier transaction than the rules: libnftables marks a set that a rule of the
    same transaction updates, and does not recognise that set the next time.
    """
    place = {
        "family": FAMILY,
        "table": TABLE,
        "name": USAGE_SET,
        "type": ["ipv4_addr", "ipv4_addr"],
    }
    # The kernel walks the whole set to free expired pairs, so once an hour is enough.
    bounds = {"timeout": RETENTION_SECONDS, "gc-interval": 3600, "size": 1_000_000}
    return [
        {"add": {"table": {"family": FAMILY, "name": TABLE}}},
        {"add": {"set": {**place, "flags": ["timeout"], **bounds}}},
    ]


def definition(userland_esp: bool) -> list[Json]:
    """Return the commands that write table, maps, chains and rules, but keep the maps' elements."""
    place = {"family": FAMILY, "table": TABLE}
    address = {"type": "ipv4_addr", "map": "ipv4_addr"}
    commands: list[Json] = [{"add": {"table": {"family": FAMILY, "name": TABLE}}}]
    commands += [{"add": {"map": {**place, "name": name, **address}}} for name in NatMap]
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


_MARK: Json = {"meta": {"key": "mark"}}
_SET_MARK: Json = {"mangle": {"key": _MARK, "value": {"|": [_MARK, DECRYPTED_MARK]}}}
_MAXSEG: Json = {"tcp option": {"name": "maxseg", "field": "size"}}

_STATE: Json = {"ct": {"key": "state"}}
_ANSWER: Json = {"match": {"op": "in", "left": _STATE, "right": ["established", "related"]}}
_ICMP_TYPE: Json = {"payload": {"protocol": "icmp", "field": "type"}}
_PING: Json = {"match": {"op": "==", "left": _ICMP_TYPE, "right": "echo-request"}}


def _match(left: Json, right: Any, op: str = "==") -> Json:
    return {"match": {"op": op, "left": left, "right": right}}


def _device_matches() -> tuple[Json, Json]:
    return (
        _match({"meta": {"key": "iifname"}}, DEVICE),
        _match({"meta": {"key": "oifname"}}, DEVICE),
    )


def _mark_matches() -> tuple[Json, Json]:
    """Return the matches of decrypted packets and of packets to encrypt, for kernel ESP.

    Postrouting does not know that a packet was decrypted, so prerouting marks the packet.
    """
    marked = {"&": [_MARK, DECRYPTED_MARK]}
    return _match(marked, DECRYPTED_MARK), _match({"rt": {"key": "ipsec"}}, True)


def _not(match: Json) -> Json:
    return {"match": {**match["match"], "op": "!="}}


def _lookup(side: str, name: NatMap) -> Json:
    return {"map": {"key": {"payload": {"protocol": "ip", "field": side}}, "data": f"@{name}"}}


def _translated(how: str) -> Json:
    return {"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": how}}


def _flow(way: str, side: str) -> Json:
    return {"ct": {"key": f"ip {side}", "dir": way}}


def _renew(internal: Json, customer: Json) -> Json:
    pair = {"concat": [internal, customer]}
    return {"set": {"op": "update", "elem": pair, "set": f"@{USAGE_SET}"}}


def _goto(chain: str) -> Json:
    return {"goto": {"target": chain}}


def _syn() -> Rule:
    flags = {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["syn", "rst"]]}
    return [_match(flags, "syn"), _match(_MAXSEG, MSS_BYTES, ">")]
