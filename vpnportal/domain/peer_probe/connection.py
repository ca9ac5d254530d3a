"""An offer to a peer, and the vici connection that sends it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vpnportal.domain.gateway_config.desired import ViciSection
from vpnportal.domain.gateway_config.names import probe_of
from vpnportal.domain.peer_probe.offers import Proposals
from vpnportal.domain.tunnel.spec import TunnelSpec


@dataclass(frozen=True, slots=True)
class ProbeOffer:
    """Proposals for phase 1, and for phase 2 if the offer probes it; `version` is that of IKE.

    A `patient` offer waits longer: the peer has answered an equal one, but was not done in time.
    """

    name: str
    version: int
    ike: Proposals
    esp: Proposals = ()
    patient: bool = False

    @property
    def retry(self) -> ProbeOffer:
        """This offer under a second name, with more time."""
        return replace(self, name=f"{self.name}, retry", patient=True)


def connection(spec: TunnelSpec, offer: ProbeOffer) -> ViciSection:
    """Return the offer as a connection for `load-conn`, with at most one child of the same name.

    The connection installs no policies, tries once, and replaces no SA (`unique`). An offer
    without phase 2 has identities that match no secret, not even that of another tunnel.
    """
    name = probe_of(spec.tunnel_id)
    local, remote = (spec.hosted_peer, spec.remote_peer) if offer.esp else (name, name)
    settings: ViciSection = {
        "version": str(offer.version),
        "local_addrs": [str(spec.hosted_peer)],
        "remote_addrs": [str(spec.remote_peer)],
        "proposals": list(offer.ike),
        # The key life of the draft, because some devices refuse a longer life than theirs.
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
    """Return the child; IKEv1 has one pair of networks in a Quick Mode (RFC 2409, 5.5)."""
    hosted = [str(network) for network in sorted(spec.hosted_subnets)]
    remote = [str(network) for network in sorted(spec.remote_subnets)]
    limit = 1 if offer.version == 1 else None
    return {
        "local_ts": list(hosted[:limit]),
        "remote_ts": list(remote[:limit]),
        "esp_proposals": list(offer.esp),
        "life_time": f"{spec.phase_two.keylife}s",
        "rekey_time": f"{spec.phase_two.keylife}s",
        "policies": "no",
        "start_action": "none",
        "close_action": "none",
    }
