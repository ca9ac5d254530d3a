"""Trials on the page: the form, its problems, and the sentences until the trial ends."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.html import part, read, typed, words
from vpnportal import services
from vpnportal.models import Concentrator, Revision, Tunnel

HTMX = {"HX-Request": "true"}
REQUESTED = {"keep": "on", "keep_seconds": "30", "keep_ping": "192.168.20.15"}
both = pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])


@pytest.fixture
def applied(second_tunnel, user) -> Revision:
    """Return the live revision of a tunnel that is up."""
    revision = services.apply(second_tunnel, user)
    finish(revision, "live")
    Tunnel.objects.update(sa_status="up")
    Concentrator.objects.update(seen_at=timezone.now())
    return revision


def finish(revision: Revision, outcome: str, **more: object) -> None:
    at = timezone.now()
    Revision.objects.filter(pk=revision.pk).update(outcome=outcome, finished_at=at, **more)


def post(page, tunnel: Tunnel, headers: dict[str, str], **values: str):
    return page.post(reverse("apply", args=[tunnel.pk]), values, headers=headers, follow=True)


def state(page, tunnel: Tunnel):
    return page.get(reverse("state", args=[tunnel.pk]))


def is_open(response) -> bool:
    return "open" in part(response, "trial").attrib


def is_checked(response) -> bool:
    controls = read(response).iter()
    return next("checked" in e.attrib for e in controls if e.get("name") == "keep")


def test_a_new_page_requests_no_trial_and_suggests_a_minute(second_tunnel, page):
    response = page.get(reverse("tunnel", args=[second_tunnel.pk]))

    assert words(response, "trial-summary") == "Roll back automatically if not healthy"
    assert (is_open(response), is_checked(response)) == (False, False)
    assert (typed(response, "keep_seconds"), typed(response, "keep_ping")) == ("60", None)
    forms = [control.get("form") for control in part(response, "trial").iter("input")]
    assert forms == [part(response, "apply-now").get("form")] * 3


@both
def test_apply_stores_the_requested_trial(second_tunnel, page, headers):
    assert post(page, second_tunnel, headers, **REQUESTED).status_code == 200

    revision = second_tunnel.revisions.get()
    assert (revision.trial_seconds, revision.trial_ping) == (30, "192.168.20.15")


@both
def test_without_the_checkbox_the_other_fields_are_ignored(second_tunnel, page, headers):
    response = post(page, second_tunnel, headers, keep_seconds="soon", keep_ping="10.9.9.9")

    assert response.status_code == 200
    assert second_tunnel.revisions.get().trial_seconds is None


TIME = "Enter a time from 5 to 3600 seconds."
OUTSIDE = "10.9.9.9 is in no remote subnet. Enter an address in 192.168.20.0/24."
WRONG = {
    "no number": ("keep_seconds", "soon", TIME),
    "nothing": ("keep_seconds", "", TIME),
    "too short": ("keep_seconds", "4", TIME),
    "too long": ("keep_seconds", "3601", TIME),
    "another script's digits": ("keep_seconds", "\u0663\u0660", TIME),
    "more digits than a number has": ("keep_seconds", "9" * 5000, TIME),
    "no address": ("keep_ping", "192.168.20", "Enter an IPv4 address such as 192.168.10.15."),
    "an address outside": ("keep_ping", "10.9.9.9", OUTSIDE),
}


@both
@pytest.mark.parametrize(("field", "text", "sentence"), WRONG.values(), ids=WRONG)
def test_a_problem_of_the_trial_is_shown_beside_its_field_and_nothing_is_applied(
    second_tunnel, page, headers, field, text, sentence
):
    response = post(page, second_tunnel, headers, **{**REQUESTED, field: text})

    assert (response.status_code, second_tunnel.revisions.count()) == (422, 0)
    assert words(response, f"note-{field}") == sentence
    assert (is_open(response), is_checked(response)) == (True, True)
    assert (typed(response, field) or "") == text
    links = [link.get("href") for link in part(response, "problems").iter("a")]
    assert links == [f"#id_{field}"]


@both
def test_the_trial_stays_requested_after_another_problem(tunnel, page, headers):
    response = post(page, tunnel, headers, keep="on", keep_seconds="30")

    assert response.status_code == 422
    assert (is_checked(response), typed(response, "keep_seconds")) == (True, "30")


def test_a_trial_shows_its_end_and_the_revision_that_a_rollback_restores(
    applied, second_tunnel, page
):
    finish(applied, "fallback")
    on_trial = services.apply(second_tunnel, applied.author, services.Trial(30))
    ends = timezone.now() + timedelta(seconds=25)
    finish(on_trial, "live", trial_ends_at=ends)
    on_trial.tunnel.revisions.update(finished_at=ends - timedelta(seconds=30))

    response = state(page, second_tunnel)

    paragraphs = part(response, "state").iter("p")
    trial = [p for p in paragraphs if "trial" in p.get("class", "").split()]
    assert [" ".join("".join(p.itertext()).split()) for p in trial] == [
        f"Health check until {ends:%H:%M:%S} UTC. Unless the tunnel is up, "
        "revision 1 is restored automatically."
    ]
    assert part(response, "state").get("hx-trigger") == "every 2s"


def test_a_trial_that_has_ended_without_a_result_says_so(applied, second_tunnel, page):
    ended = timezone.now() - timedelta(seconds=5)
    finish(applied, "live", trial_ends_at=ended, trial_ping="192.168.20.15")

    assert (
        f"Health check ended; result pending since {ended:%H:%M:%S} UTC. Unless the tunnel is up "
        "and 192.168.20.15 answers a ping, the tunnel is removed from the concentrator: there is "
        "no earlier revision to restore."
    ) in words(state(page, second_tunnel), "state")


def test_a_rollback_shows_its_reason_and_the_restored_revision(applied, second_tunnel, user, page):
    finish(applied, "replaced")
    reason = "Rolled back after 30 seconds: the tunnel was down."
    finish(services.apply(second_tunnel, user), "withdrawn", reason=reason)
    restored = services.apply(second_tunnel, user)
    finish(restored, "live", restored_number=1)
    Revision.objects.filter(pk=restored.pk).update(finished_at="2026-01-01T10:00:00Z")

    text = words(state(page, second_tunnel), "state")

    assert "Revision 2: Rolled back ada, " in text
    assert reason in text
    assert (
        "Revision 3 applied 1 Jan 2026, 10:00:00 UTC (automatic rollback). Restores revision 1."
        in text
    )


def test_the_next_apply_ends_the_sentences_about_a_rollback(applied, second_tunnel, user, page):
    finish(applied, "withdrawn", reason="It was down.")
    finish(services.apply(second_tunnel, user), "live")

    assert "Rolled back" not in words(state(page, second_tunnel), "state")


def test_the_state_of_a_tunnel_whose_first_revision_was_rolled_back_is_rolled_back(applied, page):
    finish(applied, "withdrawn", reason="It was down.")

    response, tunnel_list = state(page, applied.tunnel), page.get(reverse("tunnels"))

    assert words(response, "state-title") == "State Rolled back"
    assert "Rolled back" in words(tunnel_list, "main")
    assert "No revision of this tunnel is live." in words(response, "state")
