"""Why a tunnel is down, on its page: what was found, as text, when somebody would ask."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.html import part, words
from vpnportal import services
from vpnportal.models import Concentrator, DiagnosticLog, Revision, Tunnel
from vpnportal.services import findings_of

REFUSED = (
    "initiating Main Mode IKE_SA ctx1[1] to 203.0.113.3",
    "generating ID_PROT request 0 [ SA V V V V V ]",
    "parsed INFORMATIONAL_V1 request 2764533520 [ N(NO_PROP) ]",
    "received NO_PROPOSAL_CHOSEN error notify",
)
HOSTILE = "<script>alert(1)</script><b>"
STRANGE = (
    "parsed ID_PROT response 0 [ ID HASH V ]",
    f"IDir '{HOSTILE}' does not match to '203.0.113.3'",
)


@pytest.fixture
def live(second_tunnel, user) -> Tunnel:
    services.apply(second_tunnel, user)
    at = timezone.now() - timedelta(minutes=1)
    Revision.objects.update(outcome="live", finished_at=at, created_at=at)
    return second_tunnel


def seen(association: str, **more: object) -> None:
    Tunnel.objects.update(sa_status=association)
    Concentrator.objects.update(**{"seen_at": timezone.now(), **more})


def heard(tunnel: Tunnel, *texts: str, **facts: object) -> None:
    at = timezone.now().isoformat()
    lines = [{"at": at, "role": "initiator", "text": text, "ike": "1"} for text in texts]
    DiagnosticLog.objects.update_or_create(
        tunnel=tunnel, defaults={"lines": lines, "anomalies": facts}
    )


def state(page, tunnel: Tunnel):
    return page.get(reverse("state", args=[tunnel.pk]))


def reasons(answer) -> list[str]:
    """What each finding says is wrong."""
    found = (e for e in part(answer, "state").iter("div") if e.get("class") == "why")
    return ["".join(next(one.iter("strong")).itertext()) for one in found]


def test_a_tunnel_that_is_down_says_why_and_what_to_change_where(live, page):
    heard(live, *REFUSED)
    seen("down")
    (finding,) = findings_of(Tunnel.objects.get(pk=live.pk))

    answer = state(page, live)

    assert reasons(answer) == [finding.text]
    assert finding.advice in words(answer, "state")
    assert [e.text for e in part(answer, "lines-1").iter("li")] == list(finding.lines)
    told = "".join(part(answer, "tell-1").find("p").itertext()).splitlines()
    assert told[1] == finding.request


@pytest.mark.parametrize(
    ("association", "told"),
    [
        ("down", True),
        ("partial", True),
        ("older", True),
        ("connecting", True),
        ("up", False),
    ],
)
def test_it_is_told_while_the_tunnel_is_not_as_it_should_be(live, page, association, told):
    heard(live, *REFUSED)
    seen(association)

    assert bool(reasons(state(page, live))) is told


def test_a_tunnel_that_just_began_to_connect_is_left_to_it(live, page):
    heard(live, *REFUSED)
    seen("connecting")
    Revision.objects.update(finished_at=timezone.now())

    assert reasons(state(page, live)) == []


def test_what_nobody_can_see_now_has_no_reason(live, page):
    heard(live, *REFUSED)
    seen("down", unreachable_reason="The socket is gone.")

    assert reasons(state(page, live)) == []


def test_a_first_rekey_that_failed_has_its_reason_although_the_tunnel_is_up(live, page):
    Revision.objects.update(first_rekey="failed")
    seen("up")

    assert len(reasons(state(page, live))) == 1


def test_a_tunnel_that_is_up_says_what_is_odd_and_nothing_of_old_attempts(live, page):
    heard(live, *REFUSED, narrowed=[["10.3.0.0/25"], ["192.168.20.0/24"]])
    seen("up")

    answer = state(page, live)

    assert len(reasons(answer)) == 1
    link = next(e for e in part(answer, "state").iter("a"))
    assert link.get("href") == "#hosted_subnets"


def test_what_a_peer_calls_itself_is_text_and_never_an_element(live, page):
    heard(live, *STRANGE)
    seen("down")

    shown = part(state(page, live), "state")

    assert [e.tag for e in shown.iter() if e.tag in ("script", "b")] == []
    assert sum(HOSTILE in (e.text or "") for e in shown.iter()) >= 2


def test_charons_next_attempt_is_no_news_and_another_reason_is(live, page):
    heard(live, *REFUSED)
    seen("down")
    url = part(state(page, live), "state").get("hx-get")

    heard(live, *REFUSED[:2], *REFUSED)
    assert page.get(url).status_code == 204
    heard(live, *STRANGE)
    assert page.get(url).status_code == 200


def test_many_reasons_cost_as_many_queries_as_one(live, page):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            state(page, live)
        return len(captured)

    heard(live, *REFUSED)
    seen("down")
    few = queries()
    heard(live, *REFUSED, duplicates=3, narrowed=[["10.3.0.0/25"], ["192.168.20.0/24"]])

    assert (queries(), len(reasons(state(page, live)))) == (few, 3)
    assert few <= 18
