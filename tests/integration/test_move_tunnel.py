"""Move of a tunnel to another concentrator: make before break, and no address used twice."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Network

import pytest
from django.utils import timezone

from tests.fake_gateway import FakeGateway
from vpnportal import services, tasks
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.gateway import GatewayError
from vpnportal.models import AddressPool, Concentrator, Revision, Tunnel
from vpnportal.reconciler import reconcile, sa_status_store

Outcome = Revision.Outcome
pytestmark = pytest.mark.django_db


@pytest.fixture
def old(concentrator) -> Concentrator:
    return concentrator


@pytest.fixture
def new(concentrator) -> Concentrator:
    """Return another concentrator with one free hosted peer address."""
    other = Concentrator.objects.create(
        name="hou02-vpn02", datacenter=concentrator.datacenter, public_address="203.0.113.5"
    )
    network = IPv4Network("203.0.113.32/32")
    AddressPool.objects.create(concentrator=other, kind="hosted-peer", network=network)
    return other


@pytest.fixture
def gateways(old, new, monkeypatch) -> dict[int, FakeGateway]:
    """Return the fake gateways by the ids of their concentrators."""
    fakes = {old.pk: FakeGateway(), new.pk: FakeGateway()}
    monkeypatch.setattr(reconcile, "driver_for", lambda concentrator: fakes[concentrator.pk])
    return fakes


@pytest.fixture
def live(ready, user, gateways, old) -> Tunnel:
    """Return the tunnel of the example, live at the old concentrator."""
    services.apply(ready, user)
    reconcile.converge(old.pk, ready.pk)
    return ready


def is_configured(gateway: FakeGateway) -> bool:
    return bool(gateway.connections or gateway.secrets or gateway.elements or gateway.ike_sas)


def outcomes(tunnel: Tunnel) -> list[str]:
    return list(tunnel.revisions.order_by("number").values_list("outcome", flat=True))


def test_a_move_changes_the_draft_and_no_concentrator(live, user, old, new, gateways):
    before = dict(gateways[old.pk].connections)

    services.move(live, new, user)
    reconcile.converge(old.pk)
    reconcile.converge(new.pk)

    fresh = Tunnel.objects.get(pk=live.pk)
    assert (fresh.concentrator, fresh.hosted_peer) == (new, "203.0.113.32")
    assert [change.label for change in services.state_of(fresh).pending] == ["Hosted Peer Address"]
    sa_status_store.save_online(old, userland_esp=True)
    state = services.state_of(Tunnel.objects.get(pk=live.pk))
    assert (state.live.concentrator, state.sa_status, state.unreachable) == (old, "Up", "")
    assert gateways[old.pk].connections == before
    assert not is_configured(gateways[new.pk])


def test_after_the_apply_the_new_concentrator_holds_the_tunnel_and_the_old_one_releases_it(
    live, user, old, new, gateways
):
    services.move(live, new, user)
    revision = services.apply(live, user)

    reconcile.converge(old.pk, live.pk)
    assert is_configured(gateways[old.pk]), (
        "the old concentrator keeps the tunnel until it is live at the new one"
    )
    reconcile.converge(new.pk, live.pk)
    assert (revision.concentrator, outcomes(live)) == (new, [Outcome.REPLACED, Outcome.LIVE])
    assert services.state_of(live).releasing_from == ("hou02-vpn01",)
    reconcile.converge(old.pk)

    assert [is_configured(gateways[concentrator.pk]) for concentrator in (old, new)] == [
        False,
        True,
    ]
    assert services.state_of(live).releasing_from == ()
    assert not old.repairs.exists(), "a release is no drift repair"
    assert gateways[old.pk].routes == set()
    assert gateways[new.pk].routes == {"10.1.255.92/30", f"{revision.hosted_peer}/32"}


def test_if_the_new_concentrator_refuses_the_old_one_keeps_the_tunnel(
    live, user, old, new, gateways
):
    services.move(live, new, user)
    gateways[new.pk].load_refusals = {f"ctx{live.pk}": "no"}
    services.apply(live, user)

    reconcile.converge(new.pk, live.pk)
    reconcile.converge(old.pk)

    assert outcomes(live) == [Outcome.LIVE, Outcome.FAILED]
    assert is_configured(gateways[old.pk])
    assert services.state_of(live).releasing_from == ("hou02-vpn01",)


def test_a_converge_of_the_old_concentrator_is_requested_once_the_tunnel_is_live_at_the_new_one(
    live, user, old, new, monkeypatch, django_capture_on_commit_callbacks
):
    sent = []
    send = lambda args, **options: sent.append((args, options))  # noqa: E731
    monkeypatch.setattr(tasks.converge, "apply_async", send)
    services.move(live, new, user)
    services.apply(live, user)

    with django_capture_on_commit_callbacks(execute=True):
        tasks.converge(new.pk, live.pk)

    assert ((old.pk, None), {"queue": old.queue, "expires": 60}) in sent


def test_a_concentrator_that_was_offline_releases_the_tunnel_when_it_is_online(
    live, user, old, new, gateways
):
    gateways[old.pk].unreachable = "charon is not running."
    services.move(live, new, user)
    revision = services.apply(live, user)

    reconcile.converge(new.pk, live.pk)
    with pytest.raises(GatewayError):
        reconcile.converge(old.pk)

    revision.refresh_from_db()
    assert revision.outcome == Outcome.LIVE
    assert services.state_of(live).releasing_from == ("hou02-vpn01",)

    gateways[old.pk].unreachable = ""
    reconcile.converge(old.pk)

    assert not is_configured(gateways[old.pk])
    assert services.state_of(live).releasing_from == ()


def test_the_old_address_is_not_allocated_before_the_old_concentrator_released_it(
    live, user, old, new, gateways, account
):
    AddressPool.objects.create(
        concentrator=old, kind="hosted-peer", network=IPv4Network("203.0.113.8/32")
    )
    AddressPool.objects.create(
        concentrator=old, kind="static-nat", network=IPv4Network("10.1.9.0/24")
    )
    Concentrator.objects.filter(pk=old.pk).update(public_address="203.0.113.9")
    Tunnel.objects.filter(pk=live.pk).update(hosted_peer="203.0.113.8")
    live.refresh_from_db()
    services.apply(live, user)
    reconcile.converge(old.pk, live.pk)
    services.move(live, new, user)
    services.apply(live, user)
    reconcile.converge(new.pk, live.pk)

    with pytest.raises(services.Refused, match="No hosted peer address is left in Houston 2"):
        services.order(account, old.datacenter, user)
    reconcile.converge(old.pk)

    assert services.order(account, old.datacenter, user).hosted_peer == "203.0.113.8"


def test_a_tunnel_that_moves_back_gets_its_old_address_and_keeps_its_sas(
    live, user, old, new, gateways
):
    before = list(gateways[old.pk].ike_sas)

    services.move(live, new, user)
    services.move(live, old, user)
    services.apply(live, user)
    reconcile.converge(old.pk, live.pk)

    assert Tunnel.objects.get(pk=live.pk).hosted_peer == "203.0.113.1"
    assert gateways[old.pk].ike_sas == before
    assert services.state_of(live).releasing_from == ()


def test_a_failed_trial_at_the_new_concentrator_restores_the_tunnel_at_the_old_one(
    live, user, old, new, gateways
):
    gateways[new.pk].peer_answers = False
    services.move(live, new, user)
    services.apply(live, user, services.Trial(seconds=30))
    reconcile.converge(new.pk, live.pk)
    reconcile.converge(old.pk)
    assert services.state_of(live).releasing_from == ("hou02-vpn01",), "its address stays reserved"

    Revision.objects.filter(number=2).update(trial_ends_at=timezone.now() - timedelta(seconds=1))
    reconcile.converge(new.pk)
    reconcile.converge(old.pk)

    assert outcomes(live) == [Outcome.REPLACED, Outcome.WITHDRAWN, Outcome.LIVE]
    assert [is_configured(gateways[concentrator.pk]) for concentrator in (old, new)] == [
        True,
        False,
    ]


def test_a_trial_at_the_new_concentrator_restores_only_what_is_live_at_the_old_one(
    live, user, old, new, gateways
):
    """The claims at the old one are the portal's to see, and a replaced revision needs them."""
    reconcile.converge(old.pk)
    gateways[old.pk].peer_answers = False
    services.edit(live, "phase_one_group", 14, user)
    services.apply(live, user)
    reconcile.converge(old.pk, live.pk)
    was_up = [revision.first_up_at is not None for revision in live.revisions.order_by("number")]
    assert (was_up, outcomes(live)) == ([True, False], [Outcome.REPLACED, Outcome.LIVE])

    services.move(live, new, user)
    services.apply(live, user, services.Trial(seconds=30))
    reconcile.converge(new.pk, live.pk)

    assert outcomes(live) == [Outcome.REPLACED, Outcome.FALLBACK, Outcome.LIVE]


