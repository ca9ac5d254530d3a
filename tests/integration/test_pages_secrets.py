"""No page contains a preshared key, and no entered text becomes HTML or script."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from django.test import Client
from django.urls import reverse

from tests.form_data import PHASE_ONE
from tests.html import read
from vpnportal import services
from vpnportal.models import Revision, Subnet, Tunnel

CANARY = "canary-in-the-coal-mine-7f3a"
SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def filled(second_tunnel, user) -> Tunnel:
    """Return a tunnel with everything that a page can show, applied once and changed since."""
    tunnel = second_tunnel
    nat = Subnet.objects.create(
        account=tunnel.account, kind=Subnet.Kind.STATIC_NAT, network=IPv4Network("10.1.254.0/30")
    )
    tunnel.subnets.add(nat)
    rows = [services.TranslationRow(IPv4Address("10.1.254.1"), IPv4Address("192.168.20.1"), SCRIPT)]
    services.set_translations(tunnel, rows, user)
    services.set_preshared_key(tunnel, f"old {CANARY}", user)
    services.edit(tunnel, "friendly_name", SCRIPT, user)
    revision = services.apply(tunnel, user)
    steps = [{"at": "2026-01-01T10:00:00", "text": SCRIPT, "ok": False}]
    Revision.objects.filter(pk=revision.pk).update(
        outcome="live", finished_at=revision.created_at, steps=steps, reason=SCRIPT
    )
    services.set_preshared_key(tunnel, CANARY, user)
    return Tunnel.objects.get(pk=tunnel.pk)


def all_pages(page, tunnel: Tunnel) -> list:
    nat = tunnel.subnets.get(kind=Subnet.Kind.STATIC_NAT).pk
    url = reverse("tunnel", args=[tunnel.pk])
    urls = [reverse("tunnels"), url, f"{url}?open={nat}", f"{url}state/", f"{url}nothing/"]
    return [page.get(url) for url in urls] + [page.get(f"{url}subnets/{nat}/", headers=HTMX)]


def all_edits(page, tunnel: Tunnel) -> list:
    """Return responses to forms with the key: saved, refused, or next to a refused field."""
    url = reverse("edit", args=[tunnel.pk])
    form = {**PHASE_ONE, "preshared_key": CANARY}
    responses = [page.post(url, form, follow=True)]
    responses += [page.post(url, {**form, "phase_one_keylife": CANARY})]
    responses += [page.post(url, {**form, "preshared_key": f"{CANARY}\n"})]
    for field in ("preshared_key", "phase_one_group", "nonsense"):
        responses.append(page.post(url, form, headers={**HTMX, "HX-Trigger-Name": field}))
    return [*responses, page.post(reverse("apply", args=[tunnel.pk]), follow=True)]


def test_no_page_and_no_fragment_contains_the_preshared_key(filled, page):
    responses = all_pages(page, filled) + all_edits(page, filled) + all_pages(page, filled)

    # One form has the text of the key as its key life: refused text stays on the page.
    with_key = [response for response in responses if CANARY in response.content.decode()]
    assert [response.request["REQUEST_METHOD"] for response in with_key] == ["POST"]
    fields = [e for e in read(with_key[0]).iter() if CANARY in "".join(e.attrib.values())]
    assert [field.get("name") for field in fields] == ["phase_one_keylife"]


def test_no_error_page_no_log_and_no_report_contains_the_preshared_key(
    filled, user, monkeypatch, settings, caplog, mailoutbox
):
    def fail(*_: object) -> None:
        raise RuntimeError("the database is gone")

    settings.ADMINS = [("Provider", "provider@example.com")]
    browser = Client(raise_request_exception=False)
    browser.force_login(user)
    monkeypatch.setattr(services, "set_preshared_key", fail)

    response = browser.post(
        reverse("edit", args=[filled.pk]), {**PHASE_ONE, "preshared_key": CANARY}
    )

    assert response.status_code == 500
    assert CANARY not in response.content.decode()
    assert CANARY not in caplog.text
    assert [CANARY in report.body for report in mailoutbox] == [False]


def test_entered_html_stays_text(filled, page):
    for response in all_pages(page, filled) + all_edits(page, filled):
        elements = list(read(response).iter())
        assert [e for e in elements if e.tag == "script" and not e.get("src")] == []
        assert [e for e in elements if e.tag == "img" or "onerror" in e.attrib] == []


def test_the_key_field_is_a_password_input_without_a_value(filled, page):
    response = page.get(reverse("tunnel", args=[filled.pk]))
    (field,) = [e for e in read(response).iter("input") if e.get("name") == "preshared_key"]

    assert (field.get("type"), field.get("autocomplete"), field.get("value")) == (
        "password",
        "off",
        None,
    )
    assert field.get("placeholder") == "Set \N{EN DASH} leave blank to keep"
