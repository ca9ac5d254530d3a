"""Sealed values of all tables: how many there are, and which do not open with the keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from allauth.mfa.models import Authenticator
from django.apps import apps
from django.db import models

from vpnportal.encryption import SECOND_FACTOR, CannotOpen, key_id, unseal
from vpnportal.fields import SealedField
from vpnportal.models import DraftBackup, HeldTunnel, OutgoingMail, PeerProbe, Revision, Tunnel


def _of_revision(row: Revision | HeldTunnel) -> str:
    return Revision.context(row.tunnel_id, row.number, row.specification.is_envelope)


# The encryption context of the only sealed column of a model, and the columns that it needs.
CONTEXTS: dict[type[models.Model], tuple[Callable[[Any], str], tuple[str, ...]]] = {
    Tunnel: (lambda row: row.preshared_key_context, ()),
    Revision: (_of_revision, ("tunnel_id", "number")),
    HeldTunnel: (_of_revision, ("tunnel_id", "number")),
    DraftBackup: (lambda row: DraftBackup.context(row.tunnel_id), ("tunnel_id",)),
    PeerProbe: (lambda row: PeerProbe.context(row.tunnel_id), ("tunnel_id",)),
    OutgoingMail: (lambda row: row.context, ()),
}


# Rows of a message that names some of many.
EXAMPLES = 3


class SealedValue(NamedTuple):
    """A sealed value of a row. `kind` is the name of the model; `opens` is True with its key."""

    kind: str
    pk: int
    opens: bool
    key_id: str

    @property
    def name(self) -> str:
        """The name of the row, such as `tunnel 42`."""
        return f"{self.kind} {self.pk}"


def sealed_values(alias: str) -> Iterator[SealedValue]:
    """Yield the sealed values of a database, those of a model together."""
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, SealedField):
                yield from _values_of(model, field.attname, alias)
    yield from _of_second_factors(alias)


def second_factors(alias: str) -> Iterator[tuple[int, str]]:
    """Yield id and sealed secret of each second factor, which is in a column of JSON."""
    rows = Authenticator.objects.using(alias).exclude(type=Authenticator.Type.WEBAUTHN)
    for pk, data in rows.order_by("pk").values_list("pk", "data").iterator(chunk_size=500):
        yield pk, data[column_of_second_factor(data)]


def column_of_second_factor(data: Mapping[str, Any]) -> str:
    """Return the name of the secret in the data of a TOTP authenticator or of recovery codes."""
    return "secret" if "secret" in data else "seed"


def _of_second_factors(alias: str) -> Iterator[SealedValue]:
    for pk, token in second_factors(alias):
        opens = True
        try:
            unseal(token, SECOND_FACTOR)
        except CannotOpen:
            opens = False
        yield SealedValue("second factor", pk, opens, key_id(token))


def listed(names: list[str]) -> str:
    """Return names of sealed values for the beginning of a sentence."""
    examples = ", ".join(names[:EXAMPLES])
    return f"{len(names):,} sealed values, such as {examples}," if len(names) > 1 else examples


def _values_of(model: type[models.Model], column: str, alias: str) -> Iterator[SealedValue]:
    kind = str(model._meta.verbose_name)
    context_of, columns = CONTEXTS[model]
    rows = model._base_manager.using(alias).only("pk", column, *columns)
    for row in rows.iterator(chunk_size=500):
        sealed = getattr(row, column)
        if not sealed:
            continue
        opens = True
        try:
            sealed.open(context_of(row))
        except CannotOpen:
            opens = False
        yield SealedValue(kind, row.pk, opens, sealed.key_id)
