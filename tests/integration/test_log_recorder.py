"""Diagnostic logs: written to the row of their own tunnel, and only when they changed."""

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
from vpnportal.services import findings_of

REFUSED = (
    "initiating Main Mode IKE_SA ctx1[3] to 203.0.113.2",
    "generating ID_PROT request 0 [ SA V V V V V ]",
    "received NO_PROPOSAL_CHOSEN error notify",
)


@pytest.fixture
def applied(ready, user) -> Tunnel:
    services.apply(ready, user)
    return ready


def tunnel_log(*texts: str, ike: str = "e-1", restart: bool = False) -> TunnelLog:
    """Return a log of these lines; `restart` means that older lines do not count any more."""
    now = timezone.now()
    log = TunnelLog(since=now if restart else None)
    step = timedelta(microseconds=1)
    log.lines.extend(
        LogLine(now + step * number, Role.INITIATOR, text, ike) for number, text in enumerate(texts)
    )
    return log


def recorded_texts(tunnel: Tunnel) -> list[str]:
    return [line["text"] for line in DiagnosticLog.objects.get(tunnel=tunnel).lines]


def test_recorded_log_lines_of_a_tunnel_give_a_finding(applied, concentrator):
    log_recorder.save_log(concentrator, {applied.pk: tunnel_log(*REFUSED)}, {})

    (finding,) = findings_of(applied)
    assert (finding.cause, finding.lines) == (Cause.PHASE_ONE, REFUSED)


def test_a_tunnel_without_a_revision_here_has_no_log(ready, concentrator):
    log_recorder.save_log(
        concentrator, {ready.pk: tunnel_log(*REFUSED), 4711: tunnel_log(*REFUSED)}, {}
    )

    assert not DiagnosticLog.objects.exists()
    assert findings_of(ready) == ()


def test_a_repeated_attempt_is_written_once_and_a_different_attempt_at_once(applied, concentrator):
    log_recorder.save_log(concentrator, {applied.pk: tunnel_log(*REFUSED)}, {})
    first = DiagnosticLog.objects.get()

    log_recorder.save_log(concentrator, {applied.pk: tunnel_log(*REFUSED, ike="e-2")}, {})
    assert DiagnosticLog.objects.get().changed_at == first.changed_at

    log_recorder.save_log(
        concentrator, {applied.pk: tunnel_log("could not decrypt payloads", ike="e-3")}, {}
    )
    assert recorded_texts(applied)[-1] == "could not decrypt payloads"


def test_the_log_of_a_tunnel_has_at_most_sixty_lines(applied, concentrator):
    for number in range(5):
        texts = (f"line {number} {index}" for index in range(50))
        log_recorder.save_log(concentrator, {applied.pk: tunnel_log(*texts)}, {})

    assert len(recorded_texts(applied)) == 60
    assert recorded_texts(applied)[-1] == "line 4 49"


def test_new_settings_delete_the_log_and_an_empty_log_costs_no_query(
    applied, concentrator, django_assert_num_queries
):
    log_recorder.save_log(concentrator, {applied.pk: tunnel_log(restart=True)}, {})
    assert not DiagnosticLog.objects.exists()
    log_recorder.save_log(concentrator, {applied.pk: tunnel_log(*REFUSED)}, {})

    log_recorder.save_log(concentrator, {applied.pk: tunnel_log(restart=True)}, {})

    assert recorded_texts(applied) == []
    with django_assert_num_queries(0):
        log_recorder.save_log(concentrator, {}, {})


def test_anomalies_are_stored_beside_the_lines(applied, concentrator):
    log_recorder.save_log(concentrator, {applied.pk: tunnel_log(*REFUSED)}, {})
    anomalies = {"narrowed": [["10.2.0.0/24"], ["192.168.10.0/25"]]}
    log_recorder.save_log(concentrator, {}, {applied.pk: anomalies})

    assert log_recorder.anomalies_of(concentrator) == {applied.pk: anomalies}
    assert {finding.cause for finding in findings_of(applied)} == {Cause.PHASE_ONE, Cause.NARROWED}

    log_recorder.save_log(concentrator, {}, {applied.pk: {}})
    assert log_recorder.anomalies_of(concentrator) == {}


def test_a_failed_first_rekey_is_a_finding_of_its_revision(applied):
    Revision.objects.update(first_rekey=Revision.Rekeyed.FAILED)

    assert [finding.cause for finding in findings_of(applied)] == [Cause.PFS]


def test_the_lookup_finds_the_tunnel_between_two_addresses(applied, concentrator):
    lookup = log_recorder.TunnelLookup(concentrator)

    assert lookup(Endpoints("203.0.113.1", "203.0.113.2")) == [applied.pk]
    assert lookup(Endpoints("203.0.113.1", "203.0.113.9")) == []
    assert lookup(Endpoints("203.0.113.9", "203.0.113.2")) == []
    assert lookup(Endpoints("", "203.0.113.2")) == [applied.pk]


def test_the_log_of_a_peer_of_two_customers_is_recorded_for_neither(applied, concentrator, user):
    stranger = Account.objects.create(name="A stranger")
    other = make_tunnel(stranger, concentrator, "ipsec003")
    Revision.next_for(other, applied.draft(), user).save()
    Revision.objects.filter(tunnel=other).update(
        hosted_peer=other.hosted_peer, remote_peer="203.0.113.2"
    )

    lookup = log_recorder.TunnelLookup(concentrator)

    assert lookup(Endpoints("", "203.0.113.2")) == []
    assert lookup(Endpoints(other.hosted_peer, "203.0.113.2")) == [other.pk]
