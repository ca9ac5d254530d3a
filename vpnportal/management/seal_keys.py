"""The lines of `seal.key`: how many values need each, and sealing all again with the first one.

docs/decisions/056-rotation-of-the-seal-key.md has the order in which the services learn a new key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, models, transaction
from django.db.models import Q, QuerySet

from vpnportal.encryption import (
    SECOND_FACTOR,
    CannotOpen,
    key_id,
    key_ids,
    seal_for_current_key,
)
from vpnportal.envelopes import VERSION
from vpnportal.fields import SealedField
from vpnportal.management.database_copy.seals import (
    CONTEXTS,
    column_of_second_factor,
    sealed_values,
    second_factors,
)

BATCH_ROWS = 200
# One value may have 13 million characters.
BATCH_CHARACTERS = 16 << 20


@dataclass(frozen=True, slots=True)
class KeyUse:
    """A key of the portal, and how many sealed values need it, by the name of their table.

    `line` is its line in `seal.key`, 0 if the file lacks it. `unreadable` are the values that do
    not open: their row was changed, or the file lacks the key.
    """

    line: int
    key_id: str
    values: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0


def key_uses() -> list[KeyUse]:
    """Open every sealed value. Return the use of each line of `seal.key`, then of missing keys."""
    ids = key_ids(settings.SEAL_KEY_FILE)
    uses = {key_id: KeyUse(line, key_id) for line, key_id in enumerate(ids, start=1)}
    unreadable = Counter[str]()
    for value in sealed_values(DEFAULT_DB_ALIAS):
        use = uses.setdefault(value.key_id, KeyUse(0, value.key_id))
        use.values[value.kind] += 1
        unreadable[value.key_id] += not value.opens
    return [
        KeyUse(use.line, use.key_id, use.values, unreadable[use.key_id]) for use in uses.values()
    ]


@dataclass(slots=True)
class Resealed:
    """The result of `reseal`: sealed values, and the names of those that do not open."""

    count: int = 0
    unreadable: list[str] = field(default_factory=list)


def reseal(report: Callable[[int, int], None]) -> Resealed:
    """Seal every value again that the first line of `seal.key` does not open.

    Each batch is a transaction of its own, so a run that was stopped goes on where it was. A value
    that changes meanwhile is left to the next round. `report` gets the values that are done, and
    how many there are.
    """
    result = Resealed()
    columns = [
        (model, column.attname)
        for model in CONTEXTS
        for column in model._meta.concrete_fields
        if isinstance(column, SealedField)
    ]
    factors = _other_factors()
    total = len(factors) + sum(_others(model, column).count() for model, column in columns)
    for model, column in columns:
        newest = 0
        while batch := _batch(model, column, newest):
            newest = batch[-1].pk
            _reseal_rows(model, column, batch, result)
            report(result.count + len(result.unreadable), total)
    for pk in factors:
        _reseal_factor(pk, result)
    report(result.count + len(result.unreadable), total)
    return result


def _others(model: type[models.Model], column: str) -> QuerySet[Any]:
    """Return the rows that another key seals than the first one."""
    current = key_ids(settings.SEAL_KEY_FILE)[0]
    begins = f"{column}__startswith"
    is_current = Q(**{begins: f"{current}:"}) | Q(**{begins: f"{VERSION}:{current}:"})
    return model._base_manager.exclude(Q(**{column: ""}) | is_current).order_by("pk")


def _batch(model: type[models.Model], column: str, newest: int) -> list[Any]:
    _, columns = CONTEXTS[model]
    rows = _others(model, column).filter(pk__gt=newest).only("pk", column, *columns)
    batch, characters = [], 0
    for row in rows[:BATCH_ROWS].iterator(chunk_size=10):
        batch.append(row)
        characters += len(getattr(row, column).token)
        if characters > BATCH_CHARACTERS:
            break
    return batch


def _reseal_rows(
    model: type[models.Model], column: str, batch: list[Any], result: Resealed
) -> None:
    context_of, _ = CONTEXTS[model]
    with transaction.atomic():
        for row in batch:
            earlier = getattr(row, column)
            try:
                sealed = earlier.for_current_key(context_of(row))
            except CannotOpen:
                result.unreadable.append(f"{model._meta.verbose_name} {row.pk}")
                continue
            same = model._base_manager.filter(pk=row.pk, **{column: earlier})
            result.count += same.update(**{column: sealed})


def _other_factors() -> list[int]:
    """Return the second factors that another key seals than the first one."""
    current = key_ids(settings.SEAL_KEY_FILE)[0]
    return [pk for pk, token in second_factors(DEFAULT_DB_ALIAS) if key_id(token) != current]


def _reseal_factor(pk: int, result: Resealed) -> None:
    with transaction.atomic():
        # A recovery code that is used meanwhile changes the same column.
        row = Authenticator.objects.select_for_update().filter(pk=pk).first()
        if row is None:
            return
        name = column_of_second_factor(row.data)
        try:
            row.data[name] = seal_for_current_key(row.data[name], SECOND_FACTOR)
        except CannotOpen:
            result.unreadable.append(f"second factor {pk}")
            return
        row.save(update_fields=["data"])
        result.count += 1
