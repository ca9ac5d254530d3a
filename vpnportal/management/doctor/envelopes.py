"""Checks of envelopes: each gateway opens what it must read, and no key of the portal is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from django.conf import settings

from vpnportal.encryption import (
    CannotOpen,
    gateway_public_keys,
    has_keys,
    id_of_public_key,
)
from vpnportal.gateway.requirements.findings import Finding, at_risk, met, unmet
from vpnportal.models import Concentrator, Revision
from vpnportal.reconciler.local_target import local_target
from vpnportal.reconciler.stored_revision import StoredRevision

BY_PORTAL_ALONE = "The portal seals with its own key alone: it does not know the gateway's key."
OPENS_ALL = "With a copy of the database, it opens the secrets of all gateways."


def of_portal() -> Iterator[Finding]:
    """Check that the desired state of each concentrator is sealed for its gateway's key."""
    count, others = Counter[int](), Counter[int]()
    key_ids = {
        pk: id_of_public_key(public_key)
        for pk, public_key in Concentrator.objects.exclude(envelope_key="").values_list(
            "pk", "envelope_key"
        )
    }
    rows = Revision.objects.holding().values_list("concentrator_id", "specification")
    for pk, sealed in rows.iterator():
        count[pk] += 1
        others[pk] += sealed.gateway_key_id != key_ids.get(pk)
    for concentrator in Concentrator.objects.order_by("name"):
        name, pk = concentrator.name, concentrator.pk
        on_gateway = "On the gateway run `vpnportal keys`, and then on the portal what it prints."
        if pk not in key_ids:
            yield at_risk(f"envelopes/{name}", BY_PORTAL_ALONE, on_gateway)
        elif others[pk]:
            yield unmet(
                f"envelopes/{name}",
                f"{others[pk]:,} of {count[pk]:,} revisions are not sealed for its gateway's key.",
                on_gateway,
            )
        else:
            text = f"{count[pk]:,} revisions are sealed for its gateway's key {key_ids[pk]}."
            yield met(f"envelopes/{name}", text)


def of_gateway() -> Iterator[Finding]:
    """Check that the portal seals for the current key here, and that each revision opens."""
    concentrator = Concentrator.objects.get(name=settings.CONCENTRATOR)
    yield _registered_key(concentrator)
    lines, unreadable = Counter[str](), list[str]()
    for revision in Revision.objects.holding().filter(concentrator=concentrator).iterator():
        try:
            revision.spec()
            lines[revision.specification.gateway_key_id] += 1
        except CannotOpen:
            unreadable.append(str(revision))
    if unreadable:
        yield unmet(
            "envelopes/revisions",
            f"{len(unreadable):,} revisions do not open with the keys here, such as "
            f"{unreadable[0]}.",
            _register(),
        )
    else:
        yield met("envelopes/revisions", f"All {lines.total():,} revisions open.")
    lines.update(_readers_of_files())
    for line, public_key in enumerate(gateway_public_keys(), start=1):
        key_id = id_of_public_key(public_key)
        text = f"{lines[key_id]:,} revisions and files need the key {key_id}."
        if line > 1 and not lines[key_id]:
            text += f" Remove the line, and restart vpnportal-worker@{settings.CONCENTRATOR}."
        yield met(f"envelopes/line {line}", text)


def _readers_of_files() -> Iterator[str]:
    """Yield the id of the key of each stored tunnel; its own check says which cannot be read."""
    for file in local_target(settings.CONCENTRATOR).newest_files().values():
        with suppress(OSError, ValueError, TypeError):
            yield StoredRevision.read(file).reader


def _registered_key(concentrator: Concentrator) -> Finding:
    name, registered = "envelopes/key", concentrator.envelope_key
    current, *earlier = gateway_public_keys()
    if not registered:
        return at_risk(name, BY_PORTAL_ALONE, _register())
    if registered == current:
        return met(name, "The portal seals for the first line of gateway.key.")
    if registered in earlier:
        return at_risk(name, "The portal seals for an earlier line of gateway.key.", _register())
    return unmet(name, "The portal seals for a key that gateway.key does not have.", _register())


def _register() -> str:
    public_key = gateway_public_keys()[0]
    return f"On the portal: vpnportal gateway_key {settings.CONCENTRATOR} {public_key}"


def surplus_keys() -> Iterator[Finding]:
    """Warn about key files of the portal that an earlier version put on gateways."""
    for file in (settings.SEAL_KEY_FILE, settings.FINGERPRINT_KEY_FILE):
        if has_keys(file):
            yield at_risk(
                f"keys/{file.name}",
                f"{file.name} is a key of the portal. {OPENS_ALL}",
                "Do what the check envelopes says, restart "
                f"vpnportal-worker@{settings.CONCENTRATOR}, and wait a minute. Then: "
                f"rm /etc/vpnportal/keys/{file.name}; "
                f"systemctl restart vpnportal-worker@{settings.CONCENTRATOR} "
                f"vpnportal-monitor@{settings.CONCENTRATOR}",
            )
