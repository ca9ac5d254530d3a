"""Edits of a draft: each is kept at once, writes only what it changes, and sends nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network

from django.contrib.auth.models import User

from vpnportal.domain.addresses import inside
from vpnportal.domain.changes import in_words
from vpnportal.domain.spec import Problem, Translation
from vpnportal.fields import Sealed
from vpnportal.models import AddressTranslation, Subnet, Tunnel
from vpnportal.services.edits import (
    KEY,
    UNKNOWN,
    Overtaken,
    Seen,
    key_version_of,
    note_edits,
    overtaken,
    require_seen,
)
from vpnportal.services.refusal import Refused, unlocked
from vpnportal.services.rows import Row, kept_rows, problems

# A database takes so many values in one statement.
AT_ONCE = 500

EDITABLE = frozenset(
    (
        "friendly_name",
        "notes",
        "remote_peer",
        "ike_version",
        "one_child_per_pair",
        "dpd_seconds",
        "starts",
        "phase_one_encryption",
        "phase_one_authentication",
        "phase_one_group",
        "phase_one_keylife",
        "phase_two_encryption",
        "phase_two_authentication",
        "phase_two_pfs",
        "phase_two_group",
        "phase_two_keylife",
    )
)


def edit(tunnel: Tunnel, field: str, value: object, author: User, seen: object = UNKNOWN) -> None:
    """Keep one well-formed value of one column; KeyError for a column that is not the draft's.

    `seen` is the value that the author last saw kept. Overtaken when it is another by now: a write
    that nobody meant replaces nothing.
    """
    if field not in EDITABLE:
        raise KeyError(field)
    with unlocked(tunnel) as fresh:
        kept = getattr(fresh, field)
        if kept != value:
            require_seen(fresh, field, seen, kept, f" to {in_words(field, kept)}")
            Tunnel.objects.filter(pk=fresh.pk).update(**{field: value})
            note_edits(fresh, [field], author)
    setattr(tunnel, field, value)


def set_preshared_key(tunnel: Tunnel, text: str, author: User, seen: Seen = UNKNOWN) -> None:
    """Seal a new preshared key into the draft; there is no way to read it back from a page.

    `seen` is the version of the key that the author last saw, as `key_version_of` tells it.
    """
    with unlocked(tunnel) as fresh:
        sealed = fresh.preshared_key
        if sealed.open(fresh.preshared_key_context) != text:
            require_seen(fresh, KEY, seen, key_version_of(fresh), "")
            sealed = Sealed.of(text, fresh.preshared_key_context)
            Tunnel.objects.filter(pk=fresh.pk).update(preshared_key=sealed)
            note_edits(fresh, [KEY], author)
    tunnel.preshared_key = sealed


def add_remote_subnet(tunnel: Tunnel, network: IPv4Network, author: User) -> Subnet:
    """Protect one more network of the customer's end; Refused where it overlaps one there."""
    with unlocked(tunnel) as fresh:
        for other in fresh.networks(*Subnet.Kind):
            if other == network:
                raise Refused(Problem("remote_subnets", f"{network} is on this tunnel already."))
            if other.overlaps(network):
                text = f"{network} overlaps {other}, which this tunnel has already."
                raise Refused(Problem("remote_subnets", text))
        subnet, _ = Subnet.objects.get_or_create(
            account_id=fresh.account_id, kind=Subnet.Kind.CUSTOMER, network=network
        )
        fresh.subnets.add(subnet)
        note_edits(fresh, ["remote_subnets"], author)
    return subnet


def remove_remote_subnet(tunnel: Tunnel, subnet_id: int, author: User) -> tuple[Translation, ...]:
    """Stop protecting a network of the customer's end; already gone is fine.

    The answer has the translations that lead nowhere now: a draft may have them, Apply refuses.
    """
    with unlocked(tunnel) as fresh:
        row = fresh.subnets.filter(pk=subnet_id, kind=Subnet.Kind.CUSTOMER).first()
        if row is None:
            return ()
        detach(fresh, row)
        note_edits(fresh, ["remote_subnets"], author)
        left = fresh.networks(Subnet.Kind.CUSTOMER)
        values = (translation.as_value() for translation in fresh.translations.all())
        return tuple(
            v for v in values if inside(v.customer, [row.network]) and not inside(v.customer, left)
        )


def detach(tunnel: Tunnel, row: Subnet) -> None:
    """Take a customer's network off a tunnel; one that no tunnel protects any more is deleted."""
    tunnel.subnets.remove(row)
    if not row.tunnels.exists():
        row.delete()


def set_translations(
    tunnel: Tunnel,
    rows: Iterable[Row],
    author: User,
    seen: Mapping[IPv4Address, Row] | None = None,
) -> None:
    """Keep these rows of the table, all of them or none.

    Addresses that are not among the rows stay as they are, and so do those whose row is as its
    author saw it (`seen`). Refused carries one problem for each wrong row, under the field
    `translation 10.1.255.92`; Overtaken for those that somebody else changed since they were seen.
    """
    saw = seen or {}
    with unlocked(tunnel) as fresh:
        entered = {row.internal: row for row in rows if saw.get(row.internal) != row}
        kept = kept_rows(fresh)
        if overtaking := tuple(_overtaken_rows(fresh, entered, kept, saw)):
            raise Overtaken(*overtaking)
        if wrong := tuple(problems(fresh, entered, kept)):
            raise Refused(*wrong)
        changed = [at for at, row in entered.items() if row != kept.get(at, Row(at, None))]
        gone = [str(at) for at in changed if entered[at].customer is None]
        for first in range(0, len(gone), AT_ONCE):
            chunk = gone[first : first + AT_ONCE]
            fresh.translations.filter(internal_address__in=chunk).delete()
        AddressTranslation.objects.bulk_create(
            [record(fresh, entered[at]) for at in changed if entered[at].customer is not None],
            update_conflicts=True,
            update_fields=["customer_address", "name"],
            unique_fields=["tunnel", "internal_address"],
        )
        if changed:
            note_edits(fresh, [f"translation {at}" for at in changed], author)


def _overtaken_rows(
    tunnel: Tunnel,
    entered: Mapping[IPv4Address, Row],
    kept: Mapping[IPv4Address, Row],
    saw: Mapping[IPv4Address, Row],
) -> Iterator[Problem]:
    for at, row in entered.items():
        there = kept.get(at, Row(at, None))
        if at in saw and there not in (saw[at], row):
            words = f"{there.customer or 'nothing'} {there.name}".rstrip()
            yield overtaken(tunnel, f"translation {at}", f" to {words}")


def record(tunnel: Tunnel, row: Row) -> AddressTranslation:
    """A filled row as the database has it, not saved yet."""
    return AddressTranslation(
        tunnel=tunnel,
        internal_address=str(row.internal),
        customer_address=str(row.customer),
        name=row.name,
    )
