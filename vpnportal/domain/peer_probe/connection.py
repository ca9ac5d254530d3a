"""One attempt to learn something of a peer, and the connection that makes it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vpnportal.domain.gateway_config.desired import ViciSection
from vpnportal.domain.gateway_config.names import probe_of
from vpnportal.domain.peer_probe.offers import Proposals
from vpnportal.domain.tunnel.spec import TunnelSpec


@dataclass(frozen=True, slots=True)
class ProbeOffer:
    """Proposals for phase one, and for phase two where that is what is asked."""

    name: str
    version: int
    ike: Proposals
    esp: Proposals = ()

    @property
    def again(self) -> ProbeOffer:
        """The same once more."""
        return replace(self, name=f"{self.name}, again")


def connection(spec: TunnelSpec, offer: ProbeOffer) -> ViciSection:
    """The offer as a connection with at most one child of its name, as `load-conn` takes it.

    It routes nothing (`policies`), tries once, and replaces no association (`unique`). Without a
    phase two it has identities that no secret belongs to: not even another tunnel's is used.
    """
    name = probe_of(spec.tunnel_id)
    local, remote = (spec.hosted_peer, spec.remote_peer) if offer.esp else (name, name)
    settings: ViciSection = {
        "version": str(offer.version),
        "local_addrs": [str(spec.hosted_peer)],
        "remote_addrs": [str(spec.remote_peer)],
        "proposals": list(offer.ike),
        # What the tunnel will ask for: some devices refuse a longer life than theirs.
        "rekey_time": f"{spec.phase_one.keylife}s",
        "over_time": "0s",
        "rand_time": "0s",
        "unique": "never",
        "keyingtries": "1",
        "mobike": "no",
        "aggressive": "no",
        "local": {"auth": "psk", "id": str(local)},
        "remote": {"auth": "psk", "id": str(remote)},
    }
    return {**settings, "children": {name: _child(spec, offer)}} if offer.esp else settings


def _child(spec: TunnelSpec, offer: ProbeOffer) -> ViciSection:
    """IKEv1 has one pair of networks in a Quick Mode (RFC 2409, 5.5): the first of each end."""
    hosted = [str(network) for network in sorted(spec.hosted_subnets)]
    remote = [str(network) for network in sorted(spec.remote_subnets)]
    only = 1 if offer.version == 1 else None
    return {
        "local_ts": list(hosted[:only]),
        "remote_ts": list(remote[:only]),
        "esp_proposals": list(offer.esp),
        "life_time": f"{spec.phase_two.keylife}s",
        "rekey_time": f"{spec.phase_two.keylife}s",
        "policies": "no",
        "start_action": "none",
        "close_action": "none",
    }
