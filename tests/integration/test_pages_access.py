"""Access to the pages: strangers get none, viewers cannot change anything, forged forms fail."""

from __future__ import annotations

import os
import re
import sys
from secrets import token_urlsafe
from subprocess import run

import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.test import Client
from django.urls import get_resolver, reverse

from tests.html import read
from vpnportal.models import Revision, Subnet, Tunnel
from vpnportal.web.accounts.routes import ROUTES

READING = (
    "tunnel",
    "state",
    "look",
    "subnet",
    "standing",
    "export-translations",
    "answer",
    "key",
    "history",
    "revision",
    "other-end",
    "other-end-file",
    "hand-over",
    "status",
)
CHANGING = (
    "edit",
    "add-remote-subnet",
    "remove-remote-subnet",
    "attach-subnet",
    "detach-subnet",
    "generate-key",
    "reveal-key",
    "begin-rotation",
    "end-rotation",
    "cancel-rotation",
    "translations",
    "preview-translations",
    "import-translations",
    "ask",
    "fill-in",
    "discard",
    "put-back",
    "undo",
    "restore",
    "apply",
    "command",
)
# Routes with GET and POST, or without a tunnel in the URL.
OTHERS = ("cancel", "several", "order")
WITH_SUBNET = ("subnet", "remove-remote-subnet", "detach-subnet")
# The routes of users: the status without a session, and that of a signed-in user.
OF_USERS = {
    "account_login": (200, 302),
    "mfa_authenticate": (302, 302),
    "mfa_login_webauthn": (302, 302),
    "account_inactive": (200, 200),
    "account_reset_password": (200, 200),
    "account_reset_password_done": (200, 200),
    "account_reset_password_from_key_done": (200, 200),
    "account_reset_password_from_key": (200, 200),
    "account_logout": (405, 405),
    "profile": (302, 200),
    "account_change_password": (302, 200),
    "password-changed": (302, 302),
    "account_email": (302, 200),
    "account_confirm_email": (200, 200),
    "account_reauthenticate": (302, 200),
    # These two are for users who have the factor; others get to the password.
    "mfa_reauthenticate": (302, 302),
    "mfa_reauthenticate_webauthn": (302, 302),
    "mfa_index": (302, 200),
    "mfa_activate_totp": (302, 200),
    "mfa_deactivate_totp": (302, 404),
    "mfa_view_recovery_codes": (302, 404),
    "mfa_generate_recovery_codes": (302, 200),
    "mfa_list_webauthn": (302, 200),
    "mfa_add_webauthn": (302, 200),
    "mfa_edit_webauthn": (302, 404),
    "mfa_remove_webauthn": (302, 404),
    "sessions": (302, 200),
    "end-session": (302, 405),
    "end-all-sessions": (302, 405),
}
VALUES = {"uidb36": "1", "key": "no-such-key", "pk": "1"}
HTMX = {"HX-Request": "true", "HX-Trigger-Name": "friendly_name"}
FILLED = {
    "fieldset": "general",
    "friendly_name": "changed",
    "do": "disconnect",
    "name": "ipsec001",
    "ip": "192.168.10.0",
    "cidr": "24",
    "customer-10.1.255.92": "192.168.10.15",
    "subnet": "1",
}


@pytest.fixture
def tunnel(tunnel: Tunnel) -> Tunnel:
    """Return the example with a live revision, which can be shown and restored."""
    tunnel.remote_peer = "203.0.113.2"
    revision = Revision.next_for(tunnel, tunnel.draft(), None)
    revision.outcome = Revision.Outcome.LIVE
    revision.save()
    return tunnel


def url_of(name: str, tunnel: Tunnel) -> str:
    subnet = Subnet.objects.get(network="10.1.255.92/30").pk
    if name in ("several", "order", "news"):
        return reverse(name)
    more: dict[str, object] = {}
    if name in WITH_SUBNET:
        more = {"subnet": subnet}
    elif name in ("revision", "restore"):
        more = {"number": 1}
    elif name == "other-end-file":
        more = {"slug": "strongswan"}
    return reverse(name, kwargs={"pk": tunnel.pk, **more})


def filled(tunnel: Tunnel) -> dict[str, object]:
    return {**FILLED, "tunnel": tunnel.pk}


def everything_about(tunnel: Tunnel) -> list[object]:
    columns = Tunnel.objects.filter(pk=tunnel.pk).values()[0]
    return [columns, list(tunnel.subnets.values()), tunnel.translations.count(), tunnel.latest()]


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_a_stranger_gets_404_on_every_route_and_changes_nothing(tunnel, stranger, headers):
    before = everything_about(tunnel)

    responses = [stranger.get(url_of(name, tunnel), headers=headers) for name in READING]
    posts = (*CHANGING, "cancel", "several")
    responses += [
        stranger.post(url_of(name, tunnel), filled(tunnel), headers=headers) for name in posts
    ]

    assert {response.status_code for response in responses} == {404}
    assert everything_about(tunnel) == before
    assert "ipsec001" not in stranger.get(reverse("tunnels")).content.decode()


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_a_viewer_can_read_every_page_and_change_nothing(tunnel, viewer, headers):
    before = everything_about(tunnel)

    pages = [viewer.get(url_of(name, tunnel), headers=headers, follow=True) for name in READING]
    posts = (*CHANGING, *OTHERS)
    changes = [viewer.post(url_of(name, tunnel), filled(tunnel), headers=headers) for name in posts]

    assert {response.status_code for response in pages} == {200}
    assert {response.status_code for response in changes} == {404}
    assert everything_about(tunnel) == before


