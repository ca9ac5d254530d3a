"""Two writes at once, in threads with connections of their own, and what they must not break."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from threading import Barrier

import pytest
from django.db import connection, connections

from tests.integration.race_preparations import Operation
from tests.integration.race_scene import Scene
from vpnportal import services, tasks
from vpnportal.domain.tunnel.serialization import spec_digest
from vpnportal.encryption import fingerprint_key, id_of_public_key
from vpnportal.models import AddressPool, Membership, RemoteClaim, Revision, Role, Subnet, Tunnel
from vpnportal.services.errors import CANNOT_WRITE

ACTIVE = Revision.LIVE_OR_APPLYING
ROUNDS = int(os.environ.get("VPNPORTAL_RACE_ROUNDS", "1"))


@pytest.fixture(autouse=True)
def no_broker(monkeypatch):
    monkeypatch.setattr(tasks, "_send", lambda *_, **__: None)
    monkeypatch.setattr(tasks.probe_peer, "apply_async", lambda *_, **__: None)


@pytest.fixture
def scene(transactional_db) -> Scene:
    return Scene()


@pytest.fixture
def at_once(transactional_db) -> Iterator[Callable[..., list[object]]]:
    """Return a function that calls functions at once, each in a thread with a connection."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite in memory has one connection, and SQLite one writer")
    with ThreadPoolExecutor(2) as pool:

        def call(*functions: Callable[[], object]) -> list[object]:
            barrier = Barrier(len(functions))
            return list(pool.map(lambda function: answer_of(barrier, function), functions))

        yield call
        call(*[connections.close_all] * 2)


def answer_of(barrier: Barrier, function: Callable[[], object]) -> object:
    """Return the result of a function that begins with the others, or its exception."""
    connection.ensure_connection()
    barrier.wait(10)
    try:
        return function()
    except Exception as error:
        return error


def is_expected(answer: object, operation: Operation) -> bool:
    """Return True for a result, a refusal, and a documented exception.

    A service turns a deadlock into the refusal CANNOT_WRITE.
    """
    if isinstance(answer, services.Refused):
        return CANNOT_WRITE not in str(answer)
    return not isinstance(answer, Exception) or isinstance(answer, operation.answers)


def broken_invariants(scene: Scene) -> Iterator[str]:
    """Yield what must never be in the database."""
    yield from overlapping_claims()
    for tunnel in Tunnel.objects.prefetch_related("subnets", "translations", "revisions"):
        yield from broken_outcomes(tunnel)
        digest = spec_digest(tunnel.draft(), fingerprint_key())
        if not tunnel.cancelled_at and tunnel.draft_digest not in ("", digest):
            yield f"the digest of {tunnel} is not that of its draft"
    for revision in Revision.objects.holding().select_related("concentrator"):
        public_key = revision.concentrator.envelope_key
        # After a removal the portal alone reads what it sealed before.
        if public_key and revision.specification.gateway_key_id != id_of_public_key(public_key):
            yield f"{revision} is not sealed for its gateway"
    kinds = services.PROVIDER_KINDS
    networks = Subnet.objects.filter(kind__in=kinds).values_list("network", flat=True)
    pools = AddressPool.objects.filter(kind="static-nat").values_list("network", flat=True)
    for group in (networks, pools):
        if any(network.overlaps(other) for network, other in combinations(group, 2)):
            yield f"networks of the provider overlap: {list(group)}"
    if not Membership.objects.filter(account=scene.account, role=Role.OWNER).exists():
        yield "the account has no owner"


def overlapping_claims() -> Iterator[str]:
    """Yield the tunnels that reserve one network at one concentrator."""
    claims = RemoteClaim.objects.in_force().filter(is_peer=False)
    rows = claims.values_list("revision__tunnel", "revision__concentrator", "first", "last")
    for (tunnel, place, first, last), (other, there, begin, end) in combinations(rows, 2):
        if tunnel != other and place == there and first <= end and begin <= last:
            yield f"claims of the tunnels {tunnel} and {other} overlap"


def broken_outcomes(tunnel: Tunnel) -> Iterator[str]:
    """Yield outcomes of a tunnel's revisions that exclude each other."""
    revisions = tunnel.revisions.all()
    outcomes = [revision.outcome for revision in revisions]
    if outcomes.count(Revision.Outcome.LIVE) > 1:
        yield f"{tunnel} has two live revisions"
    if tunnel.cancelled_at and set(outcomes) & set(Revision.HOLDING):
        yield f"{tunnel} was deleted and holds a revision"
    on_trial = [revision.trial_seconds for revision in revisions if revision.outcome in ACTIVE]
    if Revision.Outcome.FALLBACK in outcomes and not any(on_trial):
        yield f"{tunnel} has a fallback without a trial"


def lost_subnets(answers: list[object], pair: tuple[Operation, Operation], tunnels) -> list[str]:
    """Return the remote subnets that one of two tunnels was given and does not have."""
    return [
        f"{operation} was answered with {answer}, which {tunnel} does not have"
        for answer, operation, tunnel in zip(answers, pair, tunnels, strict=True)
        if operation.name in ("add_remote_subnet", "add_shared_subnet")
        and isinstance(answer, Subnet)
        and not tunnel.subnets.filter(pk=answer.pk).exists()
    ]


def run_pair(scene: Scene, at_once, pair: tuple[Operation, Operation], on_one: bool) -> list[str]:
    """Let two operations begin at once. Return what went wrong."""
    scene.renew()
    tunnels = (scene.tunnel, scene.tunnel if on_one else scene.neighbour)
    try:
        data = [
            operation.prepare(scene, tunnel)
            for operation, tunnel in zip(pair, tunnels, strict=True)
        ]
    except (services.Refused, *pair[0].answers, *pair[1].answers):
        # The first preparation excludes the second: these two never meet.
        return []
    calls = [
        lambda operation=operation, tunnel=tunnel, value=value: operation.run(scene, tunnel, value)
        for operation, tunnel, value in zip(pair, tunnels, data, strict=True)
    ]
    answers = at_once(*calls)
    wrong = [
        f"{operation}: {type(answer).__name__}: {answer}"
        for answer, operation in zip(answers, pair, strict=True)
        if not is_expected(answer, operation)
    ]
    wrong += broken_invariants(scene)
    if not on_one:
        wrong += lost_subnets(answers, pair, tunnels)
    place = "one tunnel" if on_one else "two tunnels"
    return [f"{pair[0]} and {pair[1]} at once, for {place}: {text}" for text in wrong]


def wrong_pairs(
    scene: Scene, at_once, first: Operation, others: Iterable[Operation], *, on_one: bool
) -> list[str]:
    """Let an operation and each of the others begin at once. Return what went wrong."""
    return [
        text
        for second in others
        for _ in range(ROUNDS)
        for text in run_pair(scene, at_once, (first, second), on_one)
    ]
