"""`record_event`: writes an event in the transaction of its change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from django.contrib.auth.models import AbstractBaseUser, User
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.transaction import TransactionManagementError

from vpnportal import request_context
from vpnportal.models.accounts import Account, ApiKey
from vpnportal.models.concentrators import Concentrator
from vpnportal.models.events import ADDRESS_LENGTH, NAME_LENGTH, TEXT_LENGTH, Event
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
# Databases limit the number of values in a statement.
MAX_TUNNELS = 500
# SQL and its values, by column.
Computed: TypeAlias = "dict[str, tuple[str, tuple[Any, ...]]]"
OF_TUNNEL: Computed = {
    "tunnel_id": ("tunnel.id", ()),
    "tunnel_name": ("tunnel.name", ()),
    "account_id": ("tunnel.account_id", ()),
    "account_name": (
        "(SELECT name FROM vpnportal_account account WHERE account.id = tunnel.account_id)",
        (),
    ),
    "concentrator_id": ("tunnel.concentrator_id", ()),
    "concentrator_name": (
        "(SELECT name FROM vpnportal_concentrator own WHERE own.id = tunnel.concentrator_id)",
        (),
    ),
}


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
    """Insert an event in the current transaction, which is that of the recorded change.

    `actor` is by default that of the current request. A text is the name of a process. A tunnel
    names its account and concentrator. Long values are cut, and the value of a secret is left out.
    Raises TransactionManagementError outside of a transaction.
    """
    row = _row(action, actor)
    row.result = Event.Result(result)
    row.subject, row.reason = _text(subject, NAME_LENGTH), _text(reason, TEXT_LENGTH)
    row.before, row.after = _small(before or {}), _small(after or {})
    row.count = count
    names: Computed = {}
    _name(row, "tunnel", tunnel, tunnel.pk if tunnel else None, names)
    _name(row, "account", account, tunnel.account_id if tunnel else None, names)
    _name(row, "concentrator", concentrator, tunnel.concentrator_id if tunnel else None, names)
    if row.actor_kind == Event.ActorKind.SYSTEM and row.actor_name in GATEWAY_PROCESSES:
        names.pop("account_name", None)
    _insert(row, names)


def record_event_of_each(
    action: str, tunnel_ids: Sequence[int], *, actor: Actor | None = None
) -> None:
    """Insert an event for each of these tunnels, in a statement for MAX_TUNNELS of them.

    Raises TransactionManagementError outside of a transaction.
    """
    row = _row(action, actor)
    for start in range(0, len(tunnel_ids), MAX_TUNNELS):
        _insert(row, OF_TUNNEL, tunnel_ids[start : start + MAX_TUNNELS])


def _row(action: str, actor: Actor | None) -> Event:
    if not connections[DEFAULT_DB_ALIAS].in_atomic_block:
        raise TransactionManagementError("An event is written in the transaction of its change.")
    context = request_context.current()
    return Event(
        action=Event.Action(action),
        request_id=context.request_id,
        client_address=_text(context.client_address, ADDRESS_LENGTH),
        **_actor(actor, context.acting()),
    )


def _actor(given: Actor | None, of_request: Any) -> dict[str, Any]:
    """Return the columns of the actor. A user's API key of the request is named beside the user."""
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
    names: Computed,
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


def _insert(row: Event, computed: Computed, tunnel_ids: Sequence[int] = ()) -> None:
    """Insert a row, or one for each tunnel, with computed columns.

    It reads no row back: a gateway may read no event, not even its id.
    """
    connection: Any = connections[DEFAULT_DB_ALIAS]
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
    rows = f"VALUES ({', '.join(parts)})"
    if tunnel_ids:
        signs = ", ".join(["%s"] * len(tunnel_ids))
        rows = (
            f"SELECT {', '.join(parts)} FROM vpnportal_tunnel tunnel"  # noqa: S608
            f" WHERE tunnel.id IN ({signs}) ORDER BY tunnel.id"
        )
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) {rows}",
            [*values, *tunnel_ids],
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
