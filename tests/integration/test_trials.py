"""Apply, keep if healthy: the last good revision comes back by itself, for this tunnel only."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network

import pytest
from django.utils import timezone

from vpnportal import services
from vpnportal.models import Revision
from vpnportal.reconciler import reconcile
from vpnportal.reconciler import revision_outcomes as outcomes_of

Outcome = Revision.Outcome
pytestmark = pytest.mark.django_db


def look(tunnel) -> None:
    reconcile.converge(tunnel.concentrator_id, tunnel.pk)


def outcomes(tunnel) -> dict[int, str]:
    return dict(tunnel.revisions.values_list("number", "outcome"))


def time_is_up(revision: Revision) -> None:
    now = timezone.now()
    Revision.objects.filter(pk=revision.pk).update(trial_ends_at=now - timedelta(seconds=1))


@pytest.fixture
def on_trial(ready, user, gateway) -> Revision:
    """A second revision whose peer refuses it, live for a moment."""
    services.apply(ready, user)
    look(ready)
    # As when the watch has seen it come up.
    look(ready)
    services.edit(ready, "phase_two_keylife", 1800, user)
    gateway.peer_answers = False
    revision = services.apply(ready, user, services.Trial(seconds=30))
    look(ready)
    return revision


def test_a_trial_that_is_not_healthy_brings_the_last_good_revision_back(on_trial, ready, gateway):
    assert outcomes(ready) == {1: Outcome.FALLBACK, 2: Outcome.LIVE}
    time_is_up(on_trial)
    gateway.peer_answers = True
    gateway.ike_sas = []

    look(ready)

    assert outcomes(ready) == {1: Outcome.REPLACED, 2: Outcome.WITHDRAWN, 3: Outcome.LIVE}
    back = ready.latest()
    assert (back.restored_number, back.author) == (1, None)
    assert back.spec() == ready.revisions.get(number=1).spec()
    assert ready.revisions.get(number=2).reason == (
        "Rolled back after 30 seconds: the tunnel was down."
    )
    assert services.state_of(ready).pending, "what was typed stays in the draft"


def test_what_a_peer_took_is_good_at_once_and_not_while_another_is_on_its_way(ready, user, gateway):
    services.apply(ready, user)
    outcomes_of.mark_accepted_by_peer(ready.pk)
    assert ready.latest().first_up_at is None
    look(ready)
    Revision.objects.update(first_up_at=None)

    outcomes_of.mark_accepted_by_peer(ready.pk)

    assert ready.latest().first_up_at is not None


def test_whoever_converges_next_judges_also_when_nobody_asked_for_this_tunnel(on_trial, ready):
    time_is_up(on_trial)

    reconcile.converge(ready.concentrator_id)

    assert outcomes(ready)[2] == Outcome.WITHDRAWN


def test_a_trial_is_not_judged_before_its_time(on_trial, ready):
    look(ready)

    assert outcomes(ready)[2] == Outcome.LIVE


def test_a_healthy_trial_stays_and_needs_its_ping_answered_if_one_was_asked_for(
    ready,
    user,
    gateway,
):
    trial = services.Trial(seconds=30, ping=IPv4Address("192.168.10.15"))
    first = services.apply(ready, user, trial)
    look(ready)
    gateway.pingable = {IPv4Address("192.168.10.15")}
    time_is_up(first)
    look(ready)
    assert outcomes(ready) == {1: Outcome.LIVE}

    second = services.apply(ready, user, trial)
    look(ready)
    gateway.pingable = set()
    time_is_up(second)
    look(ready)

    assert outcomes(ready) == {1: Outcome.REPLACED, 2: Outcome.WITHDRAWN, 3: Outcome.LIVE}
    assert "192.168.10.15 did not answer" in ready.revisions.get(number=2).reason


def test_the_first_revision_of_a_tunnel_is_taken_off_when_its_trial_fails(ready, user, gateway):
    gateway.peer_answers = False
    revision = services.apply(ready, user, services.Trial(seconds=30))
    look(ready)
    time_is_up(revision)

    look(ready)

    assert outcomes(ready) == {1: Outcome.WITHDRAWN}
    assert (gateway.connections, gateway.secrets, gateway.elements) == ({}, {}, set())


def test_a_trial_of_a_trial_comes_back_to_what_was_proven(on_trial, ready, user, gateway):
    services.edit(ready, "phase_two_keylife", 1900, user)
    again = services.apply(ready, user, services.Trial(seconds=30))
    look(ready)
    assert outcomes(ready) == {1: Outcome.FALLBACK, 2: Outcome.REPLACED, 3: Outcome.LIVE}
    time_is_up(again)

    look(ready)

    assert ready.latest().restored_number == 1


def test_nobody_takes_the_networks_that_a_trial_may_bring_back(
    on_trial,
    ready,
    user,
    gateway,
    second_tunnel,
):
    services.add_remote_subnet(ready, IPv4Network("192.168.30.0/24"), user)
    services.remove_remote_subnet(ready, ready.subnets.get(network="192.168.10.0/24").pk, user)
    services.set_translations(
        ready, [services.TranslationRow(IPv4Address("10.1.255.92"), None)], user
    )
    services.apply(ready, user, services.Trial(seconds=30))
    look(ready)
    services.add_remote_subnet(second_tunnel, IPv4Network("192.168.10.0/24"), user)

    with pytest.raises(services.Refused, match=r"192\.168\.10\.0/24 overlaps a remote subnet of"):
        services.apply(second_tunnel, user)


@pytest.mark.parametrize(
    ("seconds", "ping"), [(4, None), (3601, None), (30, IPv4Address("192.168.99.1"))]
)
def test_a_trial_that_cannot_be_judged_is_refused(ready, user, seconds, ping):
    with pytest.raises(services.Refused):
        services.apply(ready, user, services.Trial(seconds, ping))

    assert not ready.revisions.exists()


def test_what_comes_back_is_the_last_that_was_ever_up(on_trial, ready, user, gateway):
    """A revision that its peer never took is not good, although it stood before."""
    refused = ready.revisions.get(number=2)
    Revision.objects.filter(pk=refused.pk).update(trial_seconds=None, trial_ends_at=None)
    Revision.objects.filter(number=1).update(outcome=Outcome.REPLACED)
    services.edit(ready, "phase_two_keylife", 1900, user)
    third = services.apply(ready, user, services.Trial(seconds=30))
    look(ready)
    time_is_up(third)

    look(ready)

    assert outcomes(ready)[2] == Outcome.REPLACED
    assert ready.latest().restored_number == 1
