"""The converge: from any observed state of a concentrator to its desired state."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from typing import Any, TypeAlias

from django.conf import settings
from django.db import OperationalError
from django.db.models import BigAutoField, Exists, OuterRef, QuerySet
from django.utils import timezone

from vpnportal.domain.gateway_config.desired import CompiledTunnel, Desired
from vpnportal.domain.gateway_config.names import connection_of
from vpnportal.domain.gateway_config.nat_elements import NatMap
from vpnportal.domain.planning.observed import Observed, Scope
from vpnportal.domain.planning.plan import (
    Plan,
    Start,
    gateway_address_conflict,
    make_plan,
    missing_tunnel_route,
    plan_without_sas,
)
from vpnportal.domain.planning.sa_status import SaStatus, sa_status_by_tunnel
from vpnportal.gateway import GatewayError
from vpnportal.gateway.driver import GatewayDriver
from vpnportal.gateway.steps import Step
from vpnportal.models import Concentrator, HeldTunnel, TunnelCommand
from vpnportal.prepared_statements import PreparedQuery
from vpnportal.reconciler import (
    address_release,
    epochs,
    first_rekey,
    key_rotation,
    leftovers,
    marks,
    revision_outcomes,
    sa_status_store,
    stand_alone,
    trials,
    tunnel_commands,
)
from vpnportal.reconciler.drift import DriftLog
from vpnportal.reconciler.internal_addresses import InternalAddresses
from vpnportal.reconciler.local_target import local_target
from vpnportal.reconciler.revision_cache import revisions as revision_cache
from vpnportal.reconciler.step_log import RevisionLogs, StepRouter, log_to_revisions
from vpnportal.reconciler.target import Target, load_target

log = logging.getLogger(__name__)

PlanMaker: TypeAlias = Callable[[Desired, Observed, Scope | None, bool], Plan]
# An apply needs two observations. The others are for changes that arrive meanwhile.
MAX_OBSERVATIONS = 5


def converge(concentrator_id: int, tunnel_id: int | None = None, give_up: bool = False) -> bool:
    """Bring one tunnel, or the whole concentrator, to the state of the newest revisions.

    Returns True if work is left for another converge. Raises GatewayError if the concentrator
    cannot be observed or changed. With `give_up`, overdue revisions are marked as failed.

    After a restore of the database, the gateway is compared with it first.
    """
    concentrator = find_concentrator(concentrator_id)
    if epochs.compare_if_new(concentrator, is_full=tunnel_id is None):
        concentrator = find_concentrator(concentrator_id)
    try:
        with _no_garbage_collection():
            return Converge(concentrator, tunnel_id).run()
    except GatewayError as error:
        target = load_target(concentrator, tunnel_id)
        _remove_leftovers(concentrator, target)
        unfinished = target.unfinished
        text = unreachable_text(concentrator, error)
        if give_up:
            revision_outcomes.fail_overdue(unfinished, text)
        else:
            step = Step("", f"{text} Trying again.", ok=False)
            log_to_revisions(unfinished, step)
        raise
    finally:
        revision_cache.drop_secrets()


def _remove_leftovers(concentrator: Concentrator, target: Target) -> None:
    """If charon does not run, remove the leftovers that no desired tunnel needs.

    A tunnel that was cancelled meanwhile must not carry traffic until charon returns.
    """
    driver, drift = driver_for(concentrator), DriftLog(concentrator)
    with suppress(GatewayError), RevisionLogs(target.revisions) as logs:
        if not driver.leftovers.charon_runs():
            found = leftovers.find_without_charon(concentrator, target, driver)
            driver.leftovers.remove(found, _step_router(concentrator, logs, drift))
    drift.save()


def _step_router(concentrator: Concentrator, logs: RevisionLogs, drift: DriftLog) -> StepRouter:
    return StepRouter(
        logs,
        address_release.release_logs(concentrator),
        tunnel_commands.command_logs(concentrator),
        drift,
    )


def find_concentrator(pk: int) -> Concentrator:
    """Return the row of a concentrator. Raises Concentrator.DoesNotExist if it was deleted.

    It has the name and the epoch only, and `has_held`: converting the monitor's times and lists
    takes longer than the query.
    """
    for concentrator in _concentrators(pk):
        return concentrator
    raise Concentrator.DoesNotExist


def _with_held(pk: Any) -> QuerySet[Concentrator]:
    held = HeldTunnel.objects.filter(concentrator=OuterRef("pk"))
    rows = Concentrator.objects.filter(pk=pk).only("name", "epoch")
    # In place of the property of this name, which would be a query of its own.
    return rows.annotate(**{"has_held": Exists(held)})


_concentrators = PreparedQuery(_with_held, BigAutoField())


def converge_without_portal(name: str) -> None:
    """Converge the concentrator `name` while the portal's database or queue cannot be reached.

    With the database this is a full converge. Without it, the stored tunnels that the gateway lacks
    are restored. Raises GatewayError if the gateway cannot be observed or changed.
    """
    try:
        concentrator = Concentrator.objects.filter(name=name).only("name").first()
        if concentrator:
            converge(concentrator.pk)
    except OperationalError as error:
        log.warning("The database cannot be reached: %s", error)
        stand_alone.restore_missing(name, driver_for(name))


def driver_for(concentrator: Concentrator | str) -> GatewayDriver:
    """Return the driver of a concentrator. Its worker runs in the same network namespace."""
    return _driver(settings.VICI_SOCKET)


@cache
def _driver(vici_socket: str) -> GatewayDriver:
    """Return the only driver of this process, which caches state that the kernel announces."""
    return GatewayDriver(vici_socket)


def unreachable_text(concentrator: Concentrator, error: GatewayError) -> str:
    """Return the reason why a concentrator cannot be reached, for people."""
    text = f"The concentrator {concentrator.name} cannot be reached: {error}"
    return f"{text} {settings.CONCENTRATOR_NOTE}".strip()


class Converge:
    """One converge of a concentrator, or of one tunnel of it: phases in the order of `run`."""

    target: Target
    observed: Observed
    starts: tuple[Start, ...]
    # True if the database may have another target than the loaded one. An apply that arrives in
    # the meantime has a message of its own.
    _target_changed: bool
    _internal: Container[int] = ()
    # The connections of the tunnels whose trial was due.
    _on_trial: frozenset[str] = frozenset()

    def __init__(self, concentrator: Concentrator, tunnel_id: int | None) -> None:
        self._concentrator = concentrator
        self._tunnel_id = tunnel_id
        self._connection = None if tunnel_id is None else connection_of(tunnel_id)
        self._driver = driver_for(concentrator)
        self._drift = DriftLog(concentrator)
        self._commands: list[TunnelCommand] = []
        # The apply logs of the target's revisions.
        self._logs = RevisionLogs(())
        self._began_at = timezone.now()

    def run(self) -> bool:
        """Run the phases in their order. Return True if work is left for another converge."""
        self._apply_until_stable()
        for phase in (self._evaluate_trials, self._execute_reconnects):
            if phase():
                self._apply_until_stable()
        starts_left = self._initiate()
        status = self._sa_status()
        self._save(status)
        tunnel_commands.complete(self._commands, self._driver)
        rekeys_left = first_rekey.force(self.target, self._driver, status)
        return starts_left or rekeys_left

    def _apply_until_stable(self) -> None:
        """Observe, plan and apply, until an observation needs no plan."""
        # charon answers while the database is read. Refused starts that it reports now belong to
        # the logs of the revisions that are read next.
        self._driver.start_observation(self._connection)
        self._target_changed = True
        try:
            for number in range(MAX_OBSERVATIONS):
                if not self._apply_plan(is_first=number == 0):
                    return
        except GatewayError:
            # The next converge does not find what this one repaired before the failure.
            self._drift.save()
            raise
        finally:
            self._logs.close()
        raise GatewayError("Its state does not stay as configured: another program changes it.")

    def _apply_plan(self, is_first: bool) -> bool:
        """Observe, plan and apply. Without a plan, mark the revisions as live."""
        is_new_target, self._target_changed = self._target_changed, False
        if is_new_target:
            self._logs.close()
            self.target = load_target(self._concentrator, self._tunnel_id)
            self._logs = RevisionLogs(self.target.revisions)
        if is_first:
            self._internal = _addresses_with_flows_to_read(self.target)
        # Before the first change: the next converge must see that this one has begun.
        revision_outcomes.mark_applying(self.target.unfinished)
        desired = self.target.desired
        read_ike_sas, self.observed = self._driver.observe(
            self.target.scope, desired.connections, self._internal, desired.hosted
        )
        if is_new_target and (conflicts := self._conflicts_with_gateway()):
            self._fail_refused(conflicts)
            return True
        # charon cannot list the secrets of one connection, so old ones are unloaded once.
        unload_unseen = is_first and bool(self.target.unfinished or self.target.may_be_half_done)
        plan = self._plan(plan_without_sas, unload_unseen) if is_first else Plan()
        if not plan:
            # The kernel answers while charon walks its SAs.
            kernel = leftovers.observe_kernel(self.target.scope, self.observed, self._driver)
            self.observed = replace(self.observed, kernel=kernel, ike_sas=read_ike_sas())
            plan = self._plan(make_plan, unload_unseen)
            found = leftovers.find(self._concentrator, self.target, self.observed, self._driver)
            plan = replace(plan, remove_leftovers=found) if found else plan
        plan, self.starts = plan.without_initiation(), plan.initiate
        if not plan:
            unfinished = self.target.unfinished
            revision_outcomes.mark_live(unfinished)
            # Before the first attempt with these keys.
            key_rotation.note_loaded(self.target)
            self._logs.discard(unfinished)
            self._drift.save()
            return False
        router = _step_router(self._concentrator, self._logs, self._drift)
        self._fail_refused(self._driver.apply(plan, self.observed.userland_esp, router))
        return True

    def _fail_refused(self, refusals: Mapping[str, str]) -> None:
        """Fail the refused revisions, given by connection; the target is then the one before."""
        if refusals:
            self._logs.close()
        revision_outcomes.fail_refused(self.target.revision_ids, refusals)
        self._target_changed = bool(refusals)

    def _plan(self, make: PlanMaker, unload_unseen: bool) -> Plan:
        plan = make(self.target.desired, self.observed, self.target.scope, unload_unseen)
        return plan.excluding(self.target.unreadable, self.target.desired)

    def _conflicts_with_gateway(self) -> dict[str, str]:
        """Return why the gateway cannot carry unfinished revisions: text by connection."""
        return {
            connection_of(revision.tunnel_id): text
            for revision in self.target.unfinished
            if (tunnel := revision_cache.get(revision))
            and (
                text := self._conflict_with_gateway(tunnel)
                or trials.ping_obstacle(revision, self.observed)
            )
        }

    def _conflict_with_gateway(self, tunnel: CompiledTunnel) -> str:
        as_loaded = tunnel.connection.as_loaded
        if text := gateway_address_conflict(tunnel.claims, self.observed.addresses):
            return text
        if text := missing_tunnel_route(self.observed, as_loaded.ends[1]):
            return text
        remote = {network for child in as_loaded.children for network in child.remote_ts}
        network, route_type = self._driver.refused_network(sorted(remote))
        if not network:
            return ""
        return f"it has a route of the type {route_type} for {network}. Its operator must remove it"

    def _evaluate_trials(self) -> bool:
        """Evaluate the due trials. Return True if one rolled back and the desired state changed."""
        due = [
            revision
            for revision in trials.find_due(
                self._concentrator, self._tunnel_id, self.target.revisions
            )
            if connection_of(revision.tunnel_id) not in self.target.held
        ]
        self._on_trial = frozenset(connection_of(revision.tunnel_id) for revision in due)
        return any([trials.evaluate(revision, self._driver, self.observed) for revision in due])

    def _execute_reconnects(self) -> bool:
        """Claim commands, and terminate IKE_SAs to reconnect. Return True if one was terminated."""
        if not self.target.may_have_commands:
            return False
        self._commands = tunnel_commands.claim(self._concentrator, self._tunnel_id)
        return tunnel_commands.terminate_for_reconnect(self._commands, self._driver, self.observed)

    def _initiate(self) -> bool:
        """Initiate the missing CHILD_SAs. Return True if some are left for the next converge.

        Tunnels whose trial is due come first: they are rolled back if their turn comes too late.
        """
        if not self.starts:
            return False
        starts = sorted(self.starts, key=lambda start: start.connection not in self._on_trial)
        with RevisionLogs(self.target.revisions) as logs:
            left = self._driver.initiate(tuple(starts), StepRouter(logs, _RefusedStarts()))
        return bool(left)

    def _sa_status(self) -> dict[int, SaStatus]:
        """Return the SA status by tunnel. A tunnel whose start was just sent is connecting."""
        status = sa_status_by_tunnel(self.observed.connections, self.observed.ike_sas)
        initiated = {start.connection for start in self.starts}
        return {
            tunnel_id: SaStatus.CONNECTING
            if value is SaStatus.DOWN and connection_of(tunnel_id) in initiated
            else value
            for tunnel_id, value in status.items()
        }

    def _save(self, status: dict[int, SaStatus]) -> None:
        """Write the status of tunnels and concentrator that this converge observed."""
        if self._tunnel_id is None:
            sa_status_store.save_all(self._concentrator, status, self._began_at)
            sa_status_store.save_for_operators(
                self._concentrator,
                self.observed.foreign_connections,
                self.observed.drop_counters,
            )
            sa_status_store.save_converged(self._concentrator)
            address_release.complete_releases(self._concentrator, self.observed)
            marks.free_released(self._concentrator, self._driver, self.observed, self._began_at)
            if self.target.ended:
                # The gateway follows the database now: their addresses are free.
                HeldTunnel.objects.filter(pk__in=self.target.ended).delete()
        else:
            sa_status_store.save_one(self._concentrator, self._tunnel_id, status, self._began_at)
        self._mark_up(status)
        target = self.target
        local_target(self._concentrator.name).save(
            target.revision_keys, self._connection, target.revisions, target.held
        )

    def _mark_up(self, status: dict[int, SaStatus]) -> None:
        if self._tunnel_id is not None and any(row.first_up_at for row in self.target.revisions):
            return
        live_ids = self.target.revision_ids
        names = [connection_of(pk) for pk, value in status.items() if value is SaStatus.UP]
        if up := [live_ids[name] for name in names if name in live_ids]:
            revision_outcomes.mark_up(up)


def _addresses_with_flows_to_read(target: Target) -> Container[int]:
    """Return the internal addresses whose translated flows an observation must read.

    A dump of conntrack takes longer the more flows there are. For a single tunnel it is necessary
    only if an earlier converge may have removed a translation without its flows.
    """
    if target.scope is None:
        return InternalAddresses()
    if target.may_be_half_done:
        return frozenset(target.scope.elements.keys(NatMap.INBOUND))
    return ()


class _RefusedStarts:
    """A step sink that logs the failed initiations that no revision log accepts."""

    def accept(self, step: Step) -> bool:
        if not step.ok:
            log.warning("%s: %s", step.connection, step.text)
        return True


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Suspend Python's search for cycles: it would visit every cached value again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
