"""`record_event`: writes an event in the transaction of the change that it tells of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from django.contrib.auth.models import AbstractBaseUser, User
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.transaction import TransactionManagementError

from vpnportal import request_context
from vpnportal.models.accounts import Account, ApiKey
from vpnportal.models.concentrators import Concentrator
from vpnportal.models.events import NAME_LENGTH, TEXT_LENGTH, Event
from vpnportal.models.tunnels import Tunnel

Actor: TypeAlias = User | ApiKey | str
# Processes of gateways, which may not read the names of accounts.
GATEWAY_PROCESSES = ("worker", "monitor")
# The actor of what no request and no named process does.
PORTAL = "portal"
# Names of values that no event has.
SECRETS = {"preshared_key", "password", "secret", "token", "digest"}
SECRET_VALUE = "(secret)"  # noqa: S105
MAX_VALUES, MAX_VALUE_LENGTH, MAX_DEPTH = 50, 300, 4
MAX_INTEGER = 2**53


def record_event(
    action: str,
    *,
    actor: Actor | None = None,
    account: Account | None = None,
    tunnel: Tunnel | None = None,
    concentrator: Concentrator | None = None,
    subject: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    result: str = "done",
    reason: str = "",
    count: int = 1,
) -> None:
    """Insert an event in the current transaction: what it tells of is done with it or not at all.

    `actor` is by default that of the current request. A text is the name of a process. A tunnel
    names its account and concentrator. Long values are cut, and the value of a secret is left out.
    Raises TransactionManagementError outside of a transaction.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    if not connection.in_atomic_block:
        raise TransactionManagementError("An event is written in the transaction of its change.")
    context = request_context.current()
    row = Event(
        action=Event.Action(action),
        result=Event.Result(result),
        subject=_text(subject, NAME_LENGTH),
        reason=_text(reason, TEXT_LENGTH),
        before=_small(before or {}),
        after=_small(after or {}),
        count=count,
        request_id=context.request_id,
        client_address=_text(context.client_address, 45),
        **_actor(actor, context.acting()),
    )
    names: dict[str, tuple[str, tuple[Any, ...]]] = {}
    _name(row, "tunnel", tunnel, tunnel.pk if tunnel else None, names)
    _name(row, "account", account, tunnel.account_id if tunnel else None, names)
    _name(row, "concentrator", concentrator, tunnel.concentrator_id if tunnel else None, names)
    if row.actor_name in GATEWAY_PROCESSES:
        names.pop("account_name", None)
    _insert(connection, row, names)


def _actor(given: Actor | None, of_request: Any) -> dict[str, Any]:
    """Return the columns of the actor. A user's API key in the request is told with the user."""
    actor = of_request if given is None else given
    if (
        isinstance(given, AbstractBaseUser)
        and isinstance(of_request, ApiKey)
        and of_request.user_id == given.pk
    ):
        actor = of_request
    if isinstance(actor, ApiKey):
        return {
            "actor_kind": Event.ActorKind.API_KEY,
            "actor_id": actor.user_id,
            "actor_name": _text(actor.user.get_username(), NAME_LENGTH),
            "api_key_name": _text(actor.name, NAME_LENGTH),
        }
    if isinstance(actor, AbstractBaseUser):
        return {
            "actor_kind": Event.ActorKind.USER,
            "actor_id": actor.pk,
            "actor_name": _text(actor.get_username(), NAME_LENGTH),
        }
    name = _text(str(actor or PORTAL), NAME_LENGTH)
    return {"actor_kind": Event.ActorKind.SYSTEM, "actor_name": name}


def _name(
    row: Event,
    kind: str,
    named: Tunnel | Account | Concentrator | None,
    pk: int | None,
    names: dict[str, tuple[str, tuple[Any, ...]]],
) -> None:
    """Set id and name. Without an object, the statement itself reads the name by the id."""
    if named is not None:
        setattr(row, f"{kind}_id", named.pk)
        setattr(row, f"{kind}_name", _text(named.name, NAME_LENGTH))
    elif pk is not None:
        setattr(row, f"{kind}_id", pk)
        names[f"{kind}_name"] = (
            f"COALESCE((SELECT name FROM vpnportal_{kind} WHERE id = %s), '')",  # noqa: S608
            (pk,),
        )


def _insert(
    connection: Any, row: Event, computed: Mapping[str, tuple[str, tuple[Any, ...]]]
) -> None:
    """Insert a row without reading it back: a gateway may read no event, not even its id."""
    columns: list[str] = []
    parts: list[str] = []
    values: list[Any] = []
    for field in Event._meta.concrete_fields:
        if field.primary_key:
            continue
        columns.append(connection.ops.quote_name(field.attname))
        expression, parameters = computed.get(field.attname) or (
            "%s",
            (field.get_db_prep_save(getattr(row, field.attname), connection),),
        )
        parts.append(expression)
        values.extend(parameters)
    table = connection.ops.quote_name(Event._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(parts)})",  # noqa: S608
            values,
        )


def _text(value: str, length: int) -> str:
    """Return a text that every database can store, cut to a length."""
    clean = value.encode("utf-8", "replace").decode().replace("\0", "�")
    return clean if len(clean) <= length else f"{clean[: length - 1]}…"


def _small(value: Any, depth: int = 0) -> Any:
    """Return a JSON value that is small, without secrets and without fractions of numbers."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) <= MAX_INTEGER else str(value)
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        items = list(value.items())[:MAX_VALUES]
        return {
            _text(str(key), 64): SECRET_VALUE if key in SECRETS else _small(item, depth + 1)
            for key, item in items
        }
    if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        values = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
        more = [f"… {len(values) - MAX_VALUES} more"] if len(values) > MAX_VALUES else []
        return [*(_small(item, depth + 1) for item in values[:MAX_VALUES]), *more]
    return _text(str(value), MAX_VALUE_LENGTH)
