"""A concentrator as its gateway joins and leaves: its row, its pools, the key of its machine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from vpnportal.domain.tunnel.spec import Problem
from vpnportal.models import (
    AddressPool,
    AddressRelease,
    Concentrator,
    Datacenter,
    Event,
    Tunnel,
    record_event,
)
from vpnportal.models.row_locks import lock_concentrators
from vpnportal.services.envelope_keys import set_envelope_key
from vpnportal.services.errors import Refused

MIN_PREFIX = 8


def add_concentrator(
    name: str,
    public_address: str,
    datacenter: str,
    location: str,
    pools: Sequence[tuple[AddressPool.Kind, str]],
) -> bool:
    """Create a concentrator, or check that an existing one is as described. Return True if new.

    "" is an unspecified value, which an existing concentrator does not need. Pools are added to an
    existing one. Raises Refused.
    """
    with transaction.atomic():
        # Pools are compared with those of all concentrators.
        lock_concentrators()
        concentrator = Concentrator.objects.filter(name=name).first()
        is_new = concentrator is None
        if concentrator is None:
            concentrator = _create(name, public_address, _datacenter(datacenter, location))
        elif public_address and concentrator.public_address != public_address:
            raise _refused(
                "public_address",
                f"{name} has the public address {concentrator.public_address}. Change it under "
                "Administration.",
            )
        added = [
            str(network) for kind, text in pools if (network := _add_pool(concentrator, kind, text))
        ]
        if is_new or added:
            action = (
                Event.Action.CONCENTRATOR_ADDED if is_new else Event.Action.CONCENTRATOR_CHANGED
            )
            after = {"public_address": concentrator.public_address, "pools": added}
            record_event(action, concentrator=concentrator, after=after)
        return is_new


def note_joined(name: str, public_key: str, certificate_until: datetime) -> None:
    """Record the key and the certificate's end of a gateway that has joined. Raises Refused."""
    concentrator = _existing(name)
    with transaction.atomic():
        set_envelope_key(concentrator, public_key)
        _note_certificate(concentrator.pk, certificate_until)
        record_event(
            Event.Action.GATEWAY_JOINED,
            concentrator=concentrator,
            after={"certificate_until": certificate_until},
        )


def note_certificate(name: str, certificate_until: datetime) -> None:
    """Record the end of a gateway's certificate."""
    with transaction.atomic():
        concentrator = Concentrator.objects.filter(name=name).first()
        if concentrator is not None:
            _note_certificate(concentrator.pk, certificate_until)
            record_event(
                Event.Action.GATEWAY_CERTIFICATE_RENEWED,
                concentrator=concentrator,
                before={"certificate_until": concentrator.certificate_until},
                after={"certificate_until": certificate_until},
            )


def _note_certificate(pk: int, certificate_until: datetime | None) -> None:
    Concentrator.objects.filter(pk=pk).update(certificate_until=certificate_until)


def note_removed(name: str) -> bool:
    """Seal nothing more for a gateway that was removed. Return False without its concentrator."""
    concentrator = Concentrator.objects.filter(name=name).first()
    if concentrator is None:
        return False
    with transaction.atomic():
        set_envelope_key(concentrator, "")
        _note_certificate(concentrator.pk, None)
        record_event(Event.Action.GATEWAY_REMOVED, concentrator=concentrator)
    return True


def tunnels_of_gateway(name: str) -> int:
    """Return the number of tunnels that a gateway has, or has yet to release."""
    releases = AddressRelease.objects.filter(concentrator__name=name, released_at=None)
    is_released = Exists(releases.filter(tunnel=OuterRef("pk")))
    is_own = Q(concentrator__name=name, cancelled_at=None)
    return Tunnel.objects.filter(is_own | is_released).count()


def _existing(name: str) -> Concentrator:
    concentrator = Concentrator.objects.filter(name=name).first()
    if concentrator is None:
        raise _refused(
            "name", f"There is no concentrator {name}: `vpnportal gateway add` makes it."
        )
    return concentrator


def _create(name: str, public_address: str, datacenter: Datacenter) -> Concentrator:
    try:
        address = IPv4Address(public_address)
    except ValueError:
        raise _refused(
            "public_address",
            "A new concentrator needs --public-address, the IPv4 address of its public side, such "
            "as 203.0.113.1.",
        ) from None
    concentrator = Concentrator(name=name, datacenter=datacenter, public_address=str(address))
    try:
        others = {field.name for field in Concentrator._meta.fields} - {"name", "public_address"}
        concentrator.full_clean(exclude=others)
    except ValidationError as error:
        raise _refused("name", " ".join(error.messages)) from None
    concentrator.save()
    return concentrator


def _datacenter(name: str, long_name: str) -> Datacenter:
    if not name:
        raise _refused(
            "datacenter", "A new concentrator needs --datacenter, its location, such as hou02."
        )
    known = Datacenter.objects.filter(name=name).first()
    if known is None:
        known = Datacenter(name=name, long_name=long_name or name)
        try:
            known.full_clean()
        except ValidationError as error:
            raise _refused("datacenter", " ".join(error.messages)) from None
        known.save()
    return known


def _add_pool(concentrator: Concentrator, kind: AddressPool.Kind, text: str) -> IPv4Network | None:
    """Add a pool and return its network, or None if the concentrator has it."""
    try:
        network = IPv4Network(text)
    except ValueError as error:
        raise _refused(
            kind.value, f"{text} is no IPv4 network, such as 10.1.255.0/24: {error}."
        ) from None
    if network.prefixlen < MIN_PREFIX:
        raise _refused(kind.value, f"A pool is at most a /{MIN_PREFIX}, and {text} is larger.")
    for pool in AddressPool.objects.filter(kind=kind).select_related("concentrator"):
        if pool.concentrator == concentrator and pool.network == network:
            return None
        if network.overlaps(pool.network):
            raise _refused(
                kind.value, f"{text} overlaps {pool.network} of {pool.concentrator.name}."
            )
    AddressPool.objects.create(concentrator=concentrator, kind=kind, network=network)
    return network


def _refused(field: str, text: str) -> Refused:
    return Refused(Problem(field, text))
