"""What was heard is kept with its tunnel: seldom, only when it changed, and nobody else's."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.integration.conftest import make_tunnel
from vpnportal import services
from vpnportal.domain.diagnosis import Cause
from vpnportal.domain.diagnosis.log_collector import Endpoints, TunnelLog
from vpnportal.domain.diagnosis.log_lines import LogLine, Role
from vpnportal.models import Account, DiagnosticLog, Revision, Tunnel
from vpnportal.monitor import log_recorder
from vpnportal.services.diagnosis import findings_of

REFUSED = (
    "initiating Main Mode IKE_SA ctx1[3] to 203.0.113.2",
    "generating ID_PROT request 0 [ SA V V V V V ]",
    "received NO_PROPOSAL_CHOSEN error notify",
)


@pytest.fixture
def applied(ready, user) -> Tunnel:
    services.apply(ready, user)
    return ready


def heard(*texts: str, ike: str = "e-1", anew: bool = False) -> TunnelLog:
    now = timezone.now()
    one = TunnelLog(since=now if anew else None)
    step = timedelta(microseconds=1)
    one.lines.extend(
        LogLine(now + step * number, Role.INITIATOR, text, ike) for number, text in enumerate(texts)
    )
    return one


def kept(tunnel: Tunnel) -> list[str]:
    return [line["text"] for line in DiagnosticLog.objects.get(tunnel=tunnel).lines]


def test_what_was_heard_of_a_tunnel_is_found_when_somebody_reads(applied, concentrator):
    log_recorder.save_log(concentrator, {applied.pk: heard(*REFUSED)}, {})

    (finding,) = findings_of(applied)
    assert (finding.cause, finding.lines) == (Cause.PHASE_ONE, REFUSED)


def test_a_tunnel_without_a_revision_here_has_no_hearing(ready, concentrator):
    log_recorder.save_log(concentrator, {ready.pk: heard(*REFUSED), 4711: heard(*REFUSED)}, {})

    assert not DiagnosticLog.objects.exists()
    assert findings_of(ready) == ()


def test_the_same_attempt_again_is_written_once_and_another_one_at_once(applied, concentrator):
    log_recorder.save_log(concentrator, {applied.pk: heard(*REFUSED)}, {})
    first = DiagnosticLog.objects.get()

    log_recorder.save_log(concentrator, {applied.pk: heard(*REFUSED, ike="e-2")}, {})
    assert DiagnosticLog.objects.get().changed_at == first.changed_at

    log_recorder.save_log(
        concentrator, {applied.pk: heard("could not decrypt payloads", ike="e-3")}, {}
    )
    assert kept(applied)[-1] == "could not decrypt payloads"


def test_a_flood_leaves_sixty_lines(applied, concentrator):
    for number in range(5):
        texts = (f"line {number} {one}" for one in range(50))
        log_recorder.save_log(concentrator, {applied.pk: heard(*texts)}, {})

    assert len(kept(applied)) == 60
    assert kept(applied)[-1] == "line 4 49"


def test_new_settings_forget_what_was_heard_and_cost_nothing_where_nothing_was(
    applied, concentrator, django_assert_num_queries
):
    log_recorder.save_log(concentrator, {applied.pk: heard(anew=True)}, {})
    assert not DiagnosticLog.objects.exists()
    log_recorder.save_log(concentrator, {applied.pk: heard(*REFUSED)}, {})

    log_recorder.save_log(concentrator, {applied.pk: heard(anew=True)}, {})

    assert kept(applied) == []
    with django_assert_num_queries(0):
        log_recorder.save_log(concentrator, {}, {})


def test_facts_are_kept_beside_the_lines_and_found_again(applied, concentrator):
    log_recorder.save_log(concentrator, {applied.pk: heard(*REFUSED)}, {})
    facts = {"narrowed": [["10.2.0.0/24"], ["192.168.10.0/25"]]}
    log_recorder.save_log(concentrator, {}, {applied.pk: facts})

    assert log_recorder.anomalies_of(concentrator) == {applied.pk: facts}
    assert {one.cause for one in findings_of(applied)} == {Cause.PHASE_ONE, Cause.NARROWED}

    log_recorder.save_log(concentrator, {}, {applied.pk: {}})
    assert log_recorder.anomalies_of(concentrator) == {}


def test_a_failed_first_rekey_is_a_finding_of_its_revision(applied):
    Revision.objects.update(first_rekey=Revision.Rekeyed.FAILED)

    assert [one.cause for one in findings_of(applied)] == [Cause.PFS]


def test_addresses_lead_to_the_tunnel_that_stands_between_them(applied, concentrator):
    owners = log_recorder.TunnelLookup(concentrator)

    assert owners(Endpoints("203.0.113.1", "203.0.113.2")) == [applied.pk]
    assert owners(Endpoints("203.0.113.1", "203.0.113.9")) == []
    assert owners(Endpoints("203.0.113.9", "203.0.113.2")) == []
    assert owners(Endpoints("", "203.0.113.2")) == [applied.pk]


def test_a_peer_of_two_customers_tells_neither_of_the_other(applied, concentrator, user):
    stranger = Account.objects.create(name="A stranger")
    other = make_tunnel(stranger, concentrator, "ipsec003")
    Revision.next_for(other, applied.draft(), user).save()
    Revision.objects.filter(tunnel=other).update(
        hosted_peer=other.hosted_peer, remote_peer="203.0.113.2"
    )

    owners = log_recorder.TunnelLookup(concentrator)

    assert owners(Endpoints("", "203.0.113.2")) == []
    assert owners(Endpoints(other.hosted_peer, "203.0.113.2")) == [other.pk]
