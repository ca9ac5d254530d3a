"""Apply, keep if healthy, on the page: asked for in words, refused in words, told until its end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.html import part, read, typed, words
from vpnportal import services
from vpnportal.models import Concentrator, Revision, Tunnel

HTMX = {"HX-Request": "true"}
ASKED = {"keep": "on", "keep_seconds": "30", "keep_ping": "192.168.20.15"}
BOTH_WAYS = pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])


@pytest.fixture
def applied(second_tunnel, user) -> Revision:
    """Live, up, and in sight."""
    revision = services.apply(second_tunnel, user)
    finish(revision, "live")
    seen("up")
    return revision


def finish(revision: Revision, outcome: str, **more: object) -> None:
    at = timezone.now()
    Revision.objects.filter(pk=revision.pk).update(outcome=outcome, finished_at=at, **more)


def seen(association: str) -> None:
    Tunnel.objects.update(sa_status=association)
    Concentrator.objects.update(seen_at=timezone.now())


def post(page, tunnel: Tunnel, headers: dict[str, str], **sent: str):
    return page.post(reverse("apply", args=[tunnel.pk]), sent, headers=headers, follow=True)


def state(page, tunnel: Tunnel):
    return page.get(reverse("state", args=[tunnel.pk]))


def is_open(answer) -> bool:
    return "open" in part(answer, "trial").attrib


def ticked(answer) -> bool:
    return next("checked" in e.attrib for e in read(answer).iter() if e.get("name") == "keep")


def test_a_fresh_page_asks_for_no_trial_and_suggests_a_minute(second_tunnel, page):
    answer = page.get(reverse("tunnel", args=[second_tunnel.pk]))

    assert (is_open(answer), ticked(answer)) == (False, False)
    assert (typed(answer, "keep_seconds"), typed(answer, "keep_ping")) == ("60", None)
    forms = [e.get("form") for e in part(answer, "trial").iter("input")]
    assert forms == [part(answer, "apply-now").get("form")] * 3


@BOTH_WAYS
def test_apply_takes_the_trial_that_was_asked_for(second_tunnel, page, headers):
    assert post(page, second_tunnel, headers, **ASKED).status_code == 200

    revision = second_tunnel.revisions.get()
    assert (revision.trial_seconds, revision.trial_ping) == (30, "192.168.20.15")


@BOTH_WAYS
def test_without_the_tick_nothing_beside_it_counts(second_tunnel, page, headers):
    answer = post(page, second_tunnel, headers, keep_seconds="soon", keep_ping="10.9.9.9")

    assert answer.status_code == 200
    assert second_tunnel.revisions.get().trial_seconds is None


TIME = "Enter a time from 5 to 3600 seconds."
BEHIND = "10.9.9.9 is in no remote subnet. Enter an address in 192.168.20.0/24."
WRONG = {
    "no number": ("keep_seconds", "soon", TIME),
    "nothing": ("keep_seconds", "", TIME),
    "too short": ("keep_seconds", "4", TIME),
    "too long": ("keep_seconds", "3601", TIME),
    "another script's digits": ("keep_seconds", "\u0663\u0660", TIME),
    "more digits than a number has": ("keep_seconds", "9" * 5000, TIME),
    "no address": ("keep_ping", "192.168.20", "Enter an IPv4 address such as 192.168.10.15."),
    "an address outside": ("keep_ping", "10.9.9.9", BEHIND),
}


@BOTH_WAYS
@pytest.mark.parametrize(("field", "text", "sentence"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_trial_stands_beside_its_field_and_nothing_is_applied(
    second_tunnel, page, headers, field, text, sentence
):
    answer = post(page, second_tunnel, headers, **{**ASKED, field: text})

    assert (answer.status_code, second_tunnel.revisions.count()) == (422, 0)
    assert words(answer, f"note-{field}") == sentence
    assert (is_open(answer), ticked(answer), typed(answer, field) or "") == (True, True, text)
    links = [e.get("href") for e in part(answer, "problems").iter("a")]
    assert links == [f"#id_{field}"]


@BOTH_WAYS
def test_a_trial_stays_asked_for_when_something_else_is_wrong(tunnel, page, headers):
    answer = post(page, tunnel, headers, keep="on", keep_seconds="30")

    assert (answer.status_code, ticked(answer), typed(answer, "keep_seconds")) == (422, True, "30")


def test_a_revision_on_trial_says_until_when_and_what_comes_back(applied, second_tunnel, page):
    finish(applied, "fallback")
    on_trial = services.apply(second_tunnel, applied.author, services.Trial(30))
    ends = timezone.now() + timedelta(seconds=25)
    finish(on_trial, "live", trial_ends_at=ends)

    answer = state(page, second_tunnel)

    told = [e for e in part(answer, "state").iter("p") if "trial" in e.get("class", "").split()]
    assert [" ".join("".join(e.itertext()).split()) for e in told] == [
        f"On trial until {ends:%H:%M:%S} UTC. If the tunnel is not up by then, "
        "revision 1, kept as fallback, comes back by itself."
    ]
    assert part(answer, "state").get("hx-trigger") == "every 2s"


def test_a_trial_that_nobody_judged_in_time_says_that_instead(applied, second_tunnel, page):
    ended = timezone.now() - timedelta(seconds=5)
    finish(applied, "live", trial_ends_at=ended, trial_ping="192.168.20.15")

    assert (
        f"Its trial is over since {ended:%H:%M:%S} UTC; the concentrator's worker has not judged "
        "it yet. If the tunnel is not up by then, or 192.168.20.15 does not answer, it is taken "
        "off the concentrator: no earlier revision could come back."
    ) in words(state(page, second_tunnel), "state")


def test_what_was_taken_back_gives_its_reason_beside_what_came_back(
    applied, second_tunnel, user, page
):
    finish(applied, "replaced")
    reason = "Rolled back after 30 seconds: the tunnel was down."
    finish(services.apply(second_tunnel, user), "withdrawn", reason=reason)
    again = services.apply(second_tunnel, user)
    finish(again, "live", restored_number=1)

    answer = words(state(page, second_tunnel), "state")

    assert "Revision 2 Rolled back ada, " in answer
    assert reason in answer
    assert (
        "Revision 3 is live: the concentrator holds it. It brings back revision 1. by itself, "
        in answer
    )


def test_the_next_apply_ends_what_is_told_of_the_one_before(applied, second_tunnel, user, page):
    finish(applied, "withdrawn", reason="It was down.")
    finish(services.apply(second_tunnel, user), "live")

    assert "Rolled back" not in words(state(page, second_tunnel), "state")


def test_a_first_revision_that_was_taken_back_is_named_so_and_not_down(applied, page):
    finish(applied, "withdrawn", reason="It was down.")

    answer, listed = state(page, applied.tunnel), page.get(reverse("tunnels"))

    assert words(answer, "state-title") == "State Rolled back"
    assert "Rolled back" in words(listed, "main")
    assert "No revision of this tunnel is live." in words(answer, "state")
