"""Single translations by their ids, which stay theirs whatever is changed of them.

`set_translations` keeps rows of the table, which are named by their addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from django.contrib.auth.models import User

from vpnportal.domain.spec import Problem
from vpnportal.models import AddressTranslation, Tunnel
from vpnportal.services.edits import note_edits
from vpnportal.services.refusal import Refused, unlocked
from vpnportal.services.rows import Row, kept_rows, problems
from vpnportal.services.translations import AT_ONCE, record


@dataclass(frozen=True, slots=True)
class RowEdit:
    """What is to be changed of one translation; None stays as it is."""

    internal: IPv4Address | None = None
    customer: IPv4Address | None = None
    name: str | None = None

    def of(self, row: AddressTranslation) -> Row:
        """The row as it would be."""
        kept = row.as_value()
        name = kept.name if self.name is None else self.name
        return Row(self.internal or kept.internal, self.customer or kept.customer, name)


def add_translations(tunnel: Tunnel, rows: Sequence[Row], author: User) -> list[AddressTranslation]:
    """Translate these addresses, which none of the tunnel's does yet; all of them or none."""
    with unlocked(tunnel) as fresh:
        _require_right(fresh, rows, kept_rows(fresh))
        made = AddressTranslation.objects.bulk_create([record(fresh, row) for row in rows])
        _note(fresh, (row.internal for row in rows), author)
    return made


def edit_translations(
    tunnel: Tunnel, edits: Mapping[int, RowEdit], author: User
) -> list[AddressTranslation]:
    """Change these translations, all of them or none; in the order of `edits`.

    AddressTranslation.DoesNotExist if one of the ids is none of this tunnel's. Two may change
    their addresses with each other.
    """
    with unlocked(tunnel) as fresh:
        rows = fresh.translations.in_bulk(list(edits))
        for pk in edits:
            if pk not in rows:
                raise AddressTranslation.DoesNotExist(pk)
        wanted = {pk: edits[pk].of(rows[pk]) for pk in edits}
        was = {pk: RowEdit().of(row) for pk, row in rows.items()}
        changed = [pk for pk in edits if wanted[pk] != was[pk]]
        others = kept_rows(fresh)
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
    with unlocked(tunnel) as fresh:
        row = fresh.translations.filter(pk=pk).first()
        if row is None:
            raise AddressTranslation.DoesNotExist(pk)
        row.delete()
        _note(fresh, [row.as_value().internal], author)


def _require_right(tunnel: Tunnel, rows: Sequence[Row], others: Mapping[IPv4Address, Row]) -> None:
    entered: dict[IPv4Address, Row] = {}
    for row in rows:
        if row.internal in entered or row.internal in others:
            text = f"{row.internal} is translated already: edit or delete that translation."
            raise Refused(Problem(f"translation {row.internal}", text))
        entered[row.internal] = row
    if wrong := tuple(problems(tunnel, entered, others)):
        raise Refused(*wrong)


def _note(tunnel: Tunnel, addresses: Iterable[IPv4Address], author: User) -> None:
    if fields := list(dict.fromkeys(f"translation {at}" for at in addresses)):
        note_edits(tunnel, fields, author)
