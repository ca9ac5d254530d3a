"""The monitor's requests to its queue: none is lost, and none floods the queue."""

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
    tunnels: list[int] = []
    monkeypatch.setattr(
        converge_requests.tasks, "request_converge", lambda _, tunnel: tunnels.append(tunnel)
    )
    return tunnels


def test_a_request_that_comes_too_soon_is_sent_later(concentrator, clock, sent):
    requests = ConvergeRequests(concentrator)

    requests.request_follow_up(7, SaStatus.OLDER)
    requests.request_follow_up(7, SaStatus.DOWN)
    assert sent == [7]
    clock[0] += 2.1
    requests.send_due()

    assert sent == [7, 7]


def test_requests_for_a_flapping_tunnel_become_rare(concentrator, clock, sent):
    requests = ConvergeRequests(concentrator)
    for _ in range(600):
        requests.request_follow_up(7, SaStatus.DOWN)
        requests.send_due()
        clock[0] += 1.0

    assert len(sent) < 20


def test_a_tunnel_that_was_up_is_requested_at_once_when_it_goes_down(concentrator, clock, sent):
    requests = ConvergeRequests(concentrator)
    for _ in range(100):
        requests.request_follow_up(7, SaStatus.DOWN)
        clock[0] += 1.0
    before = len(sent)

    requests.request_follow_up(7, SaStatus.UP)
    clock[0] += 1.0
    requests.request_follow_up(7, SaStatus.DOWN)

    assert len(sent) == before + 1


def test_a_request_does_not_wait_for_an_unreachable_broker(
    concentrator, tmp_path, django_capture_on_commit_callbacks, caplog
):
    unreachable = app.connection_for_write(f"redis+socket://{tmp_path}/missing.sock")
    started_at = time.monotonic()

    with django_capture_on_commit_callbacks(execute=True):
        tasks.request_converge(concentrator, connection=unreachable)

    assert time.monotonic() - started_at < 1
    assert "No such file or directory" in caplog.text
