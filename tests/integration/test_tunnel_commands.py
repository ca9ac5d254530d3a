"""Connect, disconnect, rekey and reconnect act on what runs, and leave draft and revision alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.html import read
from vpnportal import services
from vpnportal.models import Concentrator, DriftRepair, Revision, Tunnel, TunnelCommand
from vpnportal.reconciler import reconcile

pytestmark = pytest.mark.django_db


def look(tunnel: Tunnel) -> None:
    """A converge of the tunnel, after the watch has seen the concentrator."""
    Concentrator.objects.update(seen_at=timezone.now())
    reconcile.converge(tunnel.concentrator_id, tunnel.pk)


def now(tunnel: Tunnel) -> Tunnel:
    return Tunnel.objects.get(pk=tunnel.pk)


def word(tunnel: Tunnel) -> str:
    return services.state_of(now(tunnel)).label


@pytest.fixture
def up(ready, user, gateway) -> Tunnel:
    services.apply(ready, user)
    look(ready)
    look(ready)
    assert word(ready) == "Up"
    return now(ready)


def test_the_concentrator_holds_nothing_of_a_disconnected_tunnel_until_it_is_connected(
    up, user, gateway
):
    held = (dict(gateway.connections), dict(gateway.secrets), set(gateway.elements))
    assert all(held)

    services.disconnect(up, user)

    assert word(up) == "Disconnecting", "it is not told as done before it is"
    look(up)
    assert (gateway.connections, gateway.secrets, gateway.elements) == ({}, {}, set())
    assert gateway.ike_sas == []
    assert word(up) == "Disconnected"
    reconcile.converge(up.concentrator_id)
    assert gateway.connections == {}, "the minute's look does not put it back"

    services.connect(now(up), user)
    look(up)
    look(up)

    assert (gateway.connections.keys(), set(gateway.elements)) == (held[0].keys(), held[2])
    assert word(up) == "Up"
    assert [wish.ok for wish in TunnelCommand.objects.all()] == [True, True]


def test_what_was_done_is_told_with_the_wish_and_is_no_drift(up, user, gateway):
    services.disconnect(up, user)
    look(up)
    services.connect(now(up), user)
    look(up)

    connected, disconnected = TunnelCommand.objects.all()
    assert "Unloaded the connection ctx" in " ".join(one["text"] for one in disconnected.steps)
    assert "Loaded the connection ctx" in " ".join(one["text"] for one in connected.steps)
    assert not DriftRepair.objects.exists()


def test_a_lost_message_costs_a_minute_and_nothing_else(up, user, gateway):
    services.disconnect(up, user)

    reconcile.converge(up.concentrator_id)

    assert gateway.connections == {}
    assert TunnelCommand.objects.get().ok


def test_another_tunnel_stays_as_it_is(up, second_tunnel, user, gateway):
    services.apply(second_tunnel, user)
    look(second_tunnel)
    before = {name for name in gateway.connections if name != f"ctx{up.pk}"}

    services.disconnect(up, user)
    reconcile.converge(up.concentrator_id)

    assert gateway.connections.keys() == before != set()


def test_apply_connects_a_disconnected_tunnel(up, user, gateway):
    services.disconnect(up, user)
    look(up)

    services.apply(now(up), user)
    look(up)

    assert gateway.connections
    assert now(up).disconnected_at is None


def test_a_rekey_says_what_the_other_end_made_of_it(up, user, gateway):
    services.rekey(up, user)
    look(up)
    gateway.rekey_result = False
    services.rekey(up, user)
    look(up)
    gateway.ike_sas = []
    services.rekey(up, user)
    look(up)

    told = [(wish.ok, wish.text) for wish in TunnelCommand.objects.order_by("pk")]
    assert told[:2] == [
        (True, "Completed: the tunnel has new keys."),
        (False, "The peer refused the rekey."),
    ]


def test_a_reconnect_ends_what_runs_and_starts_anew(up, user, gateway):
    before = {sa.unique_id for sa in gateway.ike_sas}

    services.reconnect(up, user)
    look(up)

    after = {sa.unique_id for sa in gateway.ike_sas}
    assert after
    assert not after & before
    assert TunnelCommand.objects.get().steps[0]["text"] == "Terminated an IKE_SA to reconnect"


def test_a_wish_that_waited_too_long_is_not_done_any_more(up, user, gateway):
    services.reconnect(up, user)
    TunnelCommand.objects.update(requested_at=timezone.now() - timedelta(minutes=3))
    before = {sa.unique_id for sa in gateway.ike_sas}

    look(up)

    assert {sa.unique_id for sa in gateway.ike_sas} == before
    assert not TunnelCommand.objects.get().ok
    assert "Try again" in TunnelCommand.objects.get().text


def test_a_disconnect_that_waited_is_done_all_the_same(up, user, gateway):
    services.disconnect(up, user)
    TunnelCommand.objects.update(requested_at=timezone.now() - timedelta(days=1))

    look(up)

    assert gateway.connections == {}


def test_a_trial_is_called_off_by_a_disconnect_and_takes_nothing_back(up, user, gateway):
    services.apply(up, user, services.Trial(seconds=30))
    look(up)

    services.disconnect(now(up), user)
    Revision.objects.exclude(trial_ends_at=None).update(trial_ends_at=timezone.now())
    look(up)

    outcomes = {one.number: one.outcome for one in up.revisions.all()}
    assert outcomes == {1: Revision.Outcome.REPLACED, 2: Revision.Outcome.LIVE}


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (services.connect, "This tunnel is already up."),
        (services.disconnect, ""),
        (services.rekey, ""),
        (services.reconnect, ""),
    ],
)
def test_what_a_tunnel_that_is_up_can_be_asked_for(up, user, command, reason):
    try:
        command(up, user)
        refused = ""
    except services.Refused as error:
        refused = str(error)

    assert refused == reason


@pytest.mark.parametrize("command", [services.rekey, services.reconnect, services.disconnect])
def test_a_disconnected_tunnel_can_only_be_connected(up, user, command):
    services.disconnect(up, user)
    look(up)

    with pytest.raises(services.Refused):
        command(now(up), user)


def test_a_tunnel_that_was_never_applied_says_what_to_do_first(ready, user):
    with pytest.raises(services.Refused) as refused:
        services.connect(ready, user)

    assert str(refused.value) == ("This tunnel is not applied yet. Apply it first.")


def test_the_same_asked_for_twice_is_done_once(up, user):
    services.rekey(up, user)

    with pytest.raises(services.Refused) as refused:
        services.rekey(up, user)

    assert str(refused.value) == "This command is already running."


def test_out_of_sight_nobody_says_that_it_is_disconnected(up, user):
    services.disconnect(up, user)
    look(up)
    Concentrator.objects.update(seen_at=timezone.now() - timedelta(minutes=5))

    assert word(up) == "Unknown"


def test_the_page_has_the_button_that_helps_and_says_who_disconnected_it(up, user, page, gateway):
    def buttons() -> set[str]:
        shown = read(page.get(reverse("tunnel", args=[up.pk])))
        return {one.get("value") for one in shown.iter("button") if one.get("name") == "do"}

    assert buttons() == {"rekey", "reconnect", "disconnect"}
    page.post(reverse("command", args=[up.pk]), {"do": "disconnect"})
    look(up)

    assert buttons() == {"connect"}
    shown = read(page.get(reverse("tunnel", args=[up.pk]))).find(".//section[@id='state']")
    assert "ada disconnected it" in " ".join("".join(shown.itertext()).split())


def test_a_viewer_sees_no_button(up, viewer):
    shown = read(viewer.get(reverse("tunnel", args=[up.pk])))

    assert not [one for one in shown.iter("button") if one.get("name") == "do"]