def test_the_page_of_a_viewer_has_no_enabled_control(tunnel, viewer):
    subnet = Subnet.objects.get(network="10.1.255.92/30")
    page = read(viewer.get(reverse("tunnel", args=[tunnel.pk]), {"open": subnet.pk}))

    controls = [
        e for e in page.iter() if e.tag in ("input", "select") and e.get("type") != "hidden"
    ]
    posts = [e.get("action") for e in page.iter("form") if e.get("method") == "post"]
    visible = (e for e in page.iter("button") if "hidden" not in e.attrib)
    buttons = ["".join(e.itertext()).strip() for e in visible]

    assert len(controls) > 10
    assert [e.get("name") for e in controls if "disabled" not in e.attrib] == []
    assert not any("/apply/" in action or "/translations/" in action for action in posts)
    assert buttons == ["Sign out", "10.1.255.92/30"]


@pytest.mark.parametrize("name", (*CHANGING, "several"))
def test_a_get_request_never_changes_anything(tunnel, page, name):
    before = everything_about(tunnel)

    assert page.get(url_of(name, tunnel)).status_code == 405
    assert everything_about(tunnel) == before


@pytest.mark.parametrize("name", (*READING, *CHANGING, *OTHERS, "news"))
def test_unknown_methods_are_refused(tunnel, page, name):
    url = url_of(name, tunnel)

    assert {page.put(url).status_code, page.delete(url).status_code} == {405}


def test_signing_out_by_a_link_is_refused(page):
    assert page.get(reverse("account_logout")).status_code == 405


@pytest.mark.parametrize("name", (*CHANGING, *OTHERS))
def test_a_forged_form_is_refused_with_a_page_that_explains_it(tunnel, user, name):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    before = everything_about(tunnel)

    response = browser.post(url_of(name, tunnel), FILLED)

    assert response.status_code == 403
    assert "".join(next(read(response).iter("h1")).itertext()) == "Session expired"
    assert everything_about(tunnel) == before


@pytest.mark.parametrize("name", (*READING, *CHANGING, *OTHERS, "news"))
def test_every_route_redirects_to_the_sign_in_page(tunnel, client, name):
    url = url_of(name, tunnel)

    assert client.get(url).headers["Location"] == f"/sign-in/?next={url}"
    assert client.post(url, FILLED).headers["Location"] == f"/sign-in/?next={url}"


def test_a_poll_after_the_end_of_the_session_reloads_the_whole_page(tunnel, client):
    response = client.get(url_of("state", tunnel), headers=HTMX, follow=True)

    assert response.headers["HX-Refresh"] == "true"
    assert response.content == b""


def test_every_response_forbids_foreign_and_inline_code(tunnel, page):
    responses = [page.get("/sign-in/"), page.get("/tunnels/"), page.get("/nothing-here/")]
    responses += [page.get(url_of(name, tunnel)) for name in READING]

    for response in responses:
        policy = dict(
            directive.strip().split(" ", 1)
            for directive in response.headers["Content-Security-Policy"].split(";")
        )
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"


def test_no_page_has_inline_code_or_style(tunnel, page):
    pages = (url_of(name, tunnel) for name in ("tunnel", "other-end", "hand-over"))
    for url in ("/tunnels/", *pages):
        elements = list(read(page.get(url)).iter())
        attributes = {key for element in elements for key in element.attrib}
        inline = [e for e in elements if e.tag == "script" and not e.get("src")]

        assert inline == [e for e in elements if e.tag == "style"] == []
        assert not {a for a in attributes if a == "style" or a.startswith(("on", "hx-on"))}


def test_ids_beyond_the_range_of_the_database_are_not_found(page):
    assert page.get(f"/tunnels/{10**30}/").status_code == 404
    assert page.get("/tunnels/", {"open": "9" * 30}).status_code == 200


def test_the_default_settings_pass_the_deployment_check_of_django(tmp_path):
    environ = {k: v for k, v in os.environ.items() if not k.startswith("VPNPORTAL_")}
    environ |= {"VPNPORTAL_STATE": str(tmp_path), "VPNPORTAL_SECRET_KEY": token_urlsafe(50)}
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]

    check = run(
        command, cwd=settings.ROOT, env=environ, capture_output=True, text=True, check=False
    )

    assert (check.returncode, check.stderr) == (0, "")


def test_each_route_of_users_is_open_or_closed_as_the_table_says(page, bob, settings):
    settings.MAIL_URL = "smtp://localhost"
    # A factor of another user is not found.
    Authenticator.objects.create(pk=1, user=bob, type="webauthn", data={"name": "of bob"})
    found = {}
    for route in ROUTES:
        values = {name: VALUES[name] for name in route.pattern.regex.groupindex}
        url = reverse(route.name, kwargs=values)
        found[route.name] = (Client().get(url).status_code, page.get(url).status_code)

    assert found == OF_USERS


def test_no_other_route_of_django_allauth_exists():
    names = {name for name in get_resolver().reverse_dict if isinstance(name, str)}

    assert {n for n in names if re.match("account_|mfa_|usersessions_|social", n)} <= {*OF_USERS}
    assert not {name for name in names if "signup" in name}


def test_no_page_of_users_has_inline_code_or_style(page):
    own = [name for name, statuses in OF_USERS.items() if statuses == (302, 200)]
    pages = [page.get(reverse(name)) for name in own]
    pages.append(Client().get(reverse("account_login")))
    for response in pages:
        elements = list(read(response).iter())
        attributes = {key for element in elements for key in element.attrib}

        assert [e for e in elements if e.tag == "script" and not e.get("src")] == []
        assert [e for e in elements if e.tag == "style"] == []
        assert not {a for a in attributes if a == "style" or a.startswith(("on", "hx-on"))}
