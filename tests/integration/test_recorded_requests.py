"""Events of requests: sign-in, Administration, downloads and commands."""

from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from tests.html import words
from vpnportal import sign_in_events
from vpnportal.models import Event, Membership, Role
from vpnportal.sign_in_events import NO_NAME, FailureCounter

PASSWORD = "a password for the tests"


@pytest.fixture(autouse=True)
def _no_failures(monkeypatch):
    monkeypatch.setattr(sign_in_events, "FAILURES", FailureCounter())


def actions() -> list[str]:
    return list(Event.objects.order_by("pk").values_list("action", flat=True))


def test_sign_in_failures_of_a_name_are_one_event_a_minute_and_no_typed_password(user, monkeypatch):
    seconds = [1000.0]
    monkeypatch.setattr(sign_in_events.time, "monotonic", lambda: seconds[0])
    browser = Client()

    def sign_in(name: str, password: str) -> None:
        browser.post("/sign-in/", {"username": name, "password": password}, REMOTE_ADDR="192.0.2.9")

    for _ in range(3):
        sign_in("ada", "wrong")
    sign_in("my-secret-password", "ada")
    assert list(Event.objects.values_list("subject", "count")) == [(NO_NAME, 1), ("ada", 1)]
    seconds[0] += 61
    sign_in("ada", "wrong")
    sign_in("ada", PASSWORD)
    browser.post("/sign-out/")
    assert actions()[2:] == ["user.sign_in_failed", "user.signed_in", "user.signed_out"]
    failed, signed_in = Event.objects.order_by("pk")[2:4]
    assert (failed.subject, failed.count, failed.result) == ("ada", 3, "refused")
    assert (signed_in.actor_name, signed_in.client_address) == ("ada", "192.0.2.9")
    assert len(signed_in.request_id) == 24


def test_administration_records_roles_and_fields_but_no_password(
    account, user, owner, admin_client
):
    membership = Membership.objects.get(user=user)
    url = f"/operators/vpnportal/account/{account.pk}/change/"
    form = {
        "name": "Another name",
        "memberships-TOTAL_FORMS": 1,
        "memberships-INITIAL_FORMS": 1,
        "memberships-0-id": membership.pk,
        "memberships-0-account": account.pk,
        "memberships-0-user": user.pk,
        "memberships-0-role": Role.OWNER,
    }
    earlier = Event.objects.count()
    assert admin_client.post(url, form).status_code == 302
    role, changed = Event.objects.order_by("pk")[earlier:]
    assert (role.action, role.subject) == ("account.member_role_changed", "ada")
    assert (role.before, role.after) == ({"role": "operator"}, {"role": "owner"})
    assert (changed.action, changed.actor_name) == ("admin.changed", "admin")
    assert (changed.before["name"], changed.after["name"]) == ("Example account", "Another name")

    passwords = {"password1": "of-the-new-person-1", "password2": "of-the-new-person-1"}
    new = {"username": "nina", "usable_password": "true", **passwords}
    assert admin_client.post("/operators/auth/user/add/", new).status_code == 302
    added = Event.objects.latest("pk")
    assert (added.action, added.subject, added.after) == (
        "admin.added",
        "user nina",
        {"username": "nina"},
    )
    delete = {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"}
    admin_client.post("/operators/auth/user/", delete)
    assert not User.objects.filter(pk=user.pk).exists()
    assert Event.objects.latest("pk").subject == "user ada"


def test_a_download_and_a_command_are_recorded_with_their_actor(ready, page):
    page.get(f"/tunnels/{ready.pk}/other-end/strongswan/")
    event = Event.objects.latest("pk")
    assert (event.action, event.subject, event.actor_name) == (
        "tunnel.peer_config_downloaded",
        "strongswan",
        "ada",
    )
    out = StringIO()
    call_command("operator", "root", stdout=out)
    event = Event.objects.latest("pk")
    assert (event.action, event.actor_kind, event.actor_name) == (
        "user.created",
        "system",
        "vpnportal operator",
    )
    assert out.getvalue().strip() not in str(Event.objects.values())


@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        ("/nothing-here/", {}, 404),
        ("/concentrators/", {"HTTP_HOST": "elsewhere.example"}, 400),
    ],
)
def test_an_error_page_shows_the_id_of_its_request(page, path, options, status):
    response = page.get(path, **options)
    assert response.status_code == status
    assert f"Request {response['X-Request-ID']}" in words(response, "main")


def test_a_form_without_its_token_shows_the_id_of_its_request(db):
    member_of_none = Client(enforce_csrf_checks=True)
    response = member_of_none.post("/sign-in/", {})
    assert response.status_code == 403
    assert f"Request {response['X-Request-ID']}" in words(response, "main")
