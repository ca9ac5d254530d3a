"""strongSwan 5.9 and later: a file for swanctl.

swanctl.conf(5) (https://docs.strongswan.org/docs/5.9/swanctl/swanctlConf.html): connections,
children, secrets. Proposals use the keywords of `domain/tunnel/algorithms.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from vpnportal.domain.exports.algorithm_names import (
    AlgorithmNames,
    is_aead,
    phase_one_names,
    phase_two_names,
    proposal_of,
)
from vpnportal.domain.exports.header import head
from vpnportal.domain.exports.peer_view import PeerChild, PeerSubnet, PeerView
from vpnportal.domain.exports.safe_text import KEY, Remarks
from vpnportal.domain.tunnel.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS

NAMES = AlgorithmNames(
    {cipher.name: cipher.keyword for cipher in ENCRYPTIONS.values()},
    {digest.name: digest.keyword for digest in AUTHENTICATIONS.values()},
    {group.number: group.keyword for group in GROUPS.values() if group.number},
)


def strongswan(peer: PeerView) -> str:
    """Return the text of a file such as `ipsec038.conf` in /etc/swanctl/conf.d."""
    remarks = Remarks("strongSwan")
    body = [*_connection(peer, remarks), *_secret(peer)]
    first = head(
        "#",
        peer,
        remarks,
        f"Save as /etc/swanctl/conf.d/{peer.name}.conf, readable by root only. Load it with:"
        " swanctl --load-all",
        "Escape double quotes and backslashes in the preshared key with a backslash. Write a key"
        " that begins with 0x or 0s as 0s and its base64, without quotes.",
    )
    return "\n".join((*first, *body, ""))


def _connection(peer: PeerView, remarks: Remarks) -> Iterator[str]:
    early = peer.phase_one.keylife // 10
    names = phase_one_names(peer, NAMES, remarks)
    if is_aead(peer.phase_one.encryption):
        names = names._replace(authentication=f"prf{names.authentication}")
    yield from ("connections {", f"    {peer.name} {{")
    # Version 0 accepts both versions and initiates with IKEv2.
    version = "0" if peer.accepts_both_versions else "2" if peer.ikev2 else "1"
    settings = {
        "version": version,
        "local_addrs": peer.address,
        "remote_addrs": peer.concentrator,
        "proposals": proposal_of(names),
        "rekey_time": f"{peer.phase_one.keylife - early}s",
        "over_time": f"{early}s",
        "reauth_time": "0s",
        "dpd_delay": f"{peer.dpd}s",
        **({"dpd_timeout": f"{3 * peer.dpd}s"} if peer.dpd and not peer.ikev2 else {}),
        "unique": "replace",
        "mobike": "no",
    }
    yield from _settings(2, settings)
    for side, address in (("local", peer.address), ("remote", peer.concentrator)):
        yield f"        {side} {{"
        yield from _settings(3, {"auth": "psk", "id": address})
        yield "        }"
    yield "        children {"
    esp = proposal_of(phase_two_names(peer, NAMES, remarks))
    for number, child in enumerate(peer.children, 1):
        yield from _child(peer, f"{peer.name}-{number}", child, esp)
    yield from ("        }", "    }", "}")


def _child(peer: PeerView, name: str, child: PeerChild, esp: str) -> Iterator[str]:
    keylife = peer.phase_two.keylife
    yield f"            {name} {{"
    settings = {
        "local_ts": _cidrs(child.own),
        "remote_ts": _cidrs(child.hosted),
        "esp_proposals": esp,
        "rekey_time": f"{keylife - keylife // 10}s",
        "life_time": f"{keylife}s",
        "start_action": "start" if peer.must_initiate else "trap",
        "dpd_action": "restart" if peer.must_initiate else "trap",
    }
    yield from _settings(4, settings)
    yield "            }"


def _secret(peer: PeerView) -> Iterator[str]:
    yield from ("secrets {", f"    ike-{peer.name} {{")
    yield from _settings(2, {"id-1": peer.address, "id-2": peer.concentrator, "secret": f'"{KEY}"'})
    yield from ("    }", "}")


def _settings(depth: int, settings: dict[str, str]) -> Iterator[str]:
    return (f"{' ' * 4 * depth}{key} = {value}" for key, value in settings.items())


def _cidrs(networks: tuple[PeerSubnet, ...]) -> str:
    return ", ".join(network.cidr for network in networks)
