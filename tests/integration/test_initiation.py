"""A tunnel that only the other end may start waits for it, and the page says so."""

from __future__ import annotations

import pytest
from django.urls import reverse

from tests.html import words
from vpnportal import services
from vpnportal.models import Tunnel
from vpnportal.reconciler import reconcile, sa_status_store


@pytest.fixture
def responder_only(ready, user, device) -> Tunnel:
    services.edit(ready, "starts", "other", user)
    services.apply(ready, user)
    reconcile.converge(ready.concentrator_id)
    sa_status_store.save_online(ready.concentrator, userland_esp=True)
    return Tunnel.objects.get(pk=ready.pk)


def test_it_is_loaded_and_not_dialled_and_waits(responder_only, device, page):
    state = services.state_of(responder_only)

    assert device.connections and device.started == []
    assert state.sa_status == "waits for the other end"
    answer = page.get(reverse("state", args=[responder_only.pk]))
    assert words(answer, "state-title") == "State waits for the other end"


def test_it_is_up_when_the_other_end_has_dialled(responder_only, device):
    device.peers_dial()
    reconcile.converge(responder_only.concentrator_id)

    assert services.state_of(Tunnel.objects.get(pk=responder_only.pk)).sa_status == "up"


def test_it_waits_again_and_is_not_dialled_when_charon_lost_everything(responder_only, device):
    device.peers_dial()
    device.connections, device.secrets, device.associations = {}, {}, []

    reconcile.converge(responder_only.concentrator_id)

    assert len(device.connections) == 1
    assert device.started == []
    state = services.state_of(Tunnel.objects.get(pk=responder_only.pk))
    assert state.sa_status == "waits for the other end"


def test_what_the_draft_says_of_who_starts_counts_only_once_applied(responder_only, user):
    services.edit(responder_only, "starts", "either", user)

    state = services.state_of(Tunnel.objects.get(pk=responder_only.pk))
    assert state.sa_status == "waits for the other end"
    assert [change.label for change in state.pending] == ["Who starts"]
