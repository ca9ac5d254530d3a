"""Edits of the translation table of a draft: many rows at once, all of them or none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address

from django.contrib.auth.models import User

from vpnportal.domain.spec import Problem
from vpnportal.models import AddressTranslation, Tunnel
from vpnportal.services.edits import Overtaken, note_edits, overtaken
from vpnportal.services.refusal import Refused, unlocked
from vpnportal.services.rows import Row, kept_rows, problems

# A database takes so many values in one statement.
AT_ONCE = 500


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
