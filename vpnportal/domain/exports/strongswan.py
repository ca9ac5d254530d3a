"""strongSwan 5.9 and later: a file for swanctl.

swanctl.conf(5) (https://docs.strongswan.org/docs/5.9/swanctl/swanctlConf.html): connections,
children, secrets. Proposals are the portal's own words (`algorithms.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from vpnportal.domain.exports.algorithm_names import Words, is_aead, joined, phase_one, phase_two
from vpnportal.domain.exports.header import head
from vpnportal.domain.exports.peer_view import PeerChild, PeerSubnet, PeerView
from vpnportal.domain.exports.safe_text import KEY, Remarks
from vpnportal.domain.tunnel.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS

WORDS = Words(
    {one.name: one.keyword for one in ENCRYPTIONS.values()},
    {one.name: one.keyword for one in AUTHENTICATIONS.values()},
    {one.number: one.keyword for one in GROUPS.values() if one.number},
)


def strongswan(end: PeerView) -> str:
    """`ipsec038.conf` for /etc/swanctl/conf.d."""
    remarks = Remarks("strongSwan")
    body = [*_connection(end, remarks), *_secret(end)]
    first = head(
        "#",
        end,
        remarks,
        f"Save it as /etc/swanctl/conf.d/{end.name}.conf, readable by root only, and load it with:"
        " swanctl --load-all",
        "In the key, put a backslash before each double quote and each backslash. A key that begins"
        " with 0x or 0s is written as 0s and its base64, without quotes.",
    )
    return "\n".join((*first, *body, ""))


def _connection(end: PeerView, remarks: Remarks) -> Iterator[str]:
    early = end.phase_one.keylife // 10
    one = phase_one(end, WORDS, remarks)
    if is_aead(end.phase_one.encryption):
        one = one._replace(authentication=f"prf{one.authentication}")
    yield from ("connections {", f"    {end.name} {{")
    # Version 0 answers both and starts IKEv2.
    version = "0" if end.either_version else "2" if end.ikev2 else "1"
    settings = {
        "version": version,
        "local_addrs": end.address,
        "remote_addrs": end.concentrator,
        "proposals": joined(one),
        "rekey_time": f"{end.phase_one.keylife - early}s",
        "over_time": f"{early}s",
        "reauth_time": "0s",
        "dpd_delay": f"{end.dpd}s",
        **({"dpd_timeout": f"{3 * end.dpd}s"} if end.dpd and not end.ikev2 else {}),
        "unique": "replace",
        "mobike": "no",
    }
    yield from _settings(2, settings)
    for side, address in (("local", end.address), ("remote", end.concentrator)):
        yield f"        {side} {{"
        yield from _settings(3, {"auth": "psk", "id": address})
        yield "        }"
    yield "        children {"
    esp = joined(phase_two(end, WORDS, remarks))
    for number, child in enumerate(end.children, 1):
        yield from _child(end, f"{end.name}-{number}", child, esp)
    yield from ("        }", "    }", "}")


def _child(end: PeerView, name: str, child: PeerChild, esp: str) -> Iterator[str]:
    keylife = end.phase_two.keylife
    yield f"            {name} {{"
    settings = {
        "local_ts": _listed(child.own),
        "remote_ts": _listed(child.hosted),
        "esp_proposals": esp,
        "rekey_time": f"{keylife - keylife // 10}s",
        "life_time": f"{keylife}s",
        "start_action": "start" if end.must_start else "trap",
        "dpd_action": "restart" if end.must_start else "trap",
    }
    yield from _settings(4, settings)
    yield "            }"


def _secret(end: PeerView) -> Iterator[str]:
    yield from ("secrets {", f"    ike-{end.name} {{")
    yield from _settings(2, {"id-1": end.address, "id-2": end.concentrator, "secret": f'"{KEY}"'})
    yield from ("    }", "}")


def _settings(depth: int, settings: dict[str, str]) -> Iterator[str]:
    return (f"{' ' * 4 * depth}{key} = {value}" for key, value in settings.items())


def _listed(networks: tuple[PeerSubnet, ...]) -> str:
    return ", ".join(one.cidr for one in networks)
