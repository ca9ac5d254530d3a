"""The diagnosis of a tunnel on its page: causes and warnings, as text."""

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


def report(sa_status: str, **more: object) -> None:
    """Let the concentrator report an SA status now."""
    Tunnel.objects.update(sa_status=sa_status)
    Concentrator.objects.update(**{"seen_at": timezone.now(), **more})


def record_log(tunnel: Tunnel, *texts: str, **anomalies: object) -> None:
    """Store charon's log lines about the tunnel, as the monitor does."""
    at = timezone.now().isoformat()
    lines = [{"at": at, "role": "initiator", "text": text, "ike": "1"} for text in texts]
    DiagnosticLog.objects.update_or_create(
        tunnel=tunnel, defaults={"lines": lines, "anomalies": anomalies}
    )


def state(page, tunnel: Tunnel):
    return page.get(reverse("state", args=[tunnel.pk]))


def finding_texts(response) -> list[str]:
    """Return the text of each finding."""
    divs = (div for div in part(response, "state").iter("div") if div.get("class") == "finding")
    return ["".join(next(div.iter("strong")).itertext()) for div in divs]


def test_a_tunnel_that_is_down_shows_the_cause_and_the_field_to_change(live, page):
    record_log(live, *REFUSED)
    report("down")
    (finding,) = findings_of(Tunnel.objects.get(pk=live.pk))

    response = state(page, live)

    assert finding_texts(response) == [finding.text]
    assert finding.advice in words(response, "state")
    assert [e.text for e in part(response, "lines-1").iter("li")] == list(finding.lines)
    message = "".join(part(response, "tell-1").find("p").itertext()).splitlines()
    assert message[1] == finding.request
    assert words(response, "tell-1-summary") == "Message for the peer's administrator"
    assert words(response, "lines-1-summary") == "IKE log"


@pytest.mark.parametrize(
    ("sa_status", "is_shown"),
    [
        ("down", True),
        ("partial", True),
        ("older", True),
        ("connecting", True),
        ("up", False),
    ],
)
def test_the_cause_is_shown_while_the_tunnel_is_not_up(live, page, sa_status, is_shown):
    record_log(live, *REFUSED)
    report(sa_status)

    assert bool(finding_texts(state(page, live))) is is_shown


def test_a_tunnel_that_was_just_applied_shows_no_cause_while_it_connects(live, page):
    record_log(live, *REFUSED)
    report("connecting")
    Revision.objects.update(finished_at=timezone.now())

    assert finding_texts(state(page, live)) == []


def test_a_tunnel_of_an_offline_concentrator_shows_no_cause(live, page):
    record_log(live, *REFUSED)
    report("down", unreachable_reason="The socket is gone.")

    assert finding_texts(state(page, live)) == []


def test_a_failed_first_rekey_shows_its_cause_although_the_tunnel_is_up(live, page):
    Revision.objects.update(first_rekey="failed")
    report("up")

    assert len(finding_texts(state(page, live))) == 1


def test_a_tunnel_that_is_up_shows_warnings_and_no_causes_of_earlier_attempts(live, page):
    record_log(live, *REFUSED, narrowed=[["10.3.0.0/25"], ["192.168.20.0/24"]])
    report("up")

    response = state(page, live)

    assert len(finding_texts(response)) == 1
    assert "Warnings" in words(response, "state")
    link = next(part(response, "state").iter("a"))
    assert link.get("href") == "#hosted_subnets"


def test_the_identity_of_a_peer_is_shown_as_text_and_never_as_html(live, page):
    record_log(live, *STRANGE)
    report("down")

    elements = list(part(state(page, live), "state").iter())

    assert [e.tag for e in elements if e.tag in ("script", "b")] == []
    assert sum(HOSTILE in (e.text or "") for e in elements) >= 2


def test_a_poll_gets_another_cause_but_not_another_attempt(live, page):
    record_log(live, *REFUSED)
    report("down")
    url = part(state(page, live), "state").get("hx-get")

    record_log(live, *REFUSED[:2], *REFUSED)
    assert page.get(url).status_code == 204
    record_log(live, *STRANGE)
    assert page.get(url).status_code == 200


def test_many_findings_need_the_same_queries_as_one(live, page):
    def count_queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            state(page, live)
        return len(captured)

    record_log(live, *REFUSED)
    report("down")
    for_one = count_queries()
    record_log(live, *REFUSED, duplicates=3, narrowed=[["10.3.0.0/25"], ["192.168.20.0/24"]])

    assert (count_queries(), len(finding_texts(state(page, live)))) == (for_one, 3)
    assert for_one <= 19
