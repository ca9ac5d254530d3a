"""The probes of a service manager, without host name, TLS and session."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.db import OperationalError
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from vpnportal.web import probes

pytestmark = pytest.mark.django_db


@pytest.fixture
def machine(settings) -> Client:
    """Return a program on the machine itself, with a host name that the site does not have."""
    settings.SECURE_SSL_REDIRECT = True
    return Client(headers={"host": "unix-socket"})


def answer(client: Client, path: str, **headers: str) -> tuple[int, str]:
    response = client.get(path, headers=headers)
    return response.status_code, response.content.decode()


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_probe_answers_without_redirect_session_or_cookie(machine, path: str):
    response = machine.get(path)

    assert (response.status_code, response.content) == (200, b"ok\n")
    assert not response.cookies


def test_it_is_healthy_and_not_ready_without_the_database(machine, monkeypatch):
    def away() -> None:
        raise OperationalError("connection to 10.77.0.10 refused for the user vpnportal")

    monkeypatch.setattr(probes.connection, "cursor", away)

    assert answer(machine, "/healthz") == (200, "ok\n")
    assert answer(machine, "/readyz") == (503, "The database does not answer.\n")


def test_it_is_not_ready_with_an_older_schema_until_it_is_migrated(machine):
    recorder = MigrationRecorder(probes.connection)
    newest = MigrationLoader(probes.connection).graph.leaf_nodes("vpnportal")[0]
    recorder.record_unapplied(*newest)
    text = "The database has an older schema than the code: run `manage.py migrate`.\n"

    assert answer(machine, "/readyz") == (503, text)
    recorder.record_applied(*newest)
    assert answer(machine, "/readyz") == (200, "ok\n")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_nobody_reaches_a_probe_through_the_proxy(client, path: str):
    status, text = answer(client, path, **{"x-forwarded-for": "198.51.100.7", "host": "localhost"})

    assert status in (302, 404)
    assert "ok\n" not in text.splitlines(keepends=True)[:1]


def test_the_probes_are_before_all_other_middleware():
    # Only the headers of all responses are outside.
    assert settings.MIDDLEWARE[:2] == [
        "vpnportal.http.CommonHeaders",
        "vpnportal.web.probes.Probes",
    ]
