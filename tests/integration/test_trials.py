"""Trials (commit-confirm): a revision that is not healthy is rolled back to the last good one."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network

import pytest
from django.db.models import F
from django.utils import timezone

from vpnportal import services
from vpnportal.models import Revision, Subnet
from vpnportal.reconciler import reconcile
from vpnportal.reconciler import revision_outcomes as outcomes_of

Outcome = Revision.Outcome
pytestmark = pytest.mark.django_db


def converge(tunnel) -> None:
    reconcile.converge(tunnel.concentrator_id, tunnel.pk)


def outcomes(tunnel) -> dict[int, str]:
    return dict(tunnel.revisions.values_list("number", "outcome"))


def end_trial(revision: Revision) -> None:
    now = timezone.now()
    Revision.objects.filter(pk=revision.pk).update(trial_ends_at=now - timedelta(seconds=1))


@pytest.fixture
def on_trial(ready, user, gateway) -> Revision:
    """Return a live second revision that the peer refuses."""
    services.apply(ready, user)
    converge(ready)
    # The second converge observes that the tunnel is up.
    converge(ready)
    services.edit(ready, "phase_two_keylife", 1800, user)
    gateway.peer_answers = False
    revision = services.apply(ready, user, services.Trial(seconds=30))
    converge(ready)
    return revision


def test_a_failed_trial_restores_the_last_good_revision(on_trial, ready, gateway):
    assert outcomes(ready) == {1: Outcome.FALLBACK, 2: Outcome.LIVE}
    end_trial(on_trial)
    gateway.peer_answers = True
    gateway.ike_sas = []

    converge(ready)

    assert outcomes(ready) == {1: Outcome.REPLACED, 2: Outcome.WITHDRAWN, 3: Outcome.LIVE}
    restored = ready.latest()
    assert (restored.restored_number, restored.author) == (1, None)
    assert restored.spec() == ready.revisions.get(number=1).spec()
    assert ready.revisions.get(number=2).reason == (
        "Rolled back after 30 seconds: the tunnel was down."
    )
    assert services.state_of(ready).pending, "the draft keeps the edits"


def test_a_revision_is_good_once_the_peer_accepts_it_and_no_other_is_queued(ready, user, gateway):
    services.apply(ready, user)
    outcomes_of.mark_accepted_by_peer(ready.pk)
    assert ready.latest().first_up_at is None
    converge(ready)
    Revision.objects.update(first_up_at=None)

    outcomes_of.mark_accepted_by_peer(ready.pk)

    assert ready.latest().first_up_at is not None


def test_a_full_converge_evaluates_the_trial(on_trial, ready):
    end_trial(on_trial)

    reconcile.converge(ready.concentrator_id)

    assert outcomes(ready)[2] == Outcome.WITHDRAWN


def test_a_trial_is_not_evaluated_before_its_end(on_trial, ready):
    converge(ready)

    assert outcomes(ready)[2] == Outcome.LIVE


def test_a_healthy_trial_is_kept_and_a_requested_ping_must_be_answered(
    ready,
    user,
    gateway,
):
    trial = services.Trial(seconds=30, ping=IPv4Address("192.168.10.15"))
    first = services.apply(ready, user, trial)
    converge(ready)
    gateway.pingable = {IPv4Address("192.168.10.15")}
    end_trial(first)
    converge(ready)
    assert outcomes(ready) == {1: Outcome.LIVE}

    second = services.apply(ready, user, trial)
    converge(ready)
    gateway.pingable = set()
    end_trial(second)
    converge(ready)

    assert outcomes(ready) == {1: Outcome.REPLACED, 2: Outcome.WITHDRAWN, 3: Outcome.LIVE}
    assert "192.168.10.15 did not answer" in ready.revisions.get(number=2).reason


@pytest.fixture
def without_source(ready, user, gateway) -> str:
    """Give the tunnel a hosted subnet without an address of the gateway; return the text."""
    gateway.userland_esp = False
    ready.subnets.remove(*ready.subnets.filter(kind=Subnet.Kind.HOSTED))
    network = IPv4Network("10.3.0.0/24")
    ready.subnets.create(account=ready.account, kind=Subnet.Kind.HOSTED, network=network)
    return (
        "it has no address in 10.3.0.0/24 from which it could ping 192.168.10.15. Its operator "
        "can add one. Without the ping the configuration can be applied."
    )


def test_a_trial_whose_ping_the_gateway_cannot_send_is_refused_and_says_what_would_help(
    without_source, ready, user, gateway
):
    services.apply(ready, user, services.Trial(seconds=30, ping=IPv4Address("192.168.10.15")))

    converge(ready)

    assert (outcomes(ready), gateway.connections) == ({1: Outcome.FAILED}, {})
    reason = ready.revisions.get().reason
    assert reason == f"The concentrator refused the configuration: {without_source}"

    services.apply(ready, user, services.Trial(seconds=30))
    converge(ready)
    assert outcomes(ready)[2] == Outcome.LIVE


def test_a_trial_that_lost_the_source_of_its_ping_says_so(without_source, ready, user):
    trial = services.apply(ready, user, services.Trial(seconds=30))
    converge(ready)
    Revision.objects.update(trial_ping="192.168.10.15")
    end_trial(trial)

    converge(ready)

    reason = ready.revisions.get().reason
    assert reason.endswith(f": the concentrator sent no ping, because {without_source}")


def test_a_failed_trial_of_the_first_revision_removes_the_tunnel(ready, user, gateway):
    gateway.peer_answers = False
    revision = services.apply(ready, user, services.Trial(seconds=30))
    converge(ready)
    end_trial(revision)

    converge(ready)

    assert outcomes(ready) == {1: Outcome.WITHDRAWN}
    assert (gateway.connections, gateway.secrets, gateway.elements) == ({}, {}, set())


def test_a_trial_waits_for_the_successors_of_sas_whose_names_an_upgrade_changed(
    ready, user, gateway
):
    revision = services.apply(ready, user, services.Trial(seconds=30))
    converge(ready)
    converge(ready)
    # The mark is part of the names of the children.
    Revision.objects.update(mark=4711)
    gateway.peer_answers = False
    end_trial(revision)

    converge(ready)

    assert ready.latest().trial_ends_at is not None
    gateway.peer_answers = True
    converge(ready)
    converge(ready)
    assert (ready.latest().number, ready.latest().trial_ends_at) == (1, None)


def test_a_tunnel_whose_trial_is_due_gets_its_successors_before_all_others(
    ready, user, gateway, second_tunnel
):
    """With thousands of tunnels it would wait for minutes, and be rolled back before its turn."""
    services.apply(ready, user)
    revision = services.apply(second_tunnel, user, services.Trial(seconds=30))
    for _ in range(2):
        reconcile.converge(ready.concentrator_id)
    Revision.objects.update(mark=F("mark") + 4711)
    end_trial(revision)
    gateway.initiated.clear()

    reconcile.converge(ready.concentrator_id)

    assert [child.partition("-")[0] for child in gateway.initiated] == [
        f"ctx{second_tunnel.pk}",
        f"ctx{ready.pk}",
    ]


def test_a_second_trial_falls_back_to_the_last_healthy_revision(on_trial, ready, user, gateway):
    services.edit(ready, "phase_two_keylife", 1900, user)
    again = services.apply(ready, user, services.Trial(seconds=30))
    converge(ready)
    assert outcomes(ready) == {1: Outcome.FALLBACK, 2: Outcome.REPLACED, 3: Outcome.LIVE}
    end_trial(again)

    converge(ready)

    assert ready.latest().restored_number == 1


def test_the_remote_subnets_of_a_fallback_stay_claimed(
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
    converge(ready)
    services.add_remote_subnet(second_tunnel, IPv4Network("192.168.10.0/24"), user)

    with pytest.raises(services.Refused, match=r"192\.168\.10\.0/24 overlaps addresses of"):
        services.apply(second_tunnel, user)


@pytest.mark.parametrize(
    ("seconds", "ping"), [(4, None), (3601, None), (30, IPv4Address("192.168.99.1"))]
)
def test_a_trial_with_invalid_time_or_ping_is_refused(ready, user, seconds, ping):
    with pytest.raises(services.Refused):
        services.apply(ready, user, services.Trial(seconds, ping))

    assert not ready.revisions.exists()


def test_a_revision_that_was_never_up_is_no_fallback(on_trial, ready, user, gateway):
    refused = ready.revisions.get(number=2)
    Revision.objects.filter(pk=refused.pk).update(trial_seconds=None, trial_ends_at=None)
    Revision.objects.filter(number=1).update(outcome=Outcome.REPLACED)
    services.edit(ready, "phase_two_keylife", 1900, user)
    third = services.apply(ready, user, services.Trial(seconds=30))
    converge(ready)
    end_trial(third)

    converge(ready)

    assert outcomes(ready)[2] == Outcome.REPLACED
    assert ready.latest().restored_number == 1


def test_a_trial_that_ends_while_another_waits_for_its_ping_waits_for_the_next_converge(
    ready, second_tunnel, user, gateway, monkeypatch
):
    concentrator = ready.concentrator_id
    for tunnel, address in ((ready, "192.168.10.9"), (second_tunnel, "192.168.20.9")):
        services.apply(tunnel, user)
        reconcile.converge(concentrator)
        reconcile.converge(concentrator)
        services.edit(tunnel, "dpd_seconds", 20, user)
        services.apply(tunnel, user, services.Trial(30, IPv4Address(address)))
    reconcile.converge(concentrator)
    reconcile.converge(concentrator)

    def no_answer(target: IPv4Address, sources: frozenset[IPv4Address], mark: int) -> bool:
        end_trial(second_tunnel.latest())
        return False

    monkeypatch.setattr(gateway, "ping", no_answer)
    end_trial(ready.latest())
    reconcile.converge(concentrator)

    assert outcomes(ready)[2] == Outcome.WITHDRAWN
    assert outcomes(second_tunnel)[2] == Outcome.LIVE
    reconcile.converge(concentrator)
    assert outcomes(second_tunnel)[2] == Outcome.WITHDRAWN


def test_a_revision_on_trial_that_charon_refuses_gives_way_to_its_fallback(on_trial):
    tunnel = on_trial.tunnel
    assert outcomes(tunnel) == {1: Outcome.FALLBACK, 2: Outcome.LIVE}

    outcomes_of.fail_refused({"ctx1": on_trial.pk}, {"ctx1": "no proposal"})

    assert outcomes(tunnel) == {1: Outcome.LIVE, 2: Outcome.FAILED}
