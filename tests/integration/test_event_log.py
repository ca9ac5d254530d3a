"""Events: the actor and the change, written with the change or not at all."""

from __future__ import annotations

import logging

import pytest
from django.db import transaction
from django.db.transaction import TransactionManagementError
from django.test import RequestFactory

from vpnportal import request_context
from vpnportal.logs import RequestIdFilter
from vpnportal.models import ApiKey, Event, record_event
from vpnportal.request_context import RequestIds


def test_an_event_is_written_only_in_a_transaction(transactional_db):
    with pytest.raises(TransactionManagementError):
        record_event(Event.Action.TUNNEL_APPLIED)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        record_event(Event.Action.TUNNEL_APPLIED)
        raise ZeroDivisionError
    assert not Event.objects.exists()


def test_an_event_names_its_tunnel_account_and_concentrator(tunnel, user):
    record_event("tunnel.applied", actor=user, tunnel=tunnel, after={"revision": 3})
    event = Event.objects.get()
    assert (event.tunnel_id, event.tunnel_name) == (tunnel.pk, "ipsec001")
    assert (event.account_id, event.account_name) == (tunnel.account_id, "Example account")
    assert event.concentrator_name == "hou02-vpn01"
    assert (event.actor_kind, event.actor_id, event.actor_name) == ("user", user.pk, "ada")
    assert event.after == {"revision": 3}


def test_an_api_key_is_named_beside_its_user(account, user):
    key = ApiKey.objects.create(account=account, user=user, name="terraform", digest="d")

    def view(request):
        request_context.set_actor(key)
        record_event("tunnel.applied", actor=user)
        return {}

    response = RequestIds(view)(RequestFactory().get("/", REMOTE_ADDR="192.0.2.7"))
    event = Event.objects.get()
    assert (event.actor_kind, event.actor_name, event.api_key_name) == (
        "api_key",
        "ada",
        "terraform",
    )
    assert (event.request_id, event.client_address) == (response["X-Request-ID"], "192.0.2.7")
    assert request_context.current().request_id == ""


def test_an_event_has_no_secret_and_no_long_value(user):
    record_event(
        "tunnel.edited",
        actor="vpnportal test",
        before={"preshared_key": "old"},
        after={"notes": "n\0" * 400, "rate": 0.5, "rows": list(range(60)), "password": "x"},
    )
    event = Event.objects.get()
    assert event.before == {"preshared_key": "(secret)"}
    assert event.after["password"] == "(secret)"
    assert len(event.after["notes"]) == 300
    assert event.after["rate"] == "0.5"
    assert event.after["rows"][-1] == "… 10 more"


def test_each_answer_and_log_line_has_an_id_that_no_client_chose(page):
    first = page.get("/tunnels/", headers={"X-Request-ID": "mine"})
    second = page.get("/tunnels/")
    assert len(first["X-Request-ID"]) == 24
    assert first["X-Request-ID"] not in ("mine", second["X-Request-ID"])
    record = logging.makeLogRecord({})

    def view(request):
        RequestIdFilter().filter(record)
        return {}

    response = RequestIds(view)(RequestFactory().get("/"))
    assert record.request == f"[{response['X-Request-ID']}] "
