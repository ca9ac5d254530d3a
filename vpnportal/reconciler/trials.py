"""Commit-confirm: after the trial time the tunnel is healthy, or the fallback is restored.

All state lies in the database, so a crash of the worker loses nothing: the next converge after the
trial time evaluates the trial.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import IPv4Address

from django.db import transaction
from django.db.models import BigAutoField, DateTimeField, Q
from django.utils import timezone

from vpnportal.domain.gateway_config.names import connection_of
from vpnportal.domain.planning.observed import Observed
from vpnportal.domain.planning.sa_status import SaStatus, sa_status_by_tunnel
from vpnportal.gateway.driver import GatewayDriver
from vpnportal.gateway.steps import Step
from vpnportal.models import Concentrator, Event, RemoteClaim, Revision, Tunnel, record_event
from vpnportal.models.revisions import RevisionQuerySet
from vpnportal.models.row_locks import lock_outcomes
from vpnportal.prepared_statements import PreparedQuery
from vpnportal.reconciler.step_log import log_to_revisions

Outcome = Revision.Outcome
WORKER = "worker"
# The longest trial time that a form accepts.
MAX_TRIAL = timedelta(hours=1)
# The time after its trial time in which a tunnel that was up may run on SAs with earlier names.
RENEGOTIATION_TIME = timedelta(minutes=1)
UNHEALTHY = {
    SaStatus.PARTIAL: "the tunnel was degraded",
    SaStatus.CONNECTING: "the tunnel was still connecting",
    SaStatus.DOWN: "the tunnel was down",
    SaStatus.OLDER: "the peer had not accepted the new settings",
}


def due(concentrator: Concentrator, tunnel_id: int | None = None) -> RevisionQuerySet:
    """Return the live revisions of a concentrator, or of one tunnel, whose trial time is over."""
    revisions = _due(concentrator.pk, *_bounds())
    return revisions if tunnel_id is None else revisions.filter(tunnel_id=tunnel_id)


def find_due(
    concentrator: Concentrator, tunnel_id: int | None, newest: Iterable[Revision]
) -> list[Revision]:
    """Return the rows of `due`; of one tunnel by a prepared statement.

    `newest` are the newest revisions of the scope. A live one without a trial has replaced the
    revisions before it, so a tunnel that has it needs no query.
    """
    if tunnel_id is None:
        return list(due(concentrator))
    if any(row.outcome == Outcome.LIVE and row.trial_seconds is None for row in newest):
        return []
    return _due_of_one(tunnel_id, concentrator.pk, *_bounds())


def _bounds() -> tuple[datetime, datetime]:
    """Return now, and the latest end of a trial that begins now."""
    now = timezone.now()
    return now, now + MAX_TRIAL


def _due(concentrator_id: int, now: datetime, latest_end: datetime) -> RevisionQuerySet:
    # A later end was written before the clock was set back.
    is_over = Q(trial_ends_at__lte=now) | Q(trial_ends_at__gt=latest_end)
    return Revision.objects.filter(is_over, concentrator_id=concentrator_id, outcome=Outcome.LIVE)


_due_of_one = PreparedQuery(
    lambda tunnel_id, *values: _due(*values).filter(tunnel_id=tunnel_id),
    BigAutoField(),
    BigAutoField(),
    DateTimeField(),
    DateTimeField(),
)


def cancel(tunnel: Tunnel) -> None:
    """Keep the live revision without a health check: a disconnected tunnel cannot be healthy."""
    live = Revision.objects.filter(tunnel=tunnel, outcome=Outcome.LIVE)
    for revision in live.exclude(trial_ends_at=None):
        _keep(revision, "Health check cancelled: the tunnel was disconnected")


def evaluate(revision: Revision, driver: GatewayDriver, observed: Observed) -> bool:
    """Keep a healthy revision, or restore the fallback. True if the desired state changed."""
    status = _status(revision, observed)
    if status is SaStatus.OLDER and _is_renegotiated(revision):
        return False
    problem = UNHEALTHY.get(status, "") or _ping_problem(revision, driver, observed)
    with transaction.atomic():
        lock_outcomes(revision.tunnel_id)
        if not due(revision.concentrator, revision.tunnel_id).filter(pk=revision.pk).exists():
            return False
        if problem:
            _roll_back(revision, problem)
            _record(revision, Event.Action.TUNNEL_TRIAL_TAKEN_BACK, problem)
        else:
            _keep(revision, "Healthy after the trial time: kept")
            _record(revision, Event.Action.TUNNEL_TRIAL_ENDED, "")
    return bool(problem)


def _status(revision: Revision, observed: Observed) -> SaStatus:
    """Return the observed SA status of a revision's tunnel."""
    name = connection_of(revision.tunnel_id)
    ike_sas = [ike_sa for ike_sa in observed.ike_sas if ike_sa.connection == name]
    loaded = {key: value for key, value in observed.connections.items() if key == name}
    return sa_status_by_tunnel(loaded, ike_sas).get(revision.tunnel_id, SaStatus.DOWN)


