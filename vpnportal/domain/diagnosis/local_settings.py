"""What this end has, in the customers' words."""

from __future__ import annotations

from vpnportal.domain.tunnel.algorithms import ENCRYPTIONS
from vpnportal.domain.tunnel.spec import TunnelSpec


def phase_one_of(spec: TunnelSpec) -> str:
    """Such as "AES256, SHA256, group 5"."""
    one = spec.phase_one
    return f"{one.encryption}, {one.authentication}, group {one.group}"


def phase_two_of(spec: TunnelSpec) -> str:
    """Such as "AES256, SHA256, no PFS"; an AEAD has no authentication of its own."""
    two = spec.phase_two
    digest = "" if ENCRYPTIONS[two.encryption].aead else f", {two.authentication}"
    return f"{two.encryption}{digest}, {pfs_of(spec)}"


def pfs_of(spec: TunnelSpec) -> str:
    """Such as "group 5" or "no PFS"."""
    return f"group {spec.phase_two.group}" if spec.phase_two.pfs else "no PFS"


def subnets_of(spec: TunnelSpec) -> str:
    """Both ends' networks, as this end has them."""
    here = ", ".join(str(network) for network in sorted(spec.hosted_subnets))
    there = ", ".join(str(network) for network in sorted(spec.remote_subnets))
    return f"{here} at this end, {there} at the other"
