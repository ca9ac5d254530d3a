"""The preshared key is made here, shown to those who may see it, and nowhere else."""

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
def kept(tunnel, user) -> Tunnel:
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


def shown(answer) -> str:
    """The key that a page shows, or ""."""
    return "".join("".join(e.itertext()) for e in read(answer).iter("code"))


def the_key(tunnel: Tunnel) -> str:
    return Tunnel.objects.get(pk=tunnel.pk).draft().preshared_key


def everything_kept() -> str:
    """Every row of the database but for the session's own, which is decoded."""
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        rows = [cursor.execute(f'SELECT * FROM "{one}"').fetchall() for one in tables]  # noqa: S608
    return str(rows) + str([one.get_decoded() for one in Session.objects.all()])


@both
def test_a_generated_key_is_saved_and_shown_this_once(tunnel, page, headers):
    answer = post(page, "generate-key", tunnel, headers)

    key = the_key(tunnel)
    assert (answer.status_code, shown(answer), len(key)) == (200, key, 24)
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.content.decode().count(key) == 1
    assert [str(one.author) for one in KeyReveal.objects.all()] == ["ada"]
    assert key not in page.get(reverse("tunnel", args=[tunnel.pk])).content.decode()
    assert key not in everything_kept()


def test_a_generated_key_comes_with_the_count_of_changes_and_marks_its_field_saved(tunnel, page):
    answer = post(page, "generate-key", tunnel, HTMX)

    assert words(answer, "note-preshared_key") == "Saved"
    assert words(answer, "pending").startswith("17 changes not applied")
    assert part(answer, "id_preshared_key").get("placeholder") == "A key is kept. Empty keeps it."
    assert part(answer, "id_preshared_key").get("value") is None
    assert part(answer, "key").get("hx-trigger") == "load delay:60s"


@both
def test_an_owner_is_shown_the_key_and_everybody_sees_that_they_were(kept, owner, page, headers):
    answer = post(owner, "reveal-key", kept, headers)

    assert (shown(answer), answer.status_code) == (CANARY, 200)
    assert "no-store" in answer.headers["Cache-Control"]
    assert [str(one.author) for one in KeyReveal.objects.all()] == ["olga"]
    later = page.get(reverse("tunnel", args=[kept.pk]))
    assert "shown to olga, " in words(later, "key")
    assert CANARY not in later.content.decode()


@both
@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER])
def test_nobody_but_an_owner_is_shown_the_key(kept, account, headers, role):
    browser = browser_of("otto", account, role)

    answer = post(browser, "reveal-key", kept, headers)

    assert answer.status_code == 404
    assert not KeyReveal.objects.exists()
    page = browser.get(reverse("tunnel", args=[kept.pk]))
    assert "Show the key" not in words(page, "key")


def test_where_no_key_is_kept_there_is_none_to_show(tunnel, owner):
    page = owner.get(reverse("tunnel", args=[tunnel.pk]))

    assert "Generate key" in words(page, "key")
    assert "Show the key" not in words(page, "key")


def test_an_owner_of_another_account_is_shown_nothing(kept, stranger):
    assert post(stranger, "reveal-key", kept, HTMX).status_code == 404
    assert not KeyReveal.objects.exists()


def test_a_key_is_never_shown_by_a_mere_look(kept, owner):
    for name in ("reveal-key", "generate-key"):
        assert owner.get(reverse(name, args=[kept.pk])).status_code == 405
    assert the_key(kept) == CANARY


def test_a_shown_key_is_hidden_by_its_button_and_by_itself(kept, owner):
    post(owner, "reveal-key", kept, HTMX)

    hidden = owner.get(reverse("key", args=[kept.pk]), headers=HTMX)

    assert shown(hidden) == ""
    assert part(hidden, "key").get("hx-trigger") is None


def test_without_javascript_the_page_with_the_key_leaves_by_itself(kept, owner):
    answer = post(owner, "reveal-key", kept, {})

    (meta,) = [e for e in read(answer).iter("meta") if e.get("http-equiv") == "refresh"]
    assert meta.get("content") == f"60; url={reverse('tunnel', args=[kept.pk])}"


def test_a_shown_key_is_in_no_log_no_message_and_no_report(
    kept, owner, caplog, mailoutbox, settings
):
    caplog.set_level(logging.DEBUG)
    settings.ADMINS = [("Provider", "provider@example.com")]
    post(owner, "reveal-key", kept, {})
    post(owner, "generate-key", kept, {})

    assert CANARY not in caplog.text + everything_kept()
    assert mailoutbox == []


def test_a_page_that_fails_with_the_key_in_hand_reports_no_key(kept, owner, monkeypatch, settings):
    said = []

    def fail(request, tunnel, **shown):
        raise RuntimeError("the page is gone")

    monkeypatch.setattr(preshared_key, "tunnel_page", fail)
    try:
        owner.post(reverse("reveal-key", args=[kept.pk]))
    except RuntimeError as error:
        reporter = ExceptionReporter(None, RuntimeError, error, error.__traceback__)
        said = [reporter.get_traceback_text(), reporter.get_traceback_html()]

    assert len(said) == 2
    assert CANARY not in "".join(said)


@both
def test_while_a_tunnel_is_applied_no_key_is_made(second_tunnel, user, page, headers):
    services.apply(second_tunnel, user)

    answer = post(page, "generate-key", second_tunnel, headers)

    assert answer.status_code == 423
    assert services.tunnel_lock.LOCKED.format(number=1) in words(answer, "key")
    assert (the_key(second_tunnel), shown(answer)) == ("second key", "")


def test_a_weak_key_is_saved_and_warned_of(tunnel, page):
    headers = {**HTMX, "HX-Trigger-Name": "preshared_key"}
    form = {**PHASE_ONE, "preshared_key": "short"}

    answer = page.post(reverse("edit", args=[tunnel.pk]), form, headers=headers)

    assert (answer.status_code, the_key(tunnel)) == (200, "short")
    assert "Weak key. The key is short." in words(answer, "key")


def test_a_viewer_is_not_told_how_weak_a_key_is(tunnel, viewer, user):
    services.set_preshared_key(tunnel, "short", user)

    assert "Weak" not in words(viewer.get(reverse("tunnel", args=[tunnel.pk])), "key")
