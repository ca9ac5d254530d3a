"""A tunnel that only the other end may start waits for it, and the page says so."""

from __future__ import annotations

import pytest
from django.urls import reverse

from tests.html import words
from vpnportal import services
from vpnportal.models import Tunnel
from vpnportal.reconciler import reconcile, sa_status_store


@pytest.fixture
def responder_only(ready, user, gateway) -> Tunnel:
    services.edit(ready, "starts", "other", user)
    services.apply(ready, user)
    reconcile.converge(ready.concentrator_id)
    sa_status_store.save_online(ready.concentrator, userland_esp=True)
    return Tunnel.objects.get(pk=ready.pk)


def test_it_is_loaded_and_not_dialled_and_waits(responder_only, gateway, page):
    state = services.state_of(responder_only)

    assert gateway.connections and gateway.initiated == []
    assert state.sa_status == "Waiting for peer"
    answer = page.get(reverse("state", args=[responder_only.pk]))
    assert words(answer, "state-title") == "State Waiting for peer (responder only)"


def test_it_is_up_when_the_other_end_has_dialled(responder_only, gateway):
    gateway.peers_initiate()
    reconcile.converge(responder_only.concentrator_id)

    assert services.state_of(Tunnel.objects.get(pk=responder_only.pk)).sa_status == "Up"


def test_it_waits_again_and_is_not_dialled_when_charon_lost_everything(responder_only, gateway):
    gateway.peers_initiate()
    gateway.connections, gateway.secrets, gateway.ike_sas = {}, {}, []

    reconcile.converge(responder_only.concentrator_id)

    assert len(gateway.connections) == 1
    assert gateway.initiated == []
    state = services.state_of(Tunnel.objects.get(pk=responder_only.pk))
    assert state.sa_status == "Waiting for peer"


def test_what_the_draft_says_of_who_starts_counts_only_once_applied(responder_only, user):
    services.edit(responder_only, "starts", "either", user)

    state = services.state_of(Tunnel.objects.get(pk=responder_only.pk))
    assert state.sa_status == "Waiting for peer"
    assert [change.label for change in state.pending] == ["Initiation"]