def test_the_sa_status_comes_from_the_concentrator_of_the_live_revision(live, user, old, new):
    services.move(live, new, user)
    up, now = {live.pk: SaStatus.UP}, timezone.now()

    sa_status_store.save_all(new, {}, now + timedelta(seconds=1))
    sa_status_store.save_all(old, up, now + timedelta(seconds=2))
    sa_status_store.save_one(new, live.pk, {}, now + timedelta(seconds=3))
    assert Tunnel.objects.get(pk=live.pk).sa_status == "up"

    Revision.objects.filter(tunnel=live).update(concentrator=new)
    sa_status_store.save_one(old, live.pk, {}, now + timedelta(seconds=4))
    assert Tunnel.objects.get(pk=live.pk).sa_status == "up"
    sa_status_store.save_all(new, {}, now + timedelta(seconds=5))
    assert Tunnel.objects.get(pk=live.pk).sa_status == ""


def test_a_deleted_tunnel_that_was_about_to_move_is_removed_from_both_concentrators(
    live, user, old, new, gateways
):
    services.move(live, new, user)
    services.cancel(live, user)

    assert services.state_of(live).releasing_from == ("hou02-vpn01",), (
        "the new concentrator never had the tunnel"
    )
    reconcile.converge(old.pk)

    assert services.state_of(live).label == "Deleted"
    assert not is_configured(gateways[old.pk])


def test_a_move_to_the_same_concentrator_or_without_a_free_address_is_refused(live, user, old, new):
    with pytest.raises(services.Refused, match="is already at hou02-vpn01"):
        services.move(live, old, user)
    AddressPool.objects.all().delete()
    with pytest.raises(services.Refused, match="No hosted peer address is left at hou02-vpn02"):
        services.move(live, new, user)

    assert Tunnel.objects.get(pk=live.pk).concentrator == old
    assert not live.releases.exists()
