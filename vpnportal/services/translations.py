"""Edits of the translation table of a draft: all rows of an edit are saved, or none.

Pages save rows by address (`set_translations`). Programs add, edit and remove translations by id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import islice
from typing import TypeAlias

from django.contrib.auth.models import User
from django.db.models import Manager, QuerySet

from vpnportal.domain.addresses import number
from vpnportal.domain.tunnel.spec import (
    Problem,
    Translation,
    translation_field,
    translation_problem,
)
from vpnportal.models import AddressTranslation, Event, Subnet, Tunnel, record_event
from vpnportal.services.edit_conflicts import SAVE_AGAIN, EditConflict, conflict, note_edits
from vpnportal.services.errors import Refused
from vpnportal.services.quotas import Quota, refuse_over_quota
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit

# Databases limit the number of values in a statement.
MAX_VALUES = 500
# An event of more rows has their number only.
MAX_RECORDED = 8
TranslationRows: TypeAlias = "QuerySet[AddressTranslation] | Manager[AddressTranslation]"


@dataclass(frozen=True, slots=True)
class TranslationRow:
    """A row of the table for one internal address. No customer address means no translation."""

    internal: IPv4Address
    customer: IPv4Address | None
    name: str = ""


@dataclass(frozen=True, slots=True)
class TranslationEdit:
    """New values of a translation; None keeps the saved value."""

    internal: IPv4Address | None = None
    customer: IPv4Address | None = None
    name: str | None = None

    def of(self, row: AddressTranslation) -> TranslationRow:
        """Return the row with the new values."""
        saved = row.as_value()
        name = saved.name if self.name is None else self.name
        return TranslationRow(
            self.internal or saved.internal, self.customer or saved.customer, name
        )


def saved_rows(tunnel: Tunnel) -> dict[IPv4Address, TranslationRow]:
    """Return the saved translations of the draft by internal address."""
    return _rows_by_address(tunnel.translations)


def saved_rows_at(
    tunnel: Tunnel, addresses: Sequence[IPv4Address]
) -> dict[IPv4Address, TranslationRow]:
    """Return the saved translations of these internal addresses."""
    rows: dict[IPv4Address, TranslationRow] = {}
    for chunk in _chunks(addresses):
        rows |= _rows_by_address(tunnel.translations.filter(internal_address__in=chunk))
    return rows


def row_problems(
    tunnel: Tunnel,
    entered: Mapping[IPv4Address, TranslationRow],
    saved: Mapping[IPv4Address, TranslationRow],
) -> tuple[Problem, ...]:
    """Return one problem for each entered row that is invalid beside all rows of `saved`."""
    return tuple(_problems(tunnel, entered, saved))


def unsaved_translation(tunnel: Tunnel, row: TranslationRow) -> AddressTranslation:
    """Return a row with a customer address as a model instance that is not saved."""
    return AddressTranslation(
        tunnel=tunnel,
        internal_address=str(row.internal),
        customer_address=str(row.customer),
        name=row.name,
    )


def set_translations(
    tunnel: Tunnel,
    rows: Iterable[TranslationRow],
    author: User,
    seen: Mapping[IPv4Address, TranslationRow] | None = None,
) -> None:
    """Save these rows of the table. Internal addresses in no row keep their translations.

    `seen` has the rows as the page showed them to the author. Rows equal to `seen` are skipped.
    Raises Refused with a problem per invalid row. Raises EditConflict with a problem per row that
    another user changed. The field of each problem is from `translation_field`.
    """
    seen_rows = seen or {}
    with lock_tunnel_for_edit(tunnel, with_account=True) as fresh:
        entered = {row.internal: row for row in rows if seen_rows.get(row.internal) != row}
        saved = saved_rows(fresh)
        refuse_conflicts(fresh, entered, saved, seen_rows)
        if problems := row_problems(fresh, entered, saved):
            raise Refused(*problems)
        write_rows(fresh, entered, saved, author)


def refuse_conflicts(
    tunnel: Tunnel,
    entered: Mapping[IPv4Address, TranslationRow],
    saved: Mapping[IPv4Address, TranslationRow],
    seen: Mapping[IPv4Address, TranslationRow],
    *,
    remedy: str = SAVE_AGAIN,
    limit: int | None = None,
) -> None:
    """Raise EditConflict with a problem per entered row that another user changed since `seen`.

    A problem takes a query: `limit` is for many rows.
    """
    if conflicts := tuple(islice(_conflicts(tunnel, entered, saved, seen, remedy), limit)):
        raise EditConflict(*conflicts)


def write_rows(
    tunnel: Tunnel,
    entered: Mapping[IPv4Address, TranslationRow],
    saved: Mapping[IPv4Address, TranslationRow],
    author: User,
) -> None:
    """Write checked rows and note their edits, inside the locks of the account and the tunnel.

    Rows that `saved` has already are skipped. Raises Refused by the quota of the account.
    """
    changed = [row for at, row in entered.items() if row != saved.get(at, TranslationRow(at, None))]
    refuse_over_quota(tunnel.account_id, Quota.TRANSLATIONS, added_rows(entered, saved))
    _delete_addresses(tunnel, [row.internal for row in changed if row.customer is None])
    AddressTranslation.objects.bulk_create(
        [unsaved_translation(tunnel, row) for row in changed if row.customer is not None],
        update_conflicts=True,
        update_fields=["customer_address", "name"],
        unique_fields=["tunnel", "internal_address"],
    )
    _note_edits(tunnel, [(saved.get(row.internal), row) for row in changed], author)


def added_rows(
    entered: Mapping[IPv4Address, TranslationRow], saved: Mapping[IPv4Address, TranslationRow]
) -> int:
    """Return the number of translations that entered rows add to the saved ones: also below 0."""
    return sum((row.customer is not None) - (at in saved) for at, row in entered.items())


def add_translations(
    tunnel: Tunnel, rows: Sequence[TranslationRow], author: User
) -> list[AddressTranslation]:
    """Add translations. Raises Refused if a row is invalid or its internal address is taken."""
    with lock_tunnel_for_edit(tunnel, with_account=True) as fresh:
        _check_rows(fresh, rows, saved_rows(fresh))
        refuse_over_quota(fresh.account_id, Quota.TRANSLATIONS, len(rows))
        translations = [unsaved_translation(fresh, row) for row in rows]
        saved = AddressTranslation.objects.bulk_create(translations)
        _note_edits(fresh, [(None, row) for row in rows], author)
    return saved


def edit_translations(
    tunnel: Tunnel, edits: Mapping[int, TranslationEdit], author: User
) -> list[AddressTranslation]:
    """Edit translations by id and return them in the order of `edits`.

    Translations may exchange their addresses. Raises Refused if a row is invalid,
    AddressTranslation.DoesNotExist for an id of another tunnel.
    """
    with lock_tunnel_for_edit(tunnel) as fresh:
        rows = fresh.translations.in_bulk(list(edits))
        for pk in edits:
            if pk not in rows:
                raise AddressTranslation.DoesNotExist(pk)
        after = {pk: edits[pk].of(rows[pk]) for pk in edits}
        before = {pk: TranslationEdit().of(row) for pk, row in rows.items()}
        changed = [pk for pk in edits if after[pk] != before[pk]]
        others = saved_rows(fresh)
        for pk in changed:
            del others[before[pk].internal]
        _check_rows(fresh, [after[pk] for pk in changed], others)
        # Addresses are unique, and two rows may exchange theirs: delete all, then insert.
        for start in range(0, len(changed), MAX_VALUES):
            fresh.translations.filter(pk__in=changed[start : start + MAX_VALUES]).delete()
        for pk in changed:
            rows[pk] = unsaved_translation(fresh, after[pk])
            rows[pk].pk = pk
        AddressTranslation.objects.bulk_create([rows[pk] for pk in changed])
        _note_edits(fresh, [(before[pk], after[pk]) for pk in changed], author)
    return [rows[pk] for pk in edits]


def remove_translation(tunnel: Tunnel, pk: int, author: User) -> None:
    """Remove a translation of the tunnel by id.

    Raises AddressTranslation.DoesNotExist if the tunnel has no translation with the id.
    """
    with lock_tunnel_for_edit(tunnel) as fresh:
        row = fresh.translations.filter(pk=pk).first()
        if row is None:
            raise AddressTranslation.DoesNotExist(pk)
        row.delete()
        _note_edits(fresh, [(TranslationEdit().of(row), None)], author)


def _conflicts(
    tunnel: Tunnel,
    entered: Mapping[IPv4Address, TranslationRow],
    saved: Mapping[IPv4Address, TranslationRow],
    seen_rows: Mapping[IPv4Address, TranslationRow],
    remedy: str,
) -> Iterator[Problem]:
    """Yield a problem for each entered row that another user changed since it was shown."""
    for at, row in entered.items():
        current = saved.get(at, TranslationRow(at, None))
        if at in seen_rows and current not in (seen_rows[at], row):
            value = f"{current.customer or 'nothing'} {current.name}".rstrip()
            yield conflict(tunnel, translation_field(at), f" to {value}", remedy)


def _problems(
    tunnel: Tunnel,
    entered: Mapping[IPv4Address, TranslationRow],
    saved: Mapping[IPv4Address, TranslationRow],
) -> Iterator[Problem]:
    static_nat = tunnel.networks(Subnet.Kind.STATIC_NAT)
    remote = tunnel.networks(Subnet.Kind.CUSTOMER)
    addresses_by_customer: dict[IPv4Address | None, list[IPv4Address]] = {}
    for at, row in {**saved, **entered}.items():
        addresses_by_customer.setdefault(row.customer, []).append(at)
    for row in entered.values():
        field = translation_field(row.internal)
        if row.customer is None:
            if row.name:
                text = f"Enter the Customer IP for {row.internal}, or clear its name too."
                yield Problem(field, text)
            continue
        same = addresses_by_customer[row.customer]
        value = Translation(row.internal, row.customer, row.name)
        if problem := translation_problem(value, static_nat, remote):
            yield problem
        elif other := next((at for at in same if at != row.internal), None):
            text = f"{row.customer} is the Customer IP for {other} too. Keep one of the two."
            yield Problem(field, text)


def _check_rows(
    tunnel: Tunnel, rows: Sequence[TranslationRow], others: Mapping[IPv4Address, TranslationRow]
) -> None:
    """Raise Refused if a row is invalid or its internal address occurs twice.

    `others` has the rows that the tunnel keeps, by internal address.
    """
    entered: dict[IPv4Address, TranslationRow] = {}
    for row in rows:
        if row.internal in entered or row.internal in others:
            text = f"{row.internal} already has a translation. Edit or delete that translation."
            raise Refused(Problem(translation_field(row.internal), text))
        entered[row.internal] = row
    if problems := tuple(_problems(tunnel, entered, others)):
        raise Refused(*problems)


def _delete_addresses(tunnel: Tunnel, addresses: Sequence[IPv4Address]) -> None:
    for chunk in _chunks(addresses):
        tunnel.translations.filter(internal_address__in=chunk).delete()


def _chunks(addresses: Sequence[IPv4Address]) -> Iterator[list[str]]:
    for start in range(0, len(addresses), MAX_VALUES):
        yield [str(address) for address in addresses[start : start + MAX_VALUES]]


def _rows_by_address(translations: TranslationRows) -> dict[IPv4Address, TranslationRow]:
    # Tuples instead of model instances: there may be the 65,536 rows of a /16.
    values = translations.values_list("internal_address", "customer_address", "name")
    rows = (
        TranslationRow(IPv4Address(number(internal)), IPv4Address(number(customer)), name)
        for internal, customer, name in values.iterator()
    )
    return {row.internal: row for row in rows}


def _note_edits(
    tunnel: Tunnel,
    changes: Sequence[tuple[TranslationRow | None, TranslationRow | None]],
    author: User,
) -> None:
    """Note edits of rows, each as (before, after), and record them together in an event."""
    rows = [row for change in changes for row in change if row is not None]
    fields = list(dict.fromkeys(translation_field(row.internal) for row in rows))
    if not fields:
        return
    note_edits(tunnel, fields, author)
    before, after = (
        [row for row in side if row and row.customer] for side in zip(*changes, strict=True)
    )
    is_short = len(fields) <= MAX_RECORDED
    record_event(
        Event.Action.TUNNEL_TRANSLATIONS_CHANGED,
        actor=author,
        tunnel=tunnel,
        before=_in_words(before) if is_short else {"translations": len(before)},
        after=_in_words(after) if is_short else {"translations": len(after)},
        count=len(fields),
    )


def _in_words(rows: Iterable[TranslationRow]) -> dict[str, str]:
    return {str(row.internal): f"{row.customer} {row.name}".rstrip() for row in rows}
