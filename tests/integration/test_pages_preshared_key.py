"""The preshared key: generated, revealed to owners only, and in no other page or log."""

from __future__ import annotations

import logging

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.views.debug import ExceptionReporter

from tests.form_data import PHASE_ONE
from tests.html import part, read, words
from vpnportal import services
from vpnportal.models import Account, KeyReveal, Membership, Role, Tunnel
from vpnportal.web.tunnel import preshared_key

CANARY = "canary7f3aThatMustNotSing"
HTMX = {"HX-Request": "true"}
both = pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])


@pytest.fixture
def with_key(tunnel, user) -> Tunnel:
    services.set_preshared_key(tunnel, CANARY, user)
    return Tunnel.objects.get(pk=tunnel.pk)


@pytest.fixture
def owner(account) -> Client:
    return browser_of("olga", account, Role.OWNER)


def browser_of(name: str, account: Account, role: Role) -> Client:
    person = User.objects.create_user(name)
    Membership.objects.create(account=account, user=person, role=role)
    browser = Client()
    browser.force_login(person)
    return browser


def post(browser: Client, name: str, tunnel: Tunnel, headers: dict[str, str]):
    return browser.post(reverse(name, args=[tunnel.pk]), headers=headers)


def key_in(response) -> str:
    """Return the key in a page, or ""."""
    return "".join("".join(e.itertext()) for e in read(response).iter("code"))


def the_key(tunnel: Tunnel) -> str:
    return Tunnel.objects.get(pk=tunnel.pk).draft().preshared_key


def everything_stored() -> str:
    """Return every row of the database as text, and the decoded sessions."""
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        rows = [cursor.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables]  # noqa: S608
    return str(rows) + str([session.get_decoded() for session in Session.objects.all()])


@both
def test_a_generated_key_is_saved_and_shown_once(tunnel, page, headers):
    response = post(page, "generate-key", tunnel, headers)

    key = the_key(tunnel)
    assert (response.status_code, key_in(response), len(key)) == (200, key, 24)
    assert "no-store" in response.headers["Cache-Control"]
    assert response.content.decode().count(key) == 1
    assert [str(view.author) for view in KeyReveal.objects.all()] == ["ada"]
    assert key not in page.get(reverse("tunnel", args=[tunnel.pk])).content.decode()
    assert key not in everything_stored()


def test_a_generated_key_marks_its_field_saved_and_updates_the_review(tunnel, page):
    response = post(page, "generate-key", tunnel, HTMX)

    assert words(response, "note-preshared_key") == "Saved"
    assert words(response, "pending").startswith("18 pending changes.")
    assert (
        part(response, "id_preshared_key").get("placeholder")
        == "Set \N{EN DASH} leave blank to keep"
    )
    assert part(response, "id_preshared_key").get("value") is None
    assert part(response, "key").get("hx-trigger") == "load delay:60s"


@both
def test_a_revealed_key_is_recorded_and_the_view_is_listed_for_all_users(
    with_key, owner, page, headers
):
    response = post(owner, "reveal-key", with_key, headers)

    assert (key_in(response), response.status_code) == (CANARY, 200)
    assert "no-store" in response.headers["Cache-Control"]
    assert [str(view.author) for view in KeyReveal.objects.all()] == ["olga"]
    later = page.get(reverse("tunnel", args=[with_key.pk]))
    assert "Viewed by olga, " in words(later, "key")
    assert CANARY not in later.content.decode()


@both
@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER])
def test_only_an_owner_can_reveal_the_key(with_key, account, headers, role):
    browser = browser_of("otto", account, role)

    response = post(browser, "reveal-key", with_key, headers)

    assert response.status_code == 404
    assert not KeyReveal.objects.exists()
    page = browser.get(reverse("tunnel", args=[with_key.pk]))
    assert "Show the key" not in words(page, "key")


def test_without_a_key_there_is_no_button_to_show_it(tunnel, owner):
    page = owner.get(reverse("tunnel", args=[tunnel.pk]))

    assert "Generate key" in words(page, "key")
    assert "Show the key" not in words(page, "key")


def test_an_owner_of_another_account_cannot_reveal_the_key(with_key, stranger):
    assert post(stranger, "reveal-key", with_key, HTMX).status_code == 404
    assert not KeyReveal.objects.exists()


def test_a_get_request_neither_reveals_nor_generates_a_key(with_key, owner):
    for name in ("reveal-key", "generate-key"):
        assert owner.get(reverse(name, args=[with_key.pk])).status_code == 405
    assert the_key(with_key) == CANARY


def test_a_revealed_key_can_be_hidden_and_the_page_hides_it_after_a_minute(with_key, owner):
    post(owner, "reveal-key", with_key, HTMX)

    hidden = owner.get(reverse("key", args=[with_key.pk]), headers=HTMX)

    assert key_in(hidden) == ""
    assert part(hidden, "key").get("hx-trigger") is None


def test_without_javascript_the_page_with_the_key_is_replaced_after_a_minute(with_key, owner):
    response = post(owner, "reveal-key", with_key, {})

    (meta,) = [e for e in read(response).iter("meta") if e.get("http-equiv") == "refresh"]
    assert meta.get("content") == f"60; url={reverse('tunnel', args=[with_key.pk])}"


def test_a_revealed_key_is_in_no_log_no_message_and_no_report(
    with_key, owner, caplog, mailoutbox, settings
):
    caplog.set_level(logging.DEBUG)
    settings.ADMINS = [("Provider", "provider@example.com")]
    post(owner, "reveal-key", with_key, {})
    post(owner, "generate-key", with_key, {})

    assert CANARY not in caplog.text + everything_stored()
    assert mailoutbox == []


def test_the_report_of_a_failed_page_contains_no_key(with_key, owner, monkeypatch, settings):
    reports = []

    def fail(*_: object) -> None:
        raise RuntimeError("the page is gone")

    monkeypatch.setattr(preshared_key, "render_tunnel_page", fail)
    try:
        owner.post(reverse("reveal-key", args=[with_key.pk]))
    except RuntimeError as error:
        reporter = ExceptionReporter(None, RuntimeError, error, error.__traceback__)
        reports = [reporter.get_traceback_text(), reporter.get_traceback_html()]

    assert len(reports) == 2
    assert "PresharedKeySection" in "".join(reports)
    assert CANARY not in "".join(reports)


@both
def test_no_key_is_generated_during_an_apply(second_tunnel, user, page, headers):
    services.apply(second_tunnel, user)

    response = post(page, "generate-key", second_tunnel, headers)

    assert response.status_code == 423
    assert services.tunnel_lock.LOCKED.format(number=1) in words(response, "key")
    assert (the_key(second_tunnel), key_in(response)) == ("second key", "")


def test_a_weak_key_is_saved_with_a_warning(tunnel, page):
    headers = {**HTMX, "HX-Trigger-Name": "preshared_key"}
    form = {**PHASE_ONE, "preshared_key": "short"}

    response = page.post(reverse("edit", args=[tunnel.pk]), form, headers=headers)

    assert (response.status_code, the_key(tunnel)) == (200, "short")
    assert "Weak key. The key is short." in words(response, "key")


def test_a_viewer_does_not_see_that_a_key_is_weak(tunnel, viewer, user):
    services.set_preshared_key(tunnel, "short", user)

    assert "Weak" not in words(viewer.get(reverse("tunnel", args=[tunnel.pk])), "key")
