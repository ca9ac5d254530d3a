"""Who gets which page: strangers none, viewers no button, forgers nothing."""

from __future__ import annotations

import os
import sys
from secrets import token_urlsafe
from subprocess import run

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from tests.html import read
from vpnportal.models import Revision, Subnet, Tunnel

LOOKING = (
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
    *("tunnel", "state", "status", "subnet", "answer", "history", "revision"),
    *("other-end", "other-end-file", "hand-over"),
)
CHANGING = (
    "edit",
    "add-remote-subnet",
    "remove-remote-subnet",
    "attach-subnet",
    "detach-subnet",
    "generate-key",
    "reveal-key",
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
# Routes with a page of their own, or about no tunnel in particular.
OTHERS = ("cancel", "several", "order")
WITH_SUBNET = ("subnet", "remove-remote-subnet", "detach-subnet")
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
    """Applied once, so that there is a revision to look at and to restore."""
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
    elif name in ("revision", "restore"):
        more = {"number": 1}
    return reverse(name, kwargs={"pk": tunnel.pk, **more})


def filled(tunnel: Tunnel) -> dict[str, object]:
    return {**FILLED, "tunnel": tunnel.pk}


def everything_about(tunnel: Tunnel) -> list[object]:
    kept = Tunnel.objects.filter(pk=tunnel.pk).values()[0]
    return [kept, list(tunnel.subnets.values()), tunnel.translations.count(), tunnel.latest()]


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_a_stranger_finds_nothing_on_any_route_and_changes_nothing(tunnel, stranger, headers):
    before = everything_about(tunnel)

    answers = [stranger.get(url_of(name, tunnel), headers=headers) for name in LOOKING]
    posts = (*CHANGING, "cancel", "several")
    answers += [
        stranger.post(url_of(name, tunnel), filled(tunnel), headers=headers) for name in posts
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert everything_about(tunnel) == before
    assert "ipsec001" not in stranger.get(reverse("tunnels")).content.decode()


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_a_viewer_looks_and_changes_nothing(tunnel, viewer, headers):
    before = everything_about(tunnel)

    looks = [viewer.get(url_of(name, tunnel), headers=headers, follow=True) for name in LOOKING]
    posts = (*CHANGING, *OTHERS)
    changes = [viewer.post(url_of(name, tunnel), filled(tunnel), headers=headers) for name in posts]

    assert {look.status_code for look in looks} == {200}
    assert {change.status_code for change in changes} == {404}
    assert everything_about(tunnel) == before


def test_a_viewers_page_has_no_control_that_works(tunnel, viewer):
    subnet = Subnet.objects.get(network="10.1.255.92/30")
    page = read(viewer.get(reverse("tunnel", args=[tunnel.pk]), {"open": subnet.pk}))

    controls = [
        e for e in page.iter() if e.tag in ("input", "select") and e.get("type") != "hidden"
    ]
    posts = [e.get("action") for e in page.iter("form") if e.get("method") == "post"]
    shown = (e for e in page.iter("button") if "hidden" not in e.attrib)
    buttons = ["".join(e.itertext()).strip() for e in shown]

    assert len(controls) > 10
    assert [e.get("name") for e in controls if "disabled" not in e.attrib] == []
    assert not any("/apply/" in action or "/translations/" in action for action in posts)
    assert buttons == ["Sign out", "10.1.255.92/30"]


@pytest.mark.parametrize("name", (*CHANGING, "several"))
def test_looking_never_changes_anything(tunnel, page, name):
    before = everything_about(tunnel)

    assert page.get(url_of(name, tunnel)).status_code == 405
    assert everything_about(tunnel) == before


@pytest.mark.parametrize("name", (*LOOKING, *CHANGING, *OTHERS, "news"))
def test_unknown_methods_are_refused(tunnel, page, name):
    url = url_of(name, tunnel)

    assert {page.put(url).status_code, page.delete(url).status_code} == {405}


def test_signing_out_by_a_link_is_refused(page):
    assert page.get(reverse("logout")).status_code == 405


@pytest.mark.parametrize("name", (*CHANGING, *OTHERS))
def test_a_forged_form_is_refused_with_a_page_that_says_what_to_do(tunnel, user, name):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    before = everything_about(tunnel)

    answer = browser.post(url_of(name, tunnel), FILLED)

    assert answer.status_code == 403
    assert "".join(next(read(answer).iter("h1")).itertext()) == "Session expired"
    assert everything_about(tunnel) == before


@pytest.mark.parametrize("name", (*LOOKING, *CHANGING, *OTHERS, "news"))
def test_nobody_gets_past_the_sign_in_page(tunnel, client, name):
    url = url_of(name, tunnel)

    assert client.get(url).headers["Location"] == f"/sign-in/?next={url}"
    assert client.post(url, FILLED).headers["Location"] == f"/sign-in/?next={url}"


def test_a_page_whose_session_is_over_loads_anew_instead_of_showing_a_sign_in_in_a_note(
    tunnel, client
):
    answer = client.get(url_of("state", tunnel), headers=HTMX, follow=True)

    assert answer.headers["HX-Refresh"] == "true"
    assert answer.content == b""


def test_every_answer_forbids_foreign_and_inline_code(tunnel, page):
    answers = [page.get("/sign-in/"), page.get("/tunnels/"), page.get("/nothing-here/")]
    answers += [page.get(url_of(name, tunnel)) for name in LOOKING]

    for answer in answers:
        policy = dict(
            directive.strip().split(" ", 1)
            for directive in answer.headers["Content-Security-Policy"].split(";")
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


def test_numbers_that_no_database_holds_are_nothing(page):
    assert page.get(f"/tunnels/{10**30}/").status_code == 404
    assert page.get("/tunnels/", {"open": "9" * 30}).status_code == 200


def test_the_default_settings_pass_djangos_own_check_for_deployment(tmp_path):
    environ = {k: v for k, v in os.environ.items() if not k.startswith("VPNPORTAL_")}
    environ |= {"VPNPORTAL_STATE": str(tmp_path), "VPNPORTAL_SECRET_KEY": token_urlsafe(50)}
    check = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]

    done = run(check, cwd=settings.ROOT, env=environ, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