def _is_renegotiated(revision: Revision) -> bool:
    """Return True if the successors of SAs that a new version of the portal renamed are due.

    The peer has accepted the settings of a revision that was up. Its CHILD_SAs are out of date
    only because an upgrade gave its children other names.
    """
    if revision.first_up_at is None or revision.trial_ends_at is None:
        return False
    return timezone.now() - revision.trial_ends_at < RENEGOTIATION_TIME


def ping_obstacle(revision: Revision, observed: Observed) -> str:
    """Return why the concentrator cannot send the trial's ping, or "" if it can.

    The selectors of the tunnel allow hosted subnets only. On userland ESP the concentrator adds an
    address to each of them.
    """
    if not revision.trial_ping or observed.userland_esp or _ping_sources(revision, observed):
        return ""
    subnets = " or ".join(map(str, revision.spec().hosted_subnets))
    return (
        f"it has no address in {subnets} from which it could ping {revision.trial_ping}. Its"
        " operator can add one. Without the ping the configuration can be applied"
    )


def _ping_problem(revision: Revision, driver: GatewayDriver, observed: Observed) -> str:
    """Return that the trial's ping was not answered or sent, as text, or an empty string."""
    if not revision.trial_ping:
        return ""
    if obstacle := ping_obstacle(revision, observed):
        return f"the concentrator sent no ping, because {obstacle}"
    sources = _ping_sources(revision, observed)
    if driver.ping(IPv4Address(revision.trial_ping), sources, revision.mark):
        return ""
    return f"{revision.trial_ping} did not answer a ping"


def _ping_sources(revision: Revision, observed: Observed) -> frozenset[IPv4Address]:
    """Return the lowest address of the gateway in each hosted subnet."""
    sources = (
        observed.addresses.first_in(network) or observed.loopback_addresses.first_in(network)
        for network in revision.spec().hosted_subnets
    )
    return frozenset(address for address in sources if address)


def _keep(revision: Revision, reason: str) -> None:
    log_to_revisions([revision], Step("", reason))
    Revision.objects.filter(pk=revision.pk).update(trial_ends_at=None)
    _fallback(revision).update(outcome=Outcome.REPLACED)


def _roll_back(revision: Revision, problem: str) -> None:
    fallback = _fallback(revision).order_by("-number").first()
    Revision.objects.filter(pk=revision.pk).update(
        outcome=Outcome.WITHDRAWN,
        reason=f"Rolled back after {revision.trial_seconds} seconds: {problem}.",
        trial_ends_at=None,
        finished_at=timezone.now(),
    )
    if fallback is None:
        return
    latest = Revision.objects.filter(tunnel=revision.tunnel_id).order_by("-number")[0]
    restored = latest.restoring(fallback)
    restored.save()
    if fallback.claims.exists():
        # What was live at another concentrator does not open here.
        RemoteClaim.objects.reserve_again(restored, fallback)
    else:
        # It was replaced before the trial, which ended its claims.
        RemoteClaim.objects.reserve(restored, fallback.spec())
    _fallback(revision).update(outcome=Outcome.REPLACED)


def _record(revision: Revision, action: Event.Action, problem: str) -> None:
    record_event(
        action,
        actor=WORKER,
        tunnel=Tunnel.objects.for_gateway().get(pk=revision.tunnel_id),
        concentrator=revision.concentrator,
        after={"revision": revision.number} | ({"problem": problem} if problem else {}),
    )


def _fallback(revision: Revision) -> RevisionQuerySet:
    return Revision.objects.filter(tunnel_id=revision.tunnel_id, outcome=Outcome.FALLBACK)
