"""A gateway opens its own tunnels only: with a dump of the database, after a move, in a probe."""

from __future__ import annotations

import pytest

from tests.integration.as_gateway import as_gateway
from tests.integration.two_gateways import (
    ONE,
    TWO,
    Outcome,
    applied,
    full,
    gateways,
    live,
    new_worker,
    opened,
    other,
    sealed_rows,
)
from vpnportal import services
from vpnportal.encryption import CannotOpen
from vpnportal.models import Concentrator, HeldTunnel, PeerProbe, Revision, Tunnel
from vpnportal.reconciler import peer_probe, reconcile

__all__ = ["full", "gateways", "live", "new_worker", "other"]
DRAFTS = {"vpnportal_tunnel.preshared_key", "vpnportal_draftbackup.specification"}
MAIL = "vpnportal_outgoingmail.text"
pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def test_a_dump_and_the_keys_of_a_gateway_open_its_tunnels_and_no_draft(full):
    rows = list(sealed_rows())
    columns = {column for column, *_ in rows} - {MAIL}
    assert opened(rows) == {(MAIL, 0), *((column, row.pk) for column in columns for row in full)}

    for tunnel, name in zip(full, (ONE, TWO), strict=True):
        with as_gateway(name):
            assert opened(rows) == {(column, tunnel.pk) for column in columns - DRAFTS}


def test_after_a_move_the_old_gateway_opens_no_later_revision(live, other, user):
    services.move(Tunnel.objects.get(pk=live.pk), other, user)
    services.set_preshared_key(Tunnel.objects.get(pk=live.pk), "the key after the move", user)
    later = applied(live, user)

    with as_gateway(ONE), pytest.raises(CannotOpen):
        later.spec()
    with as_gateway(TWO):
        assert later.spec().preshared_key == "the key after the move"
        with pytest.raises(CannotOpen):
            Revision.objects.get(tunnel=live, number=1).spec()


def test_a_trial_taken_back_after_a_move_restores_what_only_the_old_gateway_opens(
    live, concentrator, other, user, gateways
):
    gateways[other.pk].peer_answers = False
    services.move(Tunnel.objects.get(pk=live.pk), other, user)
    revision = services.apply(Tunnel.objects.get(pk=live.pk), user, services.Trial(30))
    reconcile.converge(other.pk)
    Revision.objects.filter(pk=revision.pk).update(trial_ends_at=revision.created_at)

    reconcile.converge(other.pk)
    reconcile.converge(concentrator.pk)

    first, _, restored = Revision.objects.filter(tunnel=live).order_by("number")
    assert (restored.outcome, restored.restored_number) == (Outcome.LIVE, 1)
    assert restored.concentrator == concentrator
    assert restored.specification == first.specification
    assert (restored.digest, restored.spec()) == (first.digest, first.spec())
    claims = restored.claims.values_list("first", "last", "is_peer")
    assert sorted(claims) == sorted(first.claims.values_list("first", "last", "is_peer")) != []
    with as_gateway(TWO), pytest.raises(CannotOpen):
        restored.spec()
    assert gateways[concentrator.pk].connections.keys() == {f"ctx{live.pk}"}


def test_a_revision_that_was_sealed_again_is_still_the_one_of_the_gateways_file(
    live, concentrator, user, gateways
):
    """After a restore, the database is newer than this gateway. Nothing waits for an operator."""
    services.edit(Tunnel.objects.get(pk=live.pk), "dpd_seconds", 40, user)
    services.apply(Tunnel.objects.get(pk=live.pk), user)
    services.set_envelope_key(concentrator, concentrator.envelope_key)
    Concentrator.objects.update(epoch="6a0c1b1e-0000-4000-8000-000000000001")

    reconcile.converge(concentrator.pk)

    assert not HeldTunnel.objects.exists()
    assert Revision.objects.get(number=2).outcome == Outcome.LIVE


def test_a_probe_is_sealed_for_its_gateway_until_it_has_a_result(live, user):
    services.set_preshared_key(Tunnel.objects.get(pk=live.pk), "the key of the draft", user)
    probe = services.start_probe(Tunnel.objects.get(pk=live.pk), user)
    services.set_preshared_key(Tunnel.objects.get(pk=live.pk), "a later key", user)

    with as_gateway(ONE):
        assert PeerProbe.objects.get(pk=probe.pk).spec().preshared_key == "the key of the draft"
    with as_gateway(TWO), pytest.raises(CannotOpen):
        probe.spec()
    peer_probe._fail(probe, "no answer")

    assert not PeerProbe.objects.get(pk=probe.pk).specification
