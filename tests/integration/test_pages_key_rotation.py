"""The rotation of a preshared key on the page of a tunnel, for owners."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.html import words
from tests.integration.test_pages_preshared_key import browser_of
from vpnportal import services
from vpnportal.models import Concentrator, KeyRotation, Role, Tunnel
from vpnportal.reconciler import reconcile

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(account) -> Client:
    return browser_of("olga", account, Role.OWNER)


@pytest.fixture
def live(ready, user, gateway, settings) -> Tunnel:
    Concentrator.objects.update(release=settings.VERSION)
    services.apply(ready, user)
    reconcile.converge(ready.concentrator_id, ready.pk)
    services.set_preshared_key(ready, "a new key of 24 letters!", user)
    return ready


def post(browser: Client, name: str, tunnel: Tunnel, **values: str):
    return browser.post(reverse(name, args=[tunnel.pk]), values, follow=True)


def text_of(browser: Client, tunnel: Tunnel) -> str:
    return words(browser.get(reverse("tunnel", args=[tunnel.pk])), "key")


def test_an_owner_begins_a_rotation_sees_which_key_the_peer_uses_and_ends_it(live, owner):
    assert "Accept both keys" in text_of(owner, live)
    assert post(owner, "begin-rotation", live, rotation_days="30").status_code == 200
    reconcile.converge(live.concentrator_id, live.pk)
    until = KeyRotation.objects.get().ends_at - timezone.now()
    assert timedelta(days=29) < until < timedelta(days=30)
    assert "Which key the peer has is not yet known" in text_of(owner, live)

    KeyRotation.objects.update(used="old", used_at=timezone.now())
    assert "The peer authenticated with the old key" in text_of(owner, live)
    response = post(owner, "end-rotation", live)
    assert (response.status_code, KeyRotation.objects.count()) == (422, 1)
    assert "The peer was not seen with the new key" in words(response, "key")

    KeyRotation.objects.update(used="new")
    assert "The peer authenticated with the new key" in text_of(owner, live)
    assert post(owner, "end-rotation", live).status_code == 200
    assert not KeyRotation.objects.exists()


def test_an_end_and_a_cancel_are_possible_before_the_peer_was_seen(live, owner):
    for name, values in (("cancel-rotation", {}), ("end-rotation", {"confirm_end": "on"})):
        post(owner, "begin-rotation", live, rotation_days="1")
        reconcile.converge(live.concentrator_id, live.pk)
        assert post(owner, name, live, **values).status_code == 200
        reconcile.converge(live.concentrator_id, live.pk)
        assert not KeyRotation.objects.exists()
        services.set_preshared_key(live, "another new key", live.latest().author)


@pytest.mark.parametrize("days", ["", "0", "91", "-1", "1.5", "9" * 5_000])
def test_a_number_of_days_that_is_out_of_range_is_refused_with_the_range(live, owner, days):
    response = post(owner, "begin-rotation", live, rotation_days=days)
    assert response.status_code == 422
    assert "Enter a number of days from 1 to 90." in words(response, "key")


def test_only_an_owner_changes_a_rotation(live, page, owner):
    assert "Accept both keys" not in text_of(page, live)
    assert post(page, "begin-rotation", live, rotation_days="7").status_code == 404
    post(owner, "begin-rotation", live, rotation_days="7")
    reconcile.converge(live.concentrator_id, live.pk)
    for name in ("end-rotation", "cancel-rotation"):
        assert post(page, name, live, confirm_end="on").status_code == 404
    assert "Two keys are accepted" in text_of(page, live)
    assert "Remove the old key now" not in text_of(page, live)
