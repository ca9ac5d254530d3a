"""A draft becomes a specification: what of it the account still has, and only what differs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from django.contrib.auth.models import User

from vpnportal.domain.addresses import inside
from vpnportal.domain.changes import Change, changes, value_of
from vpnportal.domain.spec import Starts, TunnelSpec
from vpnportal.fields import Sealed
from vpnportal.models import AddressTranslation, Subnet, Tunnel
from vpnportal.services.drafts import EDITABLE
from vpnportal.services.edits import KEY, note_edits
from vpnportal.services.remote_subnets import detach
from vpnportal.services.rows import Row
from vpnportal.services.translations import record

HERE = (Subnet.Kind.HOSTED, Subnet.Kind.SERVICE)


def possible(tunnel: Tunnel, spec: TunnelSpec) -> tuple[TunnelSpec, tuple[str, ...]]:
    """As much of a specification as this draft may have, and what it may not, in sentences."""
    own = Subnet.objects.offered_to(tunnel).filter(network__in=spec.hosted_subnets)
    there = {row.network for row in own}
    assigned = tunnel.networks(Subnet.Kind.STATIC_NAT)
    hosted = tuple(one for one in spec.hosted_subnets if one in there)
    rows = tuple(row for row in spec.translations if inside(row.internal, assigned))
    target = replace(
        spec,
        hosted_peer=IPv4Address(tunnel.hosted_peer),
        hosted_subnets=hosted,
        static_nat_subnets=assigned,
        translations=rows,
    )
    left_out = [
        f"{one} is no subnet of this account any more"
        for one in spec.hosted_subnets
        if one not in there
    ]
    left_out += [
        f"{row.internal} is in no static NAT subnet of this tunnel any more"
        for row in spec.translations
        if row not in rows
    ]
    return target, tuple(left_out)


def become(tunnel: Tunnel, target: TunnelSpec, author: User) -> tuple[Change, ...]:
    """Write what differs, and that it was edited."""
    found = changes(tunnel.draft(), target)
    fields = {change.field for change in found}
    columns = {name: _column(value_of(target, name)) for name in fields & EDITABLE}
    if KEY in fields:
        columns[KEY] = Sealed.of(target.preshared_key, tunnel.preshared_key_context)
    if columns:
        Tunnel.objects.filter(pk=tunnel.pk).update(**columns)
    if "hosted_subnets" in fields:
        _set_hosted(tunnel, target.hosted_subnets)
    if "remote_subnets" in fields:
        _set_remote(tunnel, target.remote_subnets)
    _set_translations(tunnel, target, fields)
    if fields:
        note_edits(tunnel, fields, author)
    return found


def _column(value: object) -> object:
    return str(value) if isinstance(value, IPv4Address | Starts) else value


def _set_hosted(tunnel: Tunnel, networks: Iterable[IPv4Network]) -> None:
    wanted = Subnet.objects.offered_to(tunnel).filter(network__in=list(networks))
    tunnel.subnets.remove(*tunnel.subnets.filter(kind__in=HERE).exclude(pk__in=wanted))
    tunnel.subnets.add(*wanted)


def _set_remote(tunnel: Tunnel, networks: Iterable[IPv4Network]) -> None:
    wanted, customer = set(networks), Subnet.Kind.CUSTOMER
    for row in tunnel.subnets.filter(kind=customer):
        if row.network not in wanted:
            detach(tunnel, row)
    for network in wanted:
        row, _ = tunnel.account.subnets.get_or_create(kind=customer, network=network)
        tunnel.subnets.add(row)


def _set_translations(tunnel: Tunnel, target: TunnelSpec, fields: Iterable[str]) -> None:
    wanted = {f"translation {row.internal}": row for row in target.translations}
    changed = [field for field in fields if field.startswith("translation ")]
    addresses = [field.removeprefix("translation ") for field in changed]
    tunnel.translations.filter(internal_address__in=addresses).delete()
    rows = (wanted[field] for field in changed if field in wanted)
    AddressTranslation.objects.bulk_create(
        [record(tunnel, Row(row.internal, row.customer, row.name)) for row in rows]
    )
