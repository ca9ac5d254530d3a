"""A preshared key is in no page, and no text that a person entered becomes code."""

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
    """Everything that can be shown, applied once, changed since."""
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


def looks(page, tunnel: Tunnel) -> list:
    nat = tunnel.subnets.get(kind=Subnet.Kind.STATIC_NAT).pk
    one = reverse("tunnel", args=[tunnel.pk])
    urls = [reverse("tunnels"), one, f"{one}?open={nat}", f"{one}state/", f"{one}nothing/"]
    return [page.get(url) for url in urls] + [page.get(f"{one}subnets/{nat}/", headers=HTMX)]


def edits(page, tunnel: Tunnel) -> list:
    """Answers to a form that carries the key: kept, refused, and beside something refused."""
    url = reverse("edit", args=[tunnel.pk])
    form = {**PHASE_ONE, "preshared_key": CANARY}
    answers = [page.post(url, form, follow=True)]
    answers += [page.post(url, {**form, "phase_one_keylife": CANARY})]
    answers += [page.post(url, {**form, "preshared_key": f"{CANARY}\n"})]
    for field in ("preshared_key", "phase_one_group", "nonsense"):
        answers.append(page.post(url, form, headers={**HTMX, "HX-Trigger-Name": field}))
    return [*answers, page.post(reverse("apply", args=[tunnel.pk]), follow=True)]


def test_a_preshared_key_is_in_no_page_and_no_partial(filled, page):
    answers = looks(page, filled) + edits(page, filled) + looks(page, filled)

    # The second form was refused for a key life that reads like the key: typed text stays.
    shown = [a for a in answers if CANARY in a.content.decode()]
    assert [a.request["REQUEST_METHOD"] for a in shown] == ["POST"]
    fields = [e for e in read(shown[0]).iter() if CANARY in "".join(e.attrib.values())]
    assert [e.get("name") for e in fields] == ["phase_one_keylife"]


def test_a_preshared_key_is_in_no_error_page_no_log_and_no_report_to_the_provider(
    filled, user, monkeypatch, settings, caplog, mailoutbox
):
    def fail(*_: object) -> None:
        raise RuntimeError("the database is gone")

    settings.ADMINS = [("Provider", "provider@example.com")]
    browser = Client(raise_request_exception=False)
    browser.force_login(user)
    monkeypatch.setattr(services, "set_preshared_key", fail)

    answer = browser.post(reverse("edit", args=[filled.pk]), {**PHASE_ONE, "preshared_key": CANARY})

    assert answer.status_code == 500
    assert CANARY not in answer.content.decode()
    assert CANARY not in caplog.text
    assert [CANARY in report.body for report in mailoutbox] == [False]


def test_text_that_looks_like_code_stays_text(filled, page):
    for answer in looks(page, filled) + edits(page, filled):
        elements = list(read(answer).iter())
        assert [e for e in elements if e.tag == "script" and not e.get("src")] == []
        assert [e for e in elements if e.tag == "img" or "onerror" in e.attrib] == []


def test_the_key_field_is_a_password_that_is_never_filled(filled, page):
    answer = page.get(reverse("tunnel", args=[filled.pk]))
    (field,) = [e for e in read(answer).iter("input") if e.get("name") == "preshared_key"]

    assert (field.get("type"), field.get("autocomplete"), field.get("value")) == (
        "password",
        "off",
        None,
    )
    assert field.get("placeholder") == "A key is kept. Empty keeps it."
