"""Connect, disconnect, rekey and reconnect act on SAs and change neither draft nor revision."""

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


def converge(tunnel: Tunnel) -> None:
    """Converge the tunnel at an online concentrator."""
    Concentrator.objects.update(seen_at=timezone.now())
    reconcile.converge(tunnel.concentrator_id, tunnel.pk)


def reloaded(tunnel: Tunnel) -> Tunnel:
    return Tunnel.objects.get(pk=tunnel.pk)


def label_of(tunnel: Tunnel) -> str:
    return services.state_of(reloaded(tunnel)).label


@pytest.fixture
def up(ready, user, gateway) -> Tunnel:
    services.apply(ready, user)
    converge(ready)
    converge(ready)
    assert label_of(ready) == "Up"
    return reloaded(ready)


def test_a_disconnected_tunnel_is_removed_until_it_is_connected(up, user, gateway):
    before = (dict(gateway.connections), dict(gateway.secrets), set(gateway.elements))
    assert all(before)

    services.disconnect(up, user)

    assert label_of(up) == "Disconnecting", "it is not shown as done before it is done"
    converge(up)
    assert (gateway.connections, gateway.secrets, gateway.elements) == ({}, {}, set())
    assert gateway.ike_sas == []
    assert label_of(up) == "Disconnected"
    reconcile.converge(up.concentrator_id)
    assert gateway.connections == {}, "the converge of every minute does not restore it"

    services.connect(reloaded(up), user)
    converge(up)
    converge(up)

    assert (gateway.connections.keys(), set(gateway.elements)) == (before[0].keys(), before[2])
    assert label_of(up) == "Up"
    assert [command.ok for command in TunnelCommand.objects.all()] == [True, True]


def test_the_steps_belong_to_the_command_and_are_no_drift_repairs(up, user, gateway):
    services.disconnect(up, user)
    converge(up)
    services.connect(reloaded(up), user)
    converge(up)

    connected, disconnected = TunnelCommand.objects.all()
    assert "Unloaded the connection ctx" in " ".join(step["text"] for step in disconnected.steps)
    assert "Loaded the connection ctx" in " ".join(step["text"] for step in connected.steps)
    assert not DriftRepair.objects.exists()


def test_after_a_lost_message_the_converge_of_every_minute_completes_the_command(up, user, gateway):
    services.disconnect(up, user)

    reconcile.converge(up.concentrator_id)

    assert gateway.connections == {}
    assert TunnelCommand.objects.get().ok


def test_a_disconnect_does_not_change_another_tunnel(up, second_tunnel, user, gateway):
    services.apply(second_tunnel, user)
    converge(second_tunnel)
    before = {name for name in gateway.connections if name != f"ctx{up.pk}"}

    services.disconnect(up, user)
    reconcile.converge(up.concentrator_id)

    assert gateway.connections.keys() == before != set()


def test_apply_connects_a_disconnected_tunnel(up, user, gateway):
    services.disconnect(up, user)
    converge(up)

    services.apply(reloaded(up), user)
    converge(up)

    assert gateway.connections
    assert reloaded(up).disconnected_at is None


def test_a_rekey_reports_the_answer_of_the_peer(up, user, gateway):
    services.rekey(up, user)
    converge(up)
    gateway.rekey_result = False
    services.rekey(up, user)
    converge(up)
    gateway.ike_sas = []
    services.rekey(up, user)
    converge(up)

    results = [(command.ok, command.text) for command in TunnelCommand.objects.order_by("pk")]
    assert results[:2] == [
        (True, "Completed: the tunnel has new keys."),
        (False, "The peer refused the rekey."),
    ]


def test_a_reconnect_terminates_the_sas_and_initiates_again(up, user, gateway):
    before = {sa.unique_id for sa in gateway.ike_sas}

    services.reconnect(up, user)
    converge(up)

    after = {sa.unique_id for sa in gateway.ike_sas}
    assert after
    assert not after & before
    assert TunnelCommand.objects.get().steps[0]["text"] == "Terminated an IKE_SA to reconnect"


def test_an_expired_reconnect_is_not_executed(up, user, gateway):
    services.reconnect(up, user)
    TunnelCommand.objects.update(requested_at=timezone.now() - timedelta(minutes=3))
    before = {sa.unique_id for sa in gateway.ike_sas}

    converge(up)

    assert {sa.unique_id for sa in gateway.ike_sas} == before
    assert not TunnelCommand.objects.get().ok
    assert "Try again" in TunnelCommand.objects.get().text


def test_a_disconnect_never_expires(up, user, gateway):
    services.disconnect(up, user)
    TunnelCommand.objects.update(requested_at=timezone.now() - timedelta(days=1))

    converge(up)

    assert gateway.connections == {}


def test_a_disconnect_cancels_the_trial_and_rolls_nothing_back(up, user, gateway):
    services.apply(up, user, services.Trial(seconds=30))
    converge(up)

    services.disconnect(reloaded(up), user)
    Revision.objects.exclude(trial_ends_at=None).update(trial_ends_at=timezone.now())
    converge(up)

    outcomes = {revision.number: revision.outcome for revision in up.revisions.all()}
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
def test_the_commands_of_a_tunnel_that_is_up(up, user, command, reason):
    try:
        command(up, user)
        refused = ""
    except services.Refused as error:
        refused = str(error)

    assert refused == reason


@pytest.mark.parametrize("command", [services.rekey, services.reconnect, services.disconnect])
def test_a_disconnected_tunnel_can_only_be_connected(up, user, command):
    services.disconnect(up, user)
    converge(up)

    with pytest.raises(services.Refused):
        command(reloaded(up), user)


def test_a_command_for_a_tunnel_without_revision_is_refused_with_a_remedy(ready, user):
    with pytest.raises(services.Refused) as refused:
        services.connect(ready, user)

    assert str(refused.value) == "This tunnel is not applied yet. Apply it first."


def test_a_running_command_is_not_queued_again(up, user):
    services.rekey(up, user)

    with pytest.raises(services.Refused) as refused:
        services.rekey(up, user)

    assert str(refused.value) == "This command is already running."


def test_a_disconnected_tunnel_of_an_offline_concentrator_is_unknown(up, user):
    services.disconnect(up, user)
    converge(up)
    Concentrator.objects.update(seen_at=timezone.now() - timedelta(minutes=5))

    assert label_of(up) == "Unknown"


def test_the_page_has_the_possible_commands_and_names_the_user_who_disconnected(
    up, user, page, gateway
):
    def buttons() -> set[str]:
        document = read(page.get(reverse("tunnel", args=[up.pk])))
        return {e.get("value") for e in document.iter("button") if e.get("name") == "do"}

    assert buttons() == {"rekey", "reconnect", "disconnect"}
    page.post(reverse("command", args=[up.pk]), {"do": "disconnect"})
    converge(up)

    assert buttons() == {"connect"}
    section = read(page.get(reverse("tunnel", args=[up.pk]))).find(".//section[@id='state']")
    assert "Disconnected by ada, " in " ".join("".join(section.itertext()).split())


def test_a_viewer_gets_no_command_buttons(up, viewer):
    document = read(viewer.get(reverse("tunnel", args=[up.pk])))

    assert not [e for e in document.iter("button") if e.get("name") == "do"]
