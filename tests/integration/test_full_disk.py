"""Full disk: the page explains that the database cannot be written and keeps the input."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from django.urls import reverse

from tests.form_data import PHASE_ONE
from tests.html import typed, words
from vpnportal.models import Tunnel
from vpnportal.services.errors import CANNOT_WRITE

pytestmark = pytest.mark.sqlite


@pytest.fixture
def full(monkeypatch):
    """Let every update of a row fail as with SQLite on a full disk."""

    def update(*_, **__):
        raise OperationalError("database or disk is full")

    monkeypatch.setattr("django.db.models.query.QuerySet.update", update)


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true", "HX-Trigger-Name": "remote_peer"}])
def test_an_entry_that_cannot_be_saved_stays_in_its_field(tunnel, page, full, headers):
    form = {**PHASE_ONE, "remote_peer": "203.0.113.2"}

    answer = page.post(reverse("edit", args=[tunnel.pk]), form, headers=headers)

    assert answer.status_code == 422
    assert words(answer, "note-remote_peer") == CANNOT_WRITE
    assert headers or typed(answer, "remote_peer") == "203.0.113.2"
    assert Tunnel.objects.get().remote_peer is None
