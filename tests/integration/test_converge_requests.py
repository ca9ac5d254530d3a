"""What a watch asks its lane for: nothing is lost, and nobody fills the lane."""

from __future__ import annotations

import time

import pytest

from vpnportal import tasks
from vpnportal.celery import app
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.monitor import converge_requests
from vpnportal.monitor.converge_requests import ConvergeRequests

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [1_000.0]
    monkeypatch.setattr(converge_requests.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def sent(monkeypatch) -> list[int]:
    found: list[int] = []
    monkeypatch.setattr(
        converge_requests.tasks, "request_converge", lambda _, tunnel: found.append(tunnel)
    )
    return found


def test_a_request_that_comes_too_soon_waits_and_is_not_lost(concentrator, clock, sent):
    asked = ConvergeRequests(concentrator)

    asked.request_follow_up(7, SaStatus.OLDER)
    asked.request_follow_up(7, SaStatus.DOWN)
    assert sent == [7]
    clock[0] += 2.1
    asked.send_due()

    assert sent == [7, 7]


def test_a_tunnel_that_goes_up_and_down_for_ever_is_asked_for_ever_more_seldom(
    concentrator, clock, sent
):
    asked = ConvergeRequests(concentrator)
    for _ in range(600):
        asked.request_follow_up(7, SaStatus.DOWN)
        asked.send_due()
        clock[0] += 1.0

    assert len(sent) < 20


def test_a_tunnel_that_came_up_is_asked_for_at_once_when_it_goes_down(concentrator, clock, sent):
    asked = ConvergeRequests(concentrator)
    for _ in range(100):
        asked.request_follow_up(7, SaStatus.DOWN)
        clock[0] += 1.0
    before = len(sent)

    asked.request_follow_up(7, SaStatus.UP)
    clock[0] += 1.0
    asked.request_follow_up(7, SaStatus.DOWN)

    assert len(sent) == before + 1


def test_nobody_waits_for_a_broker_that_is_away(
    concentrator, tmp_path, django_capture_on_commit_callbacks, caplog
):
    away = app.connection_for_write(f"redis+socket://{tmp_path}/away.sock")
    began = time.monotonic()

    with django_capture_on_commit_callbacks(execute=True):
        tasks.request_converge(concentrator, connection=away)

    assert time.monotonic() - began < 1
    assert "No such file or directory" in caplog.text
