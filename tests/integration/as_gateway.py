"""Worker and monitor with the rights and the keys of their gateway, in every test.

`install` puts a wrapper around each entry to their code. Until the call returns, the connection is
the role of the concentrator, and the key files are those of its gateway. So a right that is missing
fails the test of that path, and so does the use of a key of the portal. SQLite has no roles.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection
from django.db.models.signals import pre_save

from tests.key_folder import FILES
from vpnportal import encryption, services, tasks
from vpnportal.deployment import gateway_rights
from vpnportal.deployment.broker_access import gateway_user
from vpnportal.management.key_folder import PUBLIC_KEY_FILE, make_folder
from vpnportal.models import Concentrator, Revision
from vpnportal.monitor import (
    converge_requests,
    key_rotations,
    log_recorder,
    traffic_recorder,
    translation_usage,
    watcher,
)
from vpnportal.reconciler import (
    address_release,
    first_rekey,
    key_rotation,
    leftovers,
    marks,
    peer_probe,
    reconcile,
    revision_outcomes,
    sa_status_store,
    target,
    trials,
    tunnel_commands,
)

BY_ID = "SELECT name FROM vpnportal_concentrator WHERE id = %s"
BY_REVISION = """
SELECT name FROM vpnportal_concentrator WHERE id =
    (SELECT concentrator_id FROM vpnportal_revision WHERE id = %s)"""
BY_LIVE = """
SELECT name FROM vpnportal_concentrator WHERE id =
    (SELECT concentrator_id FROM vpnportal_revision WHERE tunnel_id = %s AND outcome = 'live')"""
BY_PROBE = """
SELECT name FROM vpnportal_concentrator WHERE id =
    (SELECT concentrator_id FROM vpnportal_tunnel WHERE id =
        (SELECT tunnel_id FROM vpnportal_peerprobe WHERE id = %s))"""
# Each function, and the query that finds the concentrator if its first argument is a number.
FUNCTIONS: tuple[tuple[Any, str, str], ...] = (
    *((reconcile, name, BY_ID) for name in ("converge", "converge_without_portal")),
    (tasks, "converge_all", BY_ID),
    (tasks.converge, "run", BY_ID),
    (tasks.probe_peer, "run", BY_PROBE),
    (peer_probe, "run_round", BY_PROBE),
    *(
        (revision_outcomes, name, BY_REVISION)
        for name in ("mark_live", "mark_applying", "mark_failed", "fail_overdue", "mark_up")
    ),
    (revision_outcomes, "fail_refused", BY_REVISION),
    (revision_outcomes, "mark_accepted_by_peer", BY_LIVE),
    (trials, "evaluate", BY_ID),
    (address_release, "complete_releases", BY_ID),
    (address_release, "still_configured_on", BY_ID),
    (marks, "free_released", BY_ID),
    (leftovers, "find", BY_ID),
    (target, "load_target", BY_ID),
    (first_rekey, "force", BY_ID),
    (tunnel_commands, "claim", BY_ID),
    *((key_rotation, name, BY_LIVE) for name in ("choose_other_key", "note_used")),
    *((sa_status_store, name, BY_ID) for name in vars(sa_status_store) if name.startswith("save_")),
    *((log_recorder, name, BY_ID) for name in ("save_log", "anomalies_of")),
    *(
        (traffic_recorder, name, BY_ID)
        for name in vars(traffic_recorder)
        if name.startswith(("save_", "saved_"))
    ),
    *((translation_usage, name, BY_ID) for name in ("save_usage", "save_read_time")),
    (watcher, "_watch", BY_ID),
)
CLASSES = (
    converge_requests.ConvergeRequests,
    key_rotations.KeyRotations,
    log_recorder.LogRecorder,
    log_recorder.TunnelLookup,
    traffic_recorder.TrafficRecorder,
    translation_usage.UsageReader,
    watcher.Watcher,
)
RESET = "RESET SESSION AUTHORIZATION"
_role = threading.local()


def install() -> None:
    """Run all entries to the code of worker and monitor as their gateway from now on.

    A service that a test calls in between, such as an apply during a converge, is the portal's.
    """
    for owner, name, query in FUNCTIONS:
        setattr(owner, name, _wrapped(getattr(owner, name), query))
    for kind in CLASSES:
        for name, method in list(vars(kind).items()):
            if inspect.isfunction(method) and (name == "__init__" or not name.startswith("_")):
                setattr(kind, name, _wrapped_method(method))
    # The tests run the worker of this version.
    gateway_rights.EARLIER_COLUMNS.clear()
    encryption.settings = KeyFilesOfThread()
    pre_save.connect(give_key, Concentrator, dispatch_uid="keys of the tests")
    for name in services.__all__:
        if inspect.isfunction(function := getattr(services, name)):
            setattr(services, name, as_portal()(function))


class KeyFilesOfThread:
    """The settings, with the key files of the gateway that this thread is."""

    def __getattr__(self, name: str) -> Any:
        concentrator = getattr(_role, "name", None)
        # A test may be the process of a gateway as a whole.
        if concentrator and name in FILES and settings.KEYS.name != concentrator:
            return settings.KEYS / concentrator / FILES[name]
        return getattr(settings, name)


def give_key(instance: Concentrator, **_: Any) -> None:
    """Make the keys of a new concentrator's gateway, as `manage.py keys --concentrators` does."""
    if instance._state.adding and not instance.envelope_key:
        make_folder(instance.name)
        file = settings.KEYS / instance.name / PUBLIC_KEY_FILE
        instance.envelope_key = file.read_text().strip()


