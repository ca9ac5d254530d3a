"""Converge from Apply to the outcome, with a fake gateway that holds the loaded objects."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network

import pytest
from django.utils import timezone

from vpnportal import services, tasks
from vpnportal.clock import time_of_day
from vpnportal.domain.gateway_config.nat_elements import NatMap
from vpnportal.domain.planning.observed import IkeSa
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.fields import Sealed
from vpnportal.gateway import GatewayError
from vpnportal.gateway.steps import Step
from vpnportal.models import Account, Concentrator, Revision, Subnet, Tunnel
from vpnportal.models.concentrators import STALE_AFTER
from vpnportal.models.revisions import LOCK_DURATION
from vpnportal.reconciler import reconcile, revision_outcomes, sa_status_store, step_log

Outcome = Revision.Outcome
pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def converge(tunnel: Tunnel, **kwargs) -> None:
    reconcile.converge(tunnel.concentrator_id, tunnel.pk, **kwargs)


def test_an_applied_revision_is_live_and_loaded(ready, user, gateway):
    revision = services.apply(ready, user)
    converge(ready)

    revision.refresh_from_db()
    assert (revision.outcome, revision.reason) == (Outcome.LIVE, "")
    assert [step["text"] for step in revision.steps] == [
        "Started",
        f"Loaded the connection ctx{ready.pk}",
    ]
    assert gateway.connections.keys() == {f"ctx{ready.pk}"}
    assert {(element.map, element.texts[0]) for element in gateway.elements} == {
        (NatMap.INBOUND, "10.1.255.92"),
        (NatMap.OUTBOUND, f"{revision.mark} . 192.168.10.15"),
        (NatMap.TUNNEL_OF, "10.1.255.92"),
        (NatMap.NETWORKS, "192.168.10.0-192.168.10.255"),
        (NatMap.PEERS, revision.hosted_peer),
        (NatMap.ZONE_OF, str(revision.mark)),
    }


def test_an_edit_reaches_the_concentrator_only_by_apply(ready, user, gateway):
    services.apply(ready, user)
    converge(ready)
    loaded = dict(gateway.connections)

    services.edit(ready, "phase_one_encryption", "AES256", user)
    reconcile.converge(ready.concentrator_id)

    assert gateway.connections == loaded
    assert [change.after for change in services.state_of(ready).pending] == ["AES256"]


def test_a_second_converge_is_an_empty_plan_in_either_scope(ready, user, gateway):
    services.apply(ready, user)
    converge(ready)
    plan_count = len(gateway.plans)

    converge(ready)
    reconcile.converge(ready.concentrator_id)

    assert len(gateway.plans) == plan_count


def test_edits_during_an_apply_are_refused_and_change_nothing(ready, user):
    services.apply(ready, user)

    with pytest.raises(services.Refused):
        services.edit(ready, "phase_one_encryption", "AES256", user)
    with pytest.raises(services.Refused):
        services.apply(ready, user)

    assert Tunnel.objects.get().phase_one_encryption == "3DES"
    assert Revision.objects.count() == 1


def test_a_revision_that_charon_refuses_fails_with_the_reason_and_the_old_stays_live(
    ready, user, gateway
):
    services.apply(ready, user)
    converge(ready)
    loaded, secrets = dict(gateway.connections), dict(gateway.secrets)

    services.set_preshared_key(ready, "another key", user)
    gateway.load_refusals = {f"ctx{ready.pk}": "invalid value for: proposals"}
    revision = services.apply(ready, user)
    converge(ready)

    revision.refresh_from_db()
    assert revision.outcome == Outcome.FAILED
    assert revision.reason == (
        "The concentrator refused the configuration: invalid value for: proposals."
    )
    assert (gateway.connections, gateway.secrets) == (loaded, secrets)
    assert services.state_of(ready).live.number == 1


def test_the_first_tunnel_adds_the_route_into_tunnels(ready, user, gateway):
    gateway.has_tunnel_route = False
    services.apply(ready, user)

    converge(ready)

    assert gateway.has_tunnel_route
    assert [plan.tunnel_route_over for plan in gateway.plans] == ["public"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"has_tunnel_route": False, "public_interface": ""}, "no route to the peer 203.0.113.2"),
        ({"blackholes": {"192.168.10.0/24"}}, "route of the type blackhole for 192.168.10.0/24"),
    ],
)
def test_an_apply_says_which_route_the_gateway_lacks_or_has_too_many(
    ready, user, gateway, fault, reason
):
    vars(gateway).update(fault)
    revision = services.apply(ready, user)

    converge(ready)

    revision.refresh_from_db()
    assert revision.outcome == Outcome.FAILED
    assert reason in revision.reason
    assert gateway.connections == {}


def test_a_refused_tunnel_does_not_delay_the_others(ready, user, gateway, second_tunnel):
    second = services.apply(second_tunnel, user)
    first = services.apply(ready, user)
    gateway.load_refusals = {f"ctx{ready.pk}": "no"}

    reconcile.converge(ready.concentrator_id)

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.outcome, second.outcome) == (Outcome.FAILED, Outcome.LIVE)
    assert gateway.connections.keys() == {f"ctx{second_tunnel.pk}"}


def test_an_apply_during_a_full_converge_waits_for_its_own_message(
    ready, user, gateway, second_tunnel
):
    services.apply(ready, user)
    apply, applied = gateway.apply, []

    def apply_and_be_overtaken(*arguments):
        refusals = apply(*arguments)
        applied.append(services.apply(second_tunnel, user))
        return refusals

    gateway.apply = apply_and_be_overtaken
    reconcile.converge(ready.concentrator_id)

    gateway.apply = apply
    assert services.state_of(ready).live.number == 1
    (second,) = applied
    second.refresh_from_db()
    assert second.outcome == Outcome.QUEUED
    converge(second_tunnel)
    second.refresh_from_db()
    assert second.outcome == Outcome.LIVE


def test_an_apply_fails_after_the_grace_period_if_charon_is_unreachable(ready, user, gateway):
    gateway.unreachable = "charon is not running."
    revision = services.apply(ready, user)

    with pytest.raises(GatewayError):
        converge(ready, give_up=True)
    assert services.state_of(ready).applying, "charon gets some seconds to restart"

    Revision.objects.update(created_at=revision.created_at - revision_outcomes.GRACE_PERIOD)
    with pytest.raises(GatewayError):
        converge(ready, give_up=True)

    revision.refresh_from_db()
    assert revision.outcome == Outcome.FAILED
    assert revision.reason == (
        "The concentrator hou02-vpn01 cannot be reached: charon is not running."
    )
    assert Tunnel.objects.get().translations.count() == 1


def test_duplicate_and_late_messages_change_nothing(ready, user, gateway):
    revision = services.apply(ready, user)
    converge(ready)
    finished = Revision.objects.get().finished_at
    plan_count = len(gateway.plans)

    for _ in range(3):
        converge(ready)

    revision.refresh_from_db()
    assert (revision.outcome, revision.finished_at) == (Outcome.LIVE, finished)
    assert len(gateway.plans) == plan_count


def test_the_next_converge_finishes_the_apply_of_a_killed_worker(ready, user, gateway):
    revision = services.apply(ready, user)
    Revision.objects.update(outcome=Outcome.APPLYING)

    reconcile.converge(ready.concentrator_id)

    revision.refresh_from_db()
    assert revision.outcome == Outcome.LIVE


def test_after_a_loss_of_all_connections_the_applied_revision_is_loaded_and_not_the_draft(
    ready, user, gateway
):
    services.apply(ready, user)
    converge(ready)
    loaded = dict(gateway.connections)
    services.edit(ready, "phase_one_encryption", "AES256", user)

    gateway.connections, gateway.secrets, gateway.ike_sas = {}, {}, []
    reconcile.converge(ready.concentrator_id)

    assert gateway.connections == loaded


def test_a_change_of_phase_two_is_loaded_while_charon_lists_the_sas(ready, user, gateway):
    services.apply(ready, user)
    converge(ready)
    plan_count = len(gateway.plans)
    gateway.sa_list_reads.clear()

    services.edit(ready, "phase_two_keylife", 3_000, user)
    revision = services.apply(ready, user)
    gateway.lists_sas = False
    with pytest.raises(GatewayError):
        converge(ready)

    # The change is loaded, but its outcome depends on the SA list.
    assert [
        [connection.name for connection in plan.load_connections]
        for plan in gateway.plans[plan_count:]
    ] == [[f"ctx{ready.pk}"]]
    assert gateway.sa_list_reads == [plan_count + 1]
    revision.refresh_from_db()
    assert revision.outcome == Outcome.APPLYING
    gateway.lists_sas = True
    converge(ready)
    converge(ready)
    revision.refresh_from_db()
    assert revision.outcome == Outcome.LIVE
    (sa,) = gateway.ike_sas
    assert {child.name for child in sa.children} == gateway.connections[f"ctx{ready.pk}"].children


def test_a_negotiation_with_the_old_key_is_terminated_before_the_new_key_is_loaded(
    ready, user, gateway
):
    services.apply(ready, user)
    converge(ready)
    plan_count, name = len(gateway.plans), f"ctx{ready.pk}"
    gateway.ike_sas = [IkeSa(name, "7", "CONNECTING", ())]
    gateway.sa_list_reads.clear()

    services.set_preshared_key(ready, "another key", user)
    services.apply(ready, user)
    converge(ready)

    first = gateway.plans[plan_count]
    assert gateway.sa_list_reads[0] == plan_count
    assert [stale.unique_id for stale in first.terminate_dialing] == ["7"]
    assert [connection.name for connection in first.load_connections] == [name]


def test_a_scoped_converge_does_not_observe_other_tunnels(ready, user, gateway, second_tunnel):
    for tunnel in (ready, second_tunnel):
        services.apply(tunnel, user)
        converge(tunnel)

    assert [scope.connection for scope in gateway.scopes if scope] == [
        *[f"ctx{ready.pk}"] * 2,
        *[f"ctx{second_tunnel.pk}"] * 2,
    ]
    assert None not in gateway.scopes
    assert gateway.connections.keys() == {f"ctx{ready.pk}", f"ctx{second_tunnel.pk}"}


def test_a_scoped_converge_unloads_the_old_key(ready, user, gateway):
    for key in ("a key", "another key"):
        services.set_preshared_key(ready, key, user)
        services.apply(ready, user)
        converge(ready)

    assert [secret.data for secret in gateway.secrets.values()] == ["another key"]


def test_the_lock_of_an_apply_without_a_worker_expires(ready, user, gateway):
    first = services.apply(ready, user)
    Revision.objects.update(created_at=first.created_at - LOCK_DURATION)

    services.edit(ready, "phase_one_encryption", "AES256", user)
    second = services.apply(ready, user)
    converge(ready)

    assert list(Revision.objects.order_by("number").values_list("pk", "outcome")) == [
        (first.pk, Outcome.REPLACED),
        (second.pk, Outcome.LIVE),
    ]


def test_apply_refuses_a_tunnel_between_the_addresses_of_another_tunnel(
    ready, user, gateway, second_tunnel
):
    other = services.apply(second_tunnel, user)
    services.edit(ready, "remote_peer", second_tunnel.remote_peer, user)
    # As if the address was given to another tunnel before the gateway released it.
    Revision.objects.filter(pk=other.pk).update(hosted_peer=ready.hosted_peer)

    with pytest.raises(services.Refused) as refusal:
        services.apply(ready, user)

    (problem,) = refusal.value.problems
    assert problem.field == "remote_peer"
    assert second_tunnel.name in problem.text


def test_an_overlap_with_another_accounts_tunnel_is_refused_without_its_name(
    ready, user, gateway, second_tunnel
):
    services.apply(second_tunnel, user)
    Tunnel.objects.filter(pk=second_tunnel.pk).update(
        account=Account.objects.create(name="Another account")
    )
    services.add_remote_subnet(ready, IPv4Network("192.168.20.128/25"), user)

    with pytest.raises(services.Refused) as refusal:
        services.apply(ready, user)

    (problem,) = refusal.value.problems
    assert problem.text == (
        "192.168.20.128/25 overlaps addresses of another tunnel of this concentrator. Use another "
        "remote subnet, or switch on Translated access only: the tunnel then reserves none."
    )


def test_the_message_has_only_ids(ready, user, monkeypatch, django_capture_on_commit_callbacks):
    sent = []
    monkeypatch.setattr(
        tasks.converge, "apply_async", lambda args, **options: sent.append((args, options))
    )

    with django_capture_on_commit_callbacks(execute=True):
        services.apply(ready, user)

    assert sent == [
        ((ready.concentrator_id, ready.pk), {"queue": f"concentrator.{ready.concentrator.name}"})
    ]


def test_an_apply_without_a_broker_is_done_by_the_next_converge(
    ready, user, gateway, monkeypatch, django_capture_on_commit_callbacks
):
    def refuse(*args, **options):
        raise ConnectionError("no broker")

    monkeypatch.setattr(tasks.converge, "apply_async", refuse)

    with django_capture_on_commit_callbacks(execute=True):
        services.apply(ready, user)
    assert services.state_of(ready).label == "Queued"

    reconcile.converge(ready.concentrator_id)
    assert services.state_of(ready).latest.outcome == Outcome.LIVE


def test_a_table_with_a_refused_row_saves_no_row(ready, user):
    rows = [
        services.TranslationRow(IPv4Address("10.1.255.93"), IPv4Address("192.168.10.16")),
        services.TranslationRow(IPv4Address("10.1.255.94"), IPv4Address("172.16.0.1")),
    ]

    with pytest.raises(services.Refused) as refusal:
        services.set_translations(ready, rows, user)

    assert [problem.field for problem in refusal.value.problems] == ["translation 10.1.255.94"]
    assert ready.translations.count() == 1


def test_a_single_save_can_swap_two_translations(ready, user):
    first, second = IPv4Address("192.168.10.15"), IPv4Address("192.168.10.16")
    internal, next_internal = IPv4Address("10.1.255.92"), IPv4Address("10.1.255.93")
    services.set_translations(ready, [services.TranslationRow(next_internal, second)], user)

    services.set_translations(
        ready,
        [services.TranslationRow(internal, second), services.TranslationRow(next_internal, first)],
        user,
    )

    assert {str(row) for row in ready.translations.all()} == {
        "10.1.255.92 to 192.168.10.16",
        "10.1.255.93 to 192.168.10.15",
    }


def test_a_removed_network_stays_for_another_tunnel(ready, second_tunnel, user):
    shared = services.add_remote_subnet(second_tunnel, IPv4Network("192.168.10.0/24"), user)

    services.remove_remote_subnet(ready, shared.pk, user)

    assert Subnet.objects.filter(pk=shared.pk).exists()
    assert shared not in ready.subnets.all()


def test_a_newer_apply_replaces_a_queued_revision(ready, user):
    first = services.apply(ready, user)
    Revision.objects.update(created_at=first.created_at - LOCK_DURATION)

    second = services.apply(ready, user)

    assert [revision.pk for revision in Revision.objects.live_or_applying()] == [second.pk]


def test_a_tunnel_has_a_single_live_revision(ready, user, gateway):
    for keylife in (3_600, 1_800):
        services.edit(ready, "phase_two_keylife", keylife, user)
        services.apply(ready, user)
        converge(ready)

    assert list(Revision.objects.order_by("number").values_list("outcome", flat=True)) == [
        Outcome.REPLACED,
        Outcome.LIVE,
    ]


def test_an_outcome_is_recorded_once(ready, user, gateway):
    revision = services.apply(ready, user)
    Revision.objects.update(outcome=Outcome.REPLACED)

    revision_outcomes.mark_live([revision])
    revision_outcomes.mark_failed([revision], "too late")

    revision.refresh_from_db()
    assert (revision.outcome, revision.reason) == (Outcome.REPLACED, "")


@pytest.mark.parametrize("full", [False, True])
def test_an_initiation_that_charon_refuses_is_a_step_in_order(ready, user, gateway, full):
    revision = services.apply(ready, user)
    gateway.initiation_refusals = {f"ctx{ready.pk}"}

    converge(ready)
    step_log.log_to_revisions([Revision.objects.get()], Step("", "Something else"))
    reconcile.converge(ready.concentrator_id, None if full else ready.pk)

    revision.refresh_from_db()
    assert revision.outcome == Outcome.LIVE
    assert [(step["text"], step["ok"]) for step in revision.steps[2:]] == [
        ("Initiated it", True),
        ("Something else", True),
        ("charon refused to initiate it", False),
        ("Initiated it", True),
    ]


def test_a_converge_initiates_a_silent_peer_once_and_the_apply_is_live(ready, user, gateway):
    gateway.peer_answers = False
    revision = services.apply(ready, user)

    converge(ready)

    revision.refresh_from_db()
    assert revision.outcome == Outcome.LIVE
    assert len(gateway.initiated) == 1
    assert Tunnel.objects.get(pk=ready.pk).sa_status == "connecting"


def test_an_older_observation_does_not_overwrite_a_newer_observation(ready):
    now = timezone.now()

    sa_status_store.save_one(ready.concentrator, ready.pk, {ready.pk: SaStatus.UP}, now)
    earlier = now - timedelta(seconds=1)
    sa_status_store.save_one(ready.concentrator, ready.pk, {ready.pk: SaStatus.CONNECTING}, earlier)
    sa_status_store.save_all(ready.concentrator, {}, earlier)

    assert Tunnel.objects.get(pk=ready.pk).sa_status == "up"


def test_an_outdated_sa_status_is_unknown_and_shown_with_its_last_value(ready):
    sa_status_store.save_one(ready.concentrator, ready.pk, {ready.pk: SaStatus.UP}, timezone.now())
    sa_status_store.save_online(ready.concentrator, userland_esp=True)
    fresh = services.state_of(Tunnel.objects.get(pk=ready.pk))

    Concentrator.objects.update(seen_at=timezone.now() - STALE_AFTER)
    stale = services.state_of(Tunnel.objects.get(pk=ready.pk))

    assert (fresh.sa_status, fresh.unreachable) == ("Up", "")
    assert (stale.sa_status, stale.last_sa_status) == ("Unknown", "Up")
    assert stale.unreachable == f"No status from hou02-vpn01 since {time_of_day(stale.seen_at)}."


def test_a_revision_that_does_not_decrypt_changes_nothing_and_delays_no_other_tunnel(
    ready, user, gateway, second_tunnel
):
    services.apply(ready, user)
    converge(ready)
    loaded, elements = dict(gateway.connections), set(gateway.elements)
    Revision.objects.update(specification=Sealed("00000000:nothing"))

    second = services.apply(second_tunnel, user)
    reconcile.converge(ready.concentrator_id)
    converge(ready)

    second.refresh_from_db()
    assert second.outcome == Outcome.LIVE
    assert gateway.connections.keys() == {*loaded, f"ctx{second_tunnel.pk}"}
    assert (len(gateway.secrets), gateway.elements >= elements) == (2, True)
    assert {sa.connection for sa in gateway.ike_sas} == set(gateway.connections)


def test_an_interrupted_apply_unloads_the_old_key_when_it_continues(ready, user, gateway):
    services.apply(ready, user)
    converge(ready)
    (old,) = gateway.secrets.values()
    services.set_preshared_key(ready, "another key", user)
    revision = services.apply(ready, user)
    converge(ready)
    # As if the worker died after loading the connection, before unloading the old secret.
    gateway.secrets[old.id] = old
    Revision.objects.filter(pk=revision.pk).update(outcome=Outcome.APPLYING)

    converge(ready)

    assert old.id not in gateway.secrets
    assert len(gateway.secrets) == 1


def test_a_refused_key_that_a_killed_worker_left_is_unloaded_by_the_next_converge(
    ready, user, gateway
):
    services.apply(ready, user)
    converge(ready)
    services.set_preshared_key(ready, "another key", user)
    refused = services.apply(ready, user)
    converge(ready)
    secrets = dict(gateway.secrets)
    assert len(secrets) == 1
    # As if charon had refused the connection, and the worker died before it unloaded the key.
    Revision.objects.filter(tunnel=ready).update(outcome=Outcome.LIVE)
    Revision.objects.filter(pk=refused.pk).update(outcome=Outcome.FAILED)
    gateway.load_refusals = {}

    converge(ready)

    assert len(gateway.secrets) == 1
    assert gateway.secrets.keys().isdisjoint(secrets)
