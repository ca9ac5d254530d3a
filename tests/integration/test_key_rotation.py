"""Rotation of a preshared key: both keys for some days, and the one that the peer uses in use."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.fake_gateway import FakeGateway
from vpnportal import services
from vpnportal.domain.diagnosis.log_collector import TunnelLog
from vpnportal.domain.diagnosis.log_lines import LogLine, Role
from vpnportal.models import Concentrator, KeyRotation, Tunnel
from vpnportal.monitor.key_rotations import REJECTS_WITHIN, KeyRotations
from vpnportal.reconciler import reconcile
from vpnportal.services import Refused

pytestmark = pytest.mark.django_db
NEW = "a new key of 24 letters!"
# What charon logs as a responder to a peer with the other key.
REJECTED = (
    "parsed IKE_SA_INIT request 0 [ SA KE No ]",
    "IKE_SA ctx1[7] established between 203.0.113.1[203.0.113.1]...203.0.113.2[203.0.113.2]",
    "parsed INFORMATIONAL request 2 [ N(AUTH_FAILED) ]",
)
ACCEPTED = REJECTED[:-1]
UNREADABLE = (
    "parsed ID_PROT request 0 [ SA V V ]",
    "parsed ID_PROT request 0 [ KE No ]",
    "could not decrypt payloads",
)


@pytest.fixture
def live(ready, user, gateway, settings) -> Tunnel:
    """Return a tunnel that is up, with another edit pending."""
    Concentrator.objects.update(release=settings.VERSION)
    services.apply(ready, user)
    converge(ready)
    converge(ready)
    services.edit(ready, "phase_two_keylife", 1800, user)
    services.set_preshared_key(ready, NEW, user)
    return Tunnel.objects.get(pk=ready.pk)


@pytest.fixture
def rotating(live, user) -> Tunnel:
    services.begin_rotation(live, 7, user)
    converge(live)
    return Tunnel.objects.get(pk=live.pk)


def converge(tunnel: Tunnel) -> None:
    reconcile.converge(tunnel.concentrator_id, tunnel.pk)


def keys(gateway: FakeGateway) -> list[str]:
    """Return which keys are loaded, first the one with which charon authenticates."""
    return ["new" if secret.data == NEW else "old" for secret in gateway.secrets.values()]


def pending(tunnel: Tunnel) -> list[str]:
    fresh = Tunnel.objects.get(pk=tunnel.pk)
    return [change.field for change in services.state_of(fresh).pending]


def log(*texts: str, ago: timedelta = timedelta()) -> TunnelLog:
    """Return the lines of an attempt that began `ago`."""
    lines = TunnelLog()
    at = timezone.now() - ago
    lines.lines.extend(
        LogLine(at + timedelta(microseconds=number), Role.RESPONDER, text, f"e-{at}")
        for number, text in enumerate(texts)
    )
    return lines


def read(tunnel: Tunnel, lines: TunnelLog) -> None:
    monitor = KeyRotations(tunnel.concentrator)
    monitor.read({tunnel.pk: lines})
    monitor.confirm_due()


def test_a_rotation_renegotiates_nothing_and_leaves_other_changes_pending(live, user, gateway):
    ike_sas = list(gateway.ike_sas)
    assert pending(live) == ["phase_two_keylife", "preshared_key"]

    services.begin_rotation(live, 7, user)
    converge(live)
    assert (keys(gateway), pending(live)) == (["old", "new"], ["phase_two_keylife"])

    services.end_rotation(live, user, confirmed=True)
    converge(live)
    assert (keys(gateway), pending(live)) == (["new"], ["phase_two_keylife"])
    assert gateway.ike_sas == ike_sas
    assert not KeyRotation.objects.exists()


def test_a_full_converge_leaves_a_rotation_as_it_is(rotating, gateway):
    plans = len(gateway.plans)
    KeyRotation.objects.update(signs_with=KeyRotation.Key.NEW)
    reconcile.converge(rotating.concentrator_id)
    assert keys(gateway) == ["new", "old"]
    assert len(gateway.plans) == plans + 1


def test_a_cancelled_rotation_removes_the_new_key_from_the_draft_too(rotating, user, gateway):
    services.cancel_rotation(rotating, user)
    converge(rotating)
    assert (keys(gateway), pending(rotating)) == (["old"], ["phase_two_keylife"])


def test_an_apply_during_and_after_a_rotation_keeps_both_keys_and_the_names(
    rotating, user, gateway
):
    name = next(iter(gateway.secrets.values())).connection
    ike_fingerprint = gateway.connections[name].as_loaded.ike_fingerprint
    services.apply(rotating, user)
    converge(rotating)
    assert (keys(gateway), pending(rotating)) == (["old", "new"], [])

    services.end_rotation(rotating, user, confirmed=True)
    converge(rotating)
    services.edit(rotating, "phase_two_keylife", 3000, user)
    services.apply(rotating, user)
    converge(rotating)
    assert keys(gateway) == ["new"]
    assert gateway.connections[name].as_loaded.ike_fingerprint == ike_fingerprint


def test_another_key_that_is_applied_ends_a_rotation(rotating, user, gateway):
    services.set_preshared_key(rotating, "a third key", user)
    services.apply(rotating, user)
    converge(rotating)
    assert [secret.data for secret in gateway.secrets.values()] == ["a third key"]
    assert not KeyRotation.objects.exists()


@pytest.mark.parametrize("texts", [REJECTED, UNREADABLE], ids=["IKEv2", "IKEv1"])
def test_after_a_peer_rejects_the_old_key_the_concentrator_uses_the_new_one(
    rotating, gateway, texts
):
    read(rotating, log(*texts))
    converge(rotating)
    assert keys(gateway) == ["new", "old"]


def test_one_attempt_changes_the_key_once(rotating, gateway):
    lines = log(*REJECTED)
    for _ in range(3):
        read(rotating, lines)
        converge(rotating)
    assert keys(gateway) == ["new", "old"]


def test_an_attempt_that_began_before_the_key_was_loaded_says_nothing(rotating, gateway):
    read(rotating, log(*REJECTED, ago=timedelta(hours=1)))
    read(rotating, log(*ACCEPTED, ago=timedelta(hours=1)))
    converge(rotating)
    assert keys(gateway) == ["old", "new"]
    assert KeyRotation.objects.get().used == ""


def test_the_peer_has_the_new_key_once_it_stays_authenticated_with_it(rotating, monkeypatch):
    read(rotating, log(*REJECTED))
    converge(rotating)
    monitor = KeyRotations(rotating.concentrator)
    monitor.read({rotating.pk: log(*ACCEPTED)})
    monitor.confirm_due()
    assert KeyRotation.objects.get().used == ""

    later = timezone.now() + REJECTS_WITHIN
    monkeypatch.setattr("vpnportal.monitor.key_rotations.timezone.now", lambda: later)
    monitor.confirm_due()
    assert KeyRotation.objects.get().used == KeyRotation.Key.NEW


def test_the_old_key_goes_at_the_end_only_if_the_peer_has_the_new_one(rotating, user, gateway):
    KeyRotation.objects.update(ends_at=timezone.now())
    assert services.end_due_rotations() == 0
    with pytest.raises(Refused, match="was not seen with the new key"):
        services.end_rotation(rotating, user)

    KeyRotation.objects.update(used=KeyRotation.Key.NEW)
    assert services.end_due_rotations() == 1
    converge(rotating)
    assert keys(gateway) == ["new"]


def test_a_gateway_of_an_older_release_is_given_no_second_key(live, user):
    Concentrator.objects.update(release="0.1.0")
    with pytest.raises(Refused, match=r"has the release 0\.1\.0, which cannot hold two keys"):
        services.begin_rotation(live, 7, user)


def test_no_row_but_a_sealed_one_has_a_key_of_a_rotation(rotating):
    from tests.integration.test_pages_preshared_key import everything_stored

    assert NEW not in everything_stored()
