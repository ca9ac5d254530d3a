"""Edits of the translation table of a draft: many rows at once, all of them or none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from django.contrib.auth.models import User

from vpnportal.domain.tunnel.spec import (
    Problem,
    Translation,
    translation_field,
    translation_problem,
)
from vpnportal.models import AddressTranslation, Subnet, Tunnel
from vpnportal.services.edit_conflicts import EditConflict, conflict, note_edits
from vpnportal.services.errors import Refused
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit

# A database takes so many values in one statement.
AT_ONCE = 500


def set_translations(
    tunnel: Tunnel,
    rows: Iterable[TranslationRow],
    author: User,
    seen: Mapping[IPv4Address, TranslationRow] | None = None,
) -> None:
    """Keep these rows of the table, all of them or none.

    Addresses that are not among the rows stay as they are, and so do those whose row is as its
    author saw it (`seen`). Refused carries one problem for each wrong row, under the field
    `translation 10.1.255.92`; Overtaken for those that somebody else changed since they were seen.
    """
    saw = seen or {}
    with lock_tunnel_for_edit(tunnel) as fresh:
        entered = {row.internal: row for row in rows if saw.get(row.internal) != row}
        kept = saved_rows(fresh)
        if overtaking := tuple(_overtaken_rows(fresh, entered, kept, saw)):
            raise EditConflict(*overtaking)
        if wrong := tuple(problems(fresh, entered, kept)):
            raise Refused(*wrong)
        changed = [
            at for at, row in entered.items() if row != kept.get(at, TranslationRow(at, None))
        ]
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
            note_edits(fresh, [translation_field(at) for at in changed], author)


def _overtaken_rows(
    tunnel: Tunnel,
    entered: Mapping[IPv4Address, TranslationRow],
    kept: Mapping[IPv4Address, TranslationRow],
    saw: Mapping[IPv4Address, TranslationRow],
) -> Iterator[Problem]:
    for at, row in entered.items():
        there = kept.get(at, TranslationRow(at, None))
        if at in saw and there not in (saw[at], row):
            words = f"{there.customer or 'nothing'} {there.name}".rstrip()
            yield conflict(tunnel, translation_field(at), f" to {words}")


def record(tunnel: Tunnel, row: TranslationRow) -> AddressTranslation:
    """A filled row as the database has it, not saved yet."""
    return AddressTranslation(
        tunnel=tunnel,
        internal_address=str(row.internal),
        customer_address=str(row.customer),
        name=row.name,
    )


@dataclass(frozen=True, slots=True)
class TranslationRow:
    """What somebody entered for one address; no customer address removes the translation."""

    internal: IPv4Address
    customer: IPv4Address | None
    name: str = ""


def saved_rows(tunnel: Tunnel) -> dict[IPv4Address, TranslationRow]:
    """The translations of the draft, by internal address."""
    values = (row.as_value() for row in tunnel.translations.all())
    return {
        value.internal: TranslationRow(value.internal, value.customer, value.name)
        for value in values
    }


def row_problems(tunnel: Tunnel, rows: Iterable[TranslationRow]) -> tuple[Problem, ...]:
    """Why these rows cannot be kept, one problem for each wrong one; nothing is written."""
    return tuple(problems(tunnel, {row.internal: row for row in rows}, saved_rows(tunnel)))


def problems(
    tunnel: Tunnel,
    entered: Mapping[IPv4Address, TranslationRow],
    kept: Mapping[IPv4Address, TranslationRow],
) -> Iterator[Problem]:
    """The same for rows by address, and for what is kept."""
    static_nat = tunnel.networks(Subnet.Kind.STATIC_NAT)
    remote = tunnel.networks(Subnet.Kind.CUSTOMER)
    taken: dict[IPv4Address | None, list[IPv4Address]] = {}
    for at, row in {**kept, **entered}.items():
        taken.setdefault(row.customer, []).append(at)
    for row in entered.values():
        if row.customer is None:
            if row.name:
                text = f"Enter the Customer IP for {row.internal}, or clear its name too."
                yield Problem(translation_field(row.internal), text)
            continue
        value = Translation(row.internal, row.customer, row.name)
        if problem := translation_problem(value, static_nat, remote):
            yield problem
        elif other := next((at for at in taken[row.customer] if at != row.internal), None):
            text = f"{row.customer} is the Customer IP for {other} too: keep one of the two."
            yield Problem(translation_field(row.internal), text)


@dataclass(frozen=True, slots=True)
class TranslationEdit:
    """What is to be changed of one translation; None stays as it is."""

    internal: IPv4Address | None = None
    customer: IPv4Address | None = None
    name: str | None = None

    def of(self, row: AddressTranslation) -> TranslationRow:
        """The row as it would be."""
        kept = row.as_value()
        name = kept.name if self.name is None else self.name
        return TranslationRow(self.internal or kept.internal, self.customer or kept.customer, name)


def add_translations(
    tunnel: Tunnel, rows: Sequence[TranslationRow], author: User
) -> list[AddressTranslation]:
    """Translate these addresses, which none of the tunnel's does yet; all of them or none."""
    with lock_tunnel_for_edit(tunnel) as fresh:
        _require_right(fresh, rows, saved_rows(fresh))
        made = AddressTranslation.objects.bulk_create([record(fresh, row) for row in rows])
        _note(fresh, (row.internal for row in rows), author)
    return made


