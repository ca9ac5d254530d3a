"""Apply answers with the outcome if the worker writes it in time, and never pretends it."""

from __future__ import annotations

import json
import shlex
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from tests.html import part, read, typed, words
from tests.integration.test_pages_bulk_actions import run_action
from vpnportal import services
from vpnportal.models import Concentrator, Revision, Tunnel
from vpnportal.reconciler import reconcile
from vpnportal.web.tunnel import outcome_wait

HTMX = {"HX-Request": "true"}
both = pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
LONGEST_WAIT_SECONDS = outcome_wait.LONGEST_WAIT_SECONDS
SECOND = timedelta(seconds=1)


@pytest.fixture
def during_the_wait(monkeypatch):
    """Return a function that lets an action happen between two looks for the outcome."""

    def let(action) -> None:
        monkeypatch.setattr(outcome_wait, "sleep", lambda seconds: action())
        # Only a test that fails takes this long.
        monkeypatch.setattr(outcome_wait, "LONGEST_WAIT_SECONDS", 60)

    return let


def apply(page, tunnel: Tunnel, headers: dict[str, str], **values: str):
    return page.post(reverse("apply", args=[tunnel.pk]), values, headers=headers, follow=True)


def result(response, headers: dict[str, str]) -> str:
    """Return the sentence about the apply, without the link to the state after it."""
    return words(response, "problems" if headers else "live").removesuffix(" State")


@both
def test_an_apply_whose_worker_answers_in_time_shows_that_it_is_live(
    ready, page, gateway, during_the_wait, headers
):
    during_the_wait(lambda: reconcile.converge(ready.concentrator_id, ready.pk))

    response = apply(page, ready, headers)

    assert result(response, headers) == "Revision 1 is live."
    assert "Revision 1 applied" in words(response, "state")
    assert "being applied" not in response.content.decode()
    assert words(response, "locked") == ""
    assert part(response, "state").get("hx-trigger") == "load delay:80ms, every 300ms"


@both
def test_a_refusal_of_charon_is_shown_at_once(ready, page, gateway, during_the_wait, headers):
    gateway.load_refusals[f"ctx{ready.pk}"] = "invalid value for: proposals"
    during_the_wait(lambda: reconcile.converge(ready.concentrator_id, ready.pk))

    response = apply(page, ready, headers)

    assert result(response, headers).startswith("Revision 1 failed. The concentrator refused")
    assert "invalid value for: proposals" in words(response, "state")
    assert "Failed" in words(response, "state-title")


@both
def test_an_outcome_without_a_sentence_of_its_own_is_named(ready, page, during_the_wait, headers):
    def replace() -> None:
        Revision.objects.update(outcome="replaced", finished_at=timezone.now())

    during_the_wait(replace)

    assert result(apply(page, ready, headers), headers) == "Revision 1: Replaced."


@both
def test_without_a_worker_the_answer_says_after_a_moment_that_the_apply_is_on_its_way(
    ready, page, headers, monkeypatch
):
    monkeypatch.setattr(outcome_wait, "LONGEST_WAIT_SECONDS", LONGEST_WAIT_SECONDS)
    Concentrator.objects.update(seen_at=timezone.now())

    response = apply(page, ready, headers)

    assert result(response, headers) == "Revision 1 submitted. It is on its way."
    assert "Queued" in words(response, "state-title")
    assert words(response, "locked").startswith("Locked while revision 1 is being applied.")


@both
def test_the_answer_names_the_concentrator_that_does_not_report(ready, page, headers):
    Concentrator.objects.update(seen_at=timezone.now() - timedelta(minutes=1))

    response = apply(page, ready, headers)

    text = "Revision 1 submitted. It is applied when hou02-vpn01 responds."
    assert result(response, headers) == text
    assert "No status from hou02-vpn01 since" in words(response, "state")


def test_the_answer_has_all_that_a_poll_would_bring(ready, page, bob, gateway, during_the_wait):
    since = typed(page.get(reverse("tunnel", args=[ready.pk])), "since")
    services.edit(ready, "phase_one_encryption", "AES256", bob)
    during_the_wait(lambda: reconcile.converge(ready.concentrator_id, ready.pk))

    response = apply(page, ready, HTMX, since=since)
    poll = {"seen": "old", "since": since}
    polled = page.get(reverse("state", args=[ready.pk]), poll, headers=HTMX)

    ids = [element.get("id") for element in read(polled).iter() if element.get("id")]
    for identifier in ids:
        assert words(response, identifier) == words(polled, identifier)
    assert {"state", "pending", "review", "locked", "others", "recent"} <= set(ids)
    assert "bob changed Phase One Encryption at " in words(response, "others")
    assert typed(response, "phase_one_encryption") == "AES256"
    assert json.loads(response.headers["HX-Trigger"]) == {"state-changed": {}}
    token = part(response, "state").get("hx-get").split("seen=")[1].split("&")[0]
    answer = page.get(reverse("state", args=[ready.pk]), {"seen": token}, headers=HTMX)
    assert answer.status_code == 204


def test_a_malformed_version_of_the_page_applies_nothing(ready, page):
    assert apply(page, ready, HTMX, since="yesterday").status_code == 400
    assert not Revision.objects.exists()


def test_the_page_polls_fast_for_two_seconds_after_the_end_of_an_apply(ready, page, user):
    def state(seen: str = ""):
        return page.get(reverse("state", args=[ready.pk]), {"seen": seen}, headers=HTMX)

    services.apply(ready, user)
    Revision.objects.update(outcome="live", finished_at=timezone.now())
    first = state()
    assert part(first, "state").get("hx-trigger") == "load delay:80ms, every 300ms"
    token = part(first, "state").get("hx-get").split("seen=")[1].split("&")[0]

    Revision.objects.update(finished_at=timezone.now() - 2 * SECOND)

    assert part(state(token), "state").get("hx-trigger") == "every 5s"


def test_waiting_applies_hold_half_of_the_threads_of_a_process_and_the_next_answers_at_once(
    ready, user, during_the_wait
):
    revision = services.apply(ready, user)
    waiting = []

    def apply_again() -> None:
        """Wait as another request does, and then let the worker finish."""
        waiting.append(revision)
        outcome_wait.wait_for_outcome(revision)
        Revision.objects.update(outcome="live")

    during_the_wait(apply_again)
    for _ in range(2):
        waiting.clear()
        Revision.objects.update(outcome="queued")
        assert outcome_wait.wait_for_outcome(revision).outcome == "live"
        assert len(waiting) == settings.WEB_THREADS // 2


def test_the_wait_is_outside_of_the_transaction_of_the_apply(ready, page, during_the_wait):
    depth = len(connection.savepoint_ids)
    depths = []

    def look() -> None:
        depths.append(len(connection.savepoint_ids))
        Revision.objects.update(outcome="live")

    during_the_wait(look)
    apply(page, ready, HTMX)

    assert depths == [depth]


def test_neither_an_apply_of_several_tunnels_nor_the_api_waits(
    ready, second_tunnel, page, program, during_the_wait
):
    waits = []
    during_the_wait(lambda: waits.append(1))

    run_action(page, "apply", second_tunnel)
    assert program.call("applyConfigurationsToDevice", on=ready.pk) is True

    assert (Revision.objects.count(), waits) == (2, [])


def test_the_web_processes_have_as_many_threads_as_the_setting_says():
    lines = Path(settings.ROOT, "Procfile").read_text().splitlines()
    (web,) = [shlex.split(line) for line in lines if line.startswith("web:")]

    assert int(web[web.index("--threads") + 1]) == settings.WEB_THREADS == 4
