"""Full disk, or a lock that stays: the page says that nothing is written and keeps the input."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection
from django.urls import reverse

from tests.form_data import PHASE_ONE
from tests.html import typed, words
from tests.integration.conftest import connect_beside
from vpnportal.models import Tunnel
from vpnportal.services.errors import CANNOT_WRITE


@pytest.fixture
def full(monkeypatch):
    """Let every update of a row fail as with SQLite on a full disk."""

    def update(*_, **__):
        raise OperationalError("database or disk is full")

    monkeypatch.setattr("django.db.models.query.QuerySet.update", update)


@pytest.mark.sqlite
@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true", "HX-Trigger-Name": "remote_peer"}])
def test_an_entry_that_cannot_be_saved_stays_in_its_field(tunnel, page, full, headers):
    form = {**PHASE_ONE, "remote_peer": "203.0.113.2"}

    answer = page.post(reverse("edit", args=[tunnel.pk]), form, headers=headers)

    assert answer.status_code == 422
    assert words(answer, "note-remote_peer") == CANNOT_WRITE
    assert headers or typed(answer, "remote_peer") == "203.0.113.2"
    assert Tunnel.objects.get().remote_peer is None


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_an_entry_that_waits_too_long_for_another_process_is_refused(tunnel, page):
    form = {**PHASE_ONE, "remote_peer": "203.0.113.2"}
    with connection.cursor() as cursor, connect_beside() as other:
        cursor.execute("SET lock_timeout = '100ms'")
        other.execute("SELECT FROM vpnportal_tunnel FOR UPDATE")

        answer = page.post(reverse("edit", args=[tunnel.pk]), form)

        cursor.execute("SET lock_timeout = DEFAULT")
    assert (answer.status_code, words(answer, "note-remote_peer")) == (422, CANNOT_WRITE)
    assert Tunnel.objects.get().remote_peer is None
