"""Texts with the concentrator's settings of a tunnel, as shown in findings."""

from __future__ import annotations

from vpnportal.domain.tunnel.algorithms import ENCRYPTIONS
from vpnportal.domain.tunnel.spec import TunnelSpec

PFS_OFF = "PFS off"


def phase_one_text(spec: TunnelSpec) -> str:
    """Return the phase 1 proposal, such as "AES256 / SHA256 / group 5"."""
    phase = spec.phase_one
    return f"{phase.encryption} / {phase.authentication} / group {phase.group}"


def phase_two_text(spec: TunnelSpec) -> str:
    """Return the phase 2 proposal, such as "AES256 / SHA256 / PFS off"; an AEAD has no hash."""
    phase = spec.phase_two
    authentication = "" if ENCRYPTIONS[phase.encryption].aead else f" / {phase.authentication}"
    return f"{phase.encryption}{authentication} / {pfs_text(spec)}"


def pfs_text(spec: TunnelSpec) -> str:
    """Return "group 5" or "PFS off"."""
    return f"group {spec.phase_two.group}" if spec.phase_two.pfs else PFS_OFF


def subnets_text(spec: TunnelSpec) -> str:
    """Return the subnets of the tunnel as text."""
    hosted = ", ".join(str(network) for network in sorted(spec.hosted_subnets))
    remote = ", ".join(str(network) for network in sorted(spec.remote_subnets))
    return selectors_text(hosted, remote)


def selectors_text(hosted: str, remote: str) -> str:
    """Return networks as text, such as "hosted 10.2.0.0/24, remote 192.168.10.0/24"."""
    return f"hosted {hosted}, remote {remote}"
