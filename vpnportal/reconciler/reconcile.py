"""Bring a concentrator, or one tunnel of it, to what the newest revisions say, from anywhere."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cache

from django.conf import settings
from django.utils import timezone

from vpnportal.domain.gateway_config.names import connection_of
from vpnportal.domain.planning.observed import Observed
from vpnportal.domain.planning.plan import (
    Start,
    gateway_address_conflict,
    make_plan,
    plan_without_sas,
)
from vpnportal.domain.planning.sa_status import SaStatus, sa_status_by_tunnel
from vpnportal.gateway import GatewayError
from vpnportal.gateway.driver import GatewayDriver as Device
from vpnportal.gateway.steps import Step
from vpnportal.models import Concentrator
from vpnportal.reconciler import (
    address_release,
    first_rekey,
    revision_cache,
    revision_outcomes,
    sa_status_store,
    trials,
    tunnel_commands,
)
from vpnportal.reconciler import drift as reconciler_drift
from vpnportal.reconciler.target import Target, load_target

log = logging.getLogger(__name__)

# A pass that changed something is followed by a look; what came in between costs one more.
MAX_PASSES = 5
# A charon that is started again is back sooner. Without this, giving up a look that began long ago
# would fail an apply of a moment ago.
GRACE_PERIOD = timedelta(seconds=5)


def converge(concentrator_id: int, tunnel_id: int | None = None, give_up: bool = False) -> bool:
    """Make the concentrator hold what the newest standing revisions say.

    With a tunnel, look at that one only; else at everything. True when something is left that did
    not get its turn: ask again. DeviceError where the concentrator cannot be seen or changed; with
    `give_up`, the revisions that waited long enough have failed with that reason.
    """
    concentrator = Concentrator.objects.get(pk=concentrator_id)
    try:
        with _uncollected():
            return _converge(concentrator, tunnel_id)
    except GatewayError as error:
        unfinished = load_target(concentrator, tunnel_id).unfinished
        if give_up:
            overdue = [one for one in unfinished if one.age >= GRACE_PERIOD]
            revision_outcomes.mark_failed(overdue, unreachable_text(concentrator, error))
        else:
            revision_outcomes.append_step(
                unfinished,
                Step("", f"{unreachable_text(concentrator, error)} Trying again.", ok=False),
            )
        raise
    finally:
        revision_cache.let_secrets_go()


def _objections(aim: Target, observed: Observed) -> dict[str, str]:
    """Those that wait for their outcome and claim what is the gateway's own, by connection."""
    return {
        connection_of(one.tunnel_id): text
        for one in aim.unfinished
        if (found := revision_cache.of(one))
        and (text := gateway_address_conflict(found.claims, observed.addresses))
    }


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without Python's search for cycles: it goes through all values again and again, for none."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def driver_for(concentrator: Concentrator) -> Device:
    """The device of a lane, which runs where its worker runs."""
    return _device(settings.VICI_SOCKET)


@cache
def _device(vici_socket: str) -> Device:
    """One for the life of the process: it remembers what the kernel tells when it changes."""
    return Device(vici_socket)


def unreachable_text(concentrator: Concentrator, error: GatewayError) -> str:
    """Why a concentrator cannot be reached, for a person."""
    text = f"The concentrator {concentrator.name} cannot be reached: {error} {settings.CONCENTRATOR_NOTE}"
    return text.strip()


def _converge(concentrator: Concentrator, tunnel_id: int | None) -> bool:
    device = driver_for(concentrator)
    at = timezone.now()
    aim, observed, starts = _apply_until_stable(concentrator, tunnel_id, device)
    if any([trials.evaluate(one, device, observed) for one in trials.due(concentrator, tunnel_id)]):
        # What came back instead is like any other apply.
        aim, observed, starts = _apply_until_stable(concentrator, tunnel_id, device)
    asked = tunnel_commands.claim(concentrator, tunnel_id)
    if tunnel_commands.terminate_for_reconnect(asked, device, observed):
        aim, observed, starts = _apply_until_stable(concentrator, tunnel_id, device)
    seen = sa_status_by_tunnel(observed.connections, observed.ike_sas)
    dialled = {one.connection for one in starts}
    seen.update(
        (tunnel, SaStatus.CONNECTING)
        for tunnel, word in seen.items()
        if word is SaStatus.DOWN and connection_of(tunnel) in dialled
    )
    with revision_outcomes.record_steps(aim.revisions, otherwise=_refusal_logged) as report:
        left = device.initiate(starts, report) if starts else 0
    if tunnel_id is None:
        sa_status_store.save_all(concentrator, seen, at)
        sa_status_store.save_for_operators(
            concentrator, observed.foreign_connections, observed.drop_counters
        )
        address_release.complete_releases(concentrator, observed)
    else:
        sa_status_store.save_one(concentrator, tunnel_id, seen, at)
    _note_up(aim, seen)
    tunnel_commands.complete(asked, device)
    more = first_rekey.force(aim, device, seen)
    return bool(left) or more


def _refusal_logged(step: Step) -> None:
    """A start that was refused when nobody waited for its tunnel's revision any more."""
    if not step.ok:
        log.warning("%s: %s", step.connection, step.text)


def _note_up(aim: Target, seen: dict[int, SaStatus]) -> None:
    """One tunnel's revision is at hand; of everything, only those that are up are asked for."""
    if aim.scope and any(one.first_up_at for one in aim.revisions):
        return
    up = [
        name
        for tunnel, word in seen.items()
        if word is SaStatus.UP and (name := connection_of(tunnel)) in aim.newest
    ]
    if up:
        revision_outcomes.mark_up([aim.newest[name] for name in up])


def _apply_until_stable(
    concentrator: Concentrator, tunnel_id: int | None, device: Device
) -> tuple[Target, Observed, tuple[Start, ...]]:
    """Look, plan and act until a look finds nothing to do but to start children."""
    drift = reconciler_drift.DriftLog(concentrator)
    # Also before the revisions are read: what comes of it may be written into one of them.
    device.start_observation(None if tunnel_id is None else connection_of(tunnel_id))
    for attempt in range(MAX_PASSES):
        aim = load_target(concentrator, tunnel_id)
        revision_outcomes.mark_applying(aim.unfinished)
        running, observed = device.observe(aim.scope, aim.desired.connections)
        if objections := _objections(aim, observed):
            revision_outcomes.fail_refused(aim.newest, objections)
            continue
        # charon cannot be asked for one secret, so those of a waiting apply are forgotten once.
        unsure = bool(aim.unfinished) and attempt == 0
        plan = plan_without_sas(aim.desired, observed, aim.scope, unsure)
        plan = plan.excluding(aim.unreadable, aim.desired)
        if not plan:
            observed = replace(observed, ike_sas=running())
            plan = make_plan(aim.desired, observed, aim.scope, unsure)
            plan = plan.excluding(aim.unreadable, aim.desired)
        plan, starts = plan.without_initiation(), plan.initiate
        if not plan:
            revision_outcomes.mark_live(aim.unfinished)
            drift.save()
            return aim, observed, starts
        unasked = address_release.recorder(
            concentrator, tunnel_commands.recorder(concentrator, drift.add)
        )
        with revision_outcomes.record_steps(aim.revisions, otherwise=unasked) as report:
            refused = device.apply(plan, observed.userland_esp, report)
        revision_outcomes.fail_refused(aim.newest, refused)
    raise GatewayError("It does not keep what it is given; somebody else changes it, too.")