def edit_translations(
    tunnel: Tunnel, edits: Mapping[int, TranslationEdit], author: User
) -> list[AddressTranslation]:
    """Change these translations, all of them or none; in the order of `edits`.

    AddressTranslation.DoesNotExist if one of the ids is none of this tunnel's. Two may change
    their addresses with each other.
    """
    with lock_tunnel_for_edit(tunnel) as fresh:
        rows = fresh.translations.in_bulk(list(edits))
        for pk in edits:
            if pk not in rows:
                raise AddressTranslation.DoesNotExist(pk)
        wanted = {pk: edits[pk].of(rows[pk]) for pk in edits}
        was = {pk: TranslationEdit().of(row) for pk, row in rows.items()}
        changed = [pk for pk in edits if wanted[pk] != was[pk]]
        others = saved_rows(fresh)
        for pk in changed:
            del others[was[pk].internal]
        _require_right(fresh, [wanted[pk] for pk in changed], others)
        # An address may be another row's until both are written, so neither is there meanwhile.
        for first in range(0, len(changed), AT_ONCE):
            fresh.translations.filter(pk__in=changed[first : first + AT_ONCE]).delete()
        for pk in changed:
            rows[pk] = record(fresh, wanted[pk])
            rows[pk].pk = pk
        AddressTranslation.objects.bulk_create([rows[pk] for pk in changed])
        _note(fresh, (one.internal for pk in changed for one in (was[pk], wanted[pk])), author)
    return [rows[pk] for pk in edits]


def remove_translation(tunnel: Tunnel, pk: int, author: User) -> None:
    """Translate one address less; AddressTranslation.DoesNotExist if it is another tunnel's."""
    with lock_tunnel_for_edit(tunnel) as fresh:
        row = fresh.translations.filter(pk=pk).first()
        if row is None:
            raise AddressTranslation.DoesNotExist(pk)
        row.delete()
        _note(fresh, [row.as_value().internal], author)


def _require_right(
    tunnel: Tunnel, rows: Sequence[TranslationRow], others: Mapping[IPv4Address, TranslationRow]
) -> None:
    entered: dict[IPv4Address, TranslationRow] = {}
    for row in rows:
        if row.internal in entered or row.internal in others:
            text = f"{row.internal} is translated already: edit or delete that translation."
            raise Refused(Problem(translation_field(row.internal), text))
        entered[row.internal] = row
    if wrong := tuple(problems(tunnel, entered, others)):
        raise Refused(*wrong)


def _note(tunnel: Tunnel, addresses: Iterable[IPv4Address], author: User) -> None:
    if fields := list(dict.fromkeys(translation_field(at) for at in addresses)):
        note_edits(tunnel, fields, author)