@contextmanager
def as_gateway(concentrator: str) -> Iterator[None]:
    """Be a gateway in the block. Inside another such block, do nothing."""
    if getattr(_role, "name", None):
        yield
        return
    _set(concentrator)
    try:
        yield
    finally:
        # In a transaction that failed, its rollback ends the role.
        with suppress(psycopg.errors.InFailedSqlTransaction):
            _set(None)
        _role.name = None


@contextmanager
def as_portal() -> Iterator[None]:
    """Be the portal in a part of a block of `as_gateway`: what users do meanwhile."""
    name = getattr(_role, "name", None)
    if name is None:
        yield
        return
    _set(None)
    try:
        yield
    finally:
        _set(name)


def _set(name: str | None) -> None:
    if connection.vendor == "postgresql":
        # Past Django, which counts the queries of some tests.
        role = f'SET SESSION AUTHORIZATION "{gateway_user(name)}"' if name else RESET
        connection.ensure_connection()
        connection.connection.execute(role)
    _role.name = name


def _wrapped(function: Callable[..., Any], query: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        arguments = [_listed(argument) for argument in args]
        name = next(iter(_concentrator(arguments, query)), None)
        if name is None:
            return function(*arguments, **kwargs)
        with as_gateway(name):
            return function(*arguments, **kwargs)

    return call


def _wrapped_method(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        concentrator = args[0] if method.__name__ == "__init__" else self._concentrator
        with as_gateway(concentrator.name):
            return method(self, *args, **kwargs)

    return call


def _listed(argument: Any) -> Any:
    """Return an iterator as a list: its rows are looked at before the call."""
    return list(argument) if isinstance(argument, Iterator) else argument


def _concentrator(arguments: list[Any], query: str) -> Iterable[str]:
    """Return the name of the concentrator whose gateway calls a function with these arguments."""
    if getattr(_role, "name", None):
        return ()
    first = _first_row(arguments[0] if arguments else None)
    if isinstance(first, Concentrator):
        return (first.name,)
    if isinstance(first, str):
        return (first.partition("@")[0],)
    if isinstance(first, Revision):
        return _names(BY_ID, first.concentrator_id)
    return _names(query, first) if isinstance(first, int) else ()


def _first_row(argument: Any) -> Any:
    """Return the first row or number of an argument that has several."""
    rows = argument.revisions if isinstance(argument, target.Target) else argument
    rows = list(rows.values()) if isinstance(rows, dict) else rows
    if isinstance(rows, Iterable) and not isinstance(rows, str):
        return next(iter(rows), None)
    return rows


def _names(query: str, number: int) -> list[str]:
    connection.ensure_connection()
    sign = "%s" if connection.vendor == "postgresql" else "?"
    return [name for (name,) in connection.connection.execute(query.replace("%s", sign), [number])]
