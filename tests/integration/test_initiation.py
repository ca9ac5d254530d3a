"""Responder-only tunnels: loaded, never initiated, shown as waiting for the peer."""

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


def test_the_tunnel_is_loaded_and_not_initiated(responder_only, gateway, page):
    state = services.state_of(responder_only)

    assert gateway.connections and gateway.initiated == []
    assert state.sa_status == "Waiting for peer"
    answer = page.get(reverse("state", args=[responder_only.pk]))
    assert words(answer, "state-title") == "State Waiting for peer (responder only)"


def test_the_tunnel_is_up_after_the_peer_initiated(responder_only, gateway):
    gateway.peers_initiate()
    reconcile.converge(responder_only.concentrator_id)

    assert services.state_of(Tunnel.objects.get(pk=responder_only.pk)).sa_status == "Up"


def test_after_a_restart_of_charon_the_tunnel_waits_again_and_is_not_initiated(
    responder_only, gateway
):
    gateway.peers_initiate()
    gateway.connections, gateway.secrets, gateway.ike_sas = {}, {}, []

    reconcile.converge(responder_only.concentrator_id)

    assert len(gateway.connections) == 1
    assert gateway.initiated == []
    state = services.state_of(Tunnel.objects.get(pk=responder_only.pk))
    assert state.sa_status == "Waiting for peer"


def test_a_draft_does_not_change_the_initiator_before_the_apply(responder_only, user):
    services.edit(responder_only, "starts", "either", user)

    state = services.state_of(Tunnel.objects.get(pk=responder_only.pk))
    assert state.sa_status == "Waiting for peer"
    assert [change.label for change in state.pending] == ["Initiation"]
