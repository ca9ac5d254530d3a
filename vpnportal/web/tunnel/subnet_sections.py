"""The remote, hosted and service subnets on a tunnel's page, and the subnets that can be added.

A module of its own, because `page` imports it. The views in `remote_subnets` and `hosted_subnets`
import `page`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Network

from django.conf import settings

from vpnportal.domain import addresses
from vpnportal.models import NetworkGrant, Subnet, Tunnel


@dataclass(frozen=True, slots=True)
class RemoteSubnetEntry:
    """The typed values of a refused remote subnet; `suggestion` is a corrected network or ""."""

    ip: str
    cidr: str
    problem: str
    suggestion: str = ""


@dataclass(frozen=True, slots=True)
class RemoteSubnetsSection:
    """The content of `tunnel/sections/remote_subnets.html`: subnets, each with a warning or ""."""

    subnets: list[tuple[Subnet, str]]
    entry: RemoteSubnetEntry | None = None


@dataclass(frozen=True, slots=True)
class HostedSubnetsSection:
    """The content of `tunnel/sections/hosted_subnets.html`, for subnets of one kind.

    `kind_label` is "Hosted" or "Service".
    """

    kind: str
    kind_label: str
    subnets: list[Subnet]
    available: list[Subnet]
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class SubnetSections:
    """The subnet sections of a page; all three come from two queries."""

    remote: RemoteSubnetsSection
    hosted: HostedSubnetsSection
    service: HostedSubnetsSection

    def of_kind(self, kind: str) -> HostedSubnetsSection:
        """Return the section of hosted or of service subnets."""
        return self.hosted if kind == Subnet.Kind.HOSTED else self.service

    def with_section(self, section: HostedSubnetsSection) -> SubnetSections:
        """Return a copy in which `section` replaces the section of the same kind."""
        if section.kind == Subnet.Kind.HOSTED:
            return replace(self, hosted=section)
        return replace(self, service=section)


def subnet_sections(tunnel: Tunnel) -> SubnetSections:
    """Return the tunnel's subnets and the subnets that can be added, sorted by address."""
    attached = sorted(tunnel.subnets.all(), key=lambda subnet: subnet.network)
    offered = Subnet.objects.offered_to(tunnel).exclude(pk__in=[subnet.pk for subnet in attached])
    available = sorted(offered, key=lambda subnet: subnet.network)
    remote = [subnet for subnet in attached if subnet.kind == Subnet.Kind.CUSTOMER]
    return SubnetSections(
        remote=RemoteSubnetsSection(_with_warnings(tunnel, remote)),
        hosted=_hosted_section(Subnet.Kind.HOSTED, "Hosted", attached, available),
        service=_hosted_section(Subnet.Kind.SERVICE, "Service", attached, available),
    )


def _with_warnings(tunnel: Tunnel, remote: list[Subnet]) -> list[tuple[Subnet, str]]:
    """Return each remote subnet with a warning: what reserves nothing needs none."""
    if tunnel.translated_only:
        return [(subnet, "") for subnet in remote]
    networks = tuple(subnet.network for subnet in remote)
    missing = set(NetworkGrant.objects.missing(tunnel.account_id, networks))
    return [
        (subnet, _without_grant(subnet.network) if subnet.network in missing else warning)
        for subnet in remote
        for warning in [addresses.subnet_warning(subnet.network)]
    ]


def _without_grant(network: IPv4Network) -> str:
    return (
        f"{network} {addresses.claim_objection(network, settings.CLAIM_PREFIX)}. Apply refuses it "
        "unless the service operators granted it to this account, or the tunnel has translated "
        "access only."
    )


def _hosted_section(
    kind: Subnet.Kind, kind_label: str, attached: list[Subnet], available: list[Subnet]
) -> HostedSubnetsSection:
    return HostedSubnetsSection(
        kind=kind.value,
        kind_label=kind_label,
        subnets=[subnet for subnet in attached if subnet.kind == kind],
        available=[subnet for subnet in available if subnet.kind == kind],
    )
