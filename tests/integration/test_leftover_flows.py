"""A removed translation is removed only when its flows have ended, whatever fails between."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from django.utils import timezone

from vpnportal import services
from vpnportal.domain.gateway_config.nat_elements import NatElement, NatElements, NatMap
from vpnportal.domain.gateway_config.nat_flows import NatFlows
from vpnportal.gateway import GatewayError
from vpnportal.models import Concentrator, DriftRepair, Revision, Tunnel, TunnelCommand
from vpnportal.reconciler import reconcile

Outcome = Revision.Outcome
pytestmark = pytest.mark.django_db
ENDED = "Ended the flows of removed address translations (1)"


def converge(tunnel: Tunnel, **kwargs) -> None:
    Concentrator.objects.update(seen_at=timezone.now())
    reconcile.converge(tunnel.concentrator_id, tunnel.pk, **kwargs)


def number(text: str) -> int:
    return int(IPv4Address(text))


def flows_between(internal: str, customer: str, zone: int = 1) -> set[NatFlows]:
    """Return the flows of both directions in the zone of the first tunnel."""
    pair = (number(internal), number(customer))
    elements = NatElement(NatMap.INBOUND, *pair), NatElement(NatMap.OUTBOUND, *reversed(pair))
    return {NatFlows(element, zone) for element in elements}


EXAMPLE = flows_between("10.1.255.92", "192.168.10.15")


@pytest.fixture
def carrying(ready, user, gateway) -> Tunnel:
    """Return the live example, whose translation has flows in both directions."""
    services.apply(ready, user)
    converge(ready)
    gateway.flows |= EXAMPLE
    return ready


def remove_translation(tunnel: Tunnel, user) -> Revision:
    """Apply the tunnel without its translation."""
    row = services.TranslationRow(IPv4Address("10.1.255.92"), None)
    services.set_translations(tunnel, [row], user)
    return services.apply(Tunnel.objects.get(pk=tunnel.pk), user)


def test_a_revision_is_not_live_before_the_flows_of_its_removed_translation_have_ended(
    carrying, user, gateway
):
    revision = remove_translation(carrying, user)
    gateway.failing_flow_deletions = 2
    for _ in range(2):
        with pytest.raises(GatewayError):
            converge(carrying)
        revision.refresh_from_db()
        assert (revision.outcome, gateway.flows) == (Outcome.APPLYING, EXAMPLE)
        translations = NatElements.from_elements(gateway.elements).internal_addresses()
    assert not translations, "the maps changed: only the flows show what is left"

    converge(carrying)

    revision.refresh_from_db()
    assert (revision.outcome, gateway.flows) == (Outcome.LIVE, set())
    assert ENDED in [step["text"] for step in revision.steps]


def test_the_revision_is_applying_before_anything_changes(carrying, user, gateway, monkeypatch):
    """This row makes the next converge read the flows after the worker was killed."""
    revision = remove_translation(carrying, user)
    outcomes = []
    apply = gateway.apply
    monkeypatch.setattr(
        gateway,
        "apply",
        lambda *arguments: (
            outcomes.append(Revision.objects.get(pk=revision.pk).outcome) or apply(*arguments)
        ),
    )

    converge(carrying)

    assert outcomes == [Outcome.APPLYING]


def test_an_apply_that_begins_from_a_live_revision_reads_no_flows(carrying, user, gateway):
    revision = remove_translation(carrying, user)

    converge(carrying)
    converge(carrying)

    revision.refresh_from_db()
    assert (revision.outcome, gateway.flows, gateway.flow_reads) == (Outcome.LIVE, set(), 0)


def test_the_apply_after_a_failed_apply_ends_the_flows_that_it_left(carrying, user, gateway):
    failed = remove_translation(carrying, user)
    gateway.failing_flow_deletions = 1
    with pytest.raises(GatewayError):
        converge(carrying)
    Revision.objects.filter(pk=failed.pk).update(outcome=Outcome.FAILED)

    revision = services.apply(Tunnel.objects.get(pk=carrying.pk), user)
    converge(carrying)

    revision.refresh_from_db()
    assert (revision.outcome, gateway.flows) == (Outcome.LIVE, set())


def test_a_full_converge_ends_the_flows_of_missing_elements_as_a_drift_repair(
    carrying, gateway, concentrator
):
    older = flows_between("10.1.255.93", "192.168.10.16")
    other_programs = flows_between("203.0.113.1", "10.2.0.10")
    elsewhere = {NatFlows(NatElement(NatMap.INBOUND, number("10.1.255.93"), 1), zone=7)}
    gateway.flows |= older | other_programs | elsewhere

    reconcile.converge(concentrator.pk)

    assert gateway.flows == EXAMPLE | other_programs
    assert [repair.text for repair in DriftRepair.objects.all()] == [
        "Ended the flows of removed address translations (2)"
    ]


def test_the_flows_of_an_element_that_another_program_removed_continue(
    carrying, gateway, concentrator
):
    gateway.elements = set()

    reconcile.converge(concentrator.pk)

    assert gateway.flows == EXAMPLE
    assert len(gateway.elements) == len(NatMap)


def test_an_apply_that_restores_the_rules_ends_the_flows_of_elements_lost_with_them(
    carrying, user, gateway
):
    gateway.elements, gateway.rules_current = set(), False
    revision = remove_translation(carrying, user)

    converge(carrying)

    revision.refresh_from_db()
    assert (revision.outcome, gateway.flows) == (Outcome.LIVE, set())


def test_a_disconnect_is_completed_when_the_flows_have_ended_and_the_key_is_unloaded(
    carrying, user, gateway
):
    secrets = dict(gateway.secrets)
    services.disconnect(carrying, user)
    gateway.failing_flow_deletions = 1
    with pytest.raises(GatewayError):
        converge(carrying)
    # As if the worker died before it unloaded the secret.
    gateway.secrets = secrets
    assert TunnelCommand.objects.get().done_at is None

    converge(carrying)

    assert TunnelCommand.objects.get().ok
    assert (gateway.flows, gateway.secrets) == (set(), {})


def test_an_address_is_not_free_while_a_flow_has_it(carrying, owner, gateway, second_tunnel):
    services.apply(second_tunnel, owner)
    services.cancel(carrying, owner)
    gateway.elements = set()
    # What does not decrypt is not removed: the flow may be of this tunnel.
    Revision.objects.filter(tunnel=second_tunnel).update(specification="00000000:nothing")

    reconcile.converge(carrying.concentrator_id)

    release = carrying.releases.get()
    assert (release.released_at, gateway.flows) == (None, EXAMPLE)


def test_a_repair_is_recorded_although_the_deletion_of_flows_failed_after_it(
    carrying, gateway, concentrator
):
    gateway.connections.clear()
    gateway.failing_flow_deletions = 1

    with pytest.raises(GatewayError):
        reconcile.converge(concentrator.pk)

    assert [repair.text for repair in DriftRepair.objects.all()] == [
        f"Loaded the connection ctx{carrying.pk}"
    ]
