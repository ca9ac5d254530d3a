"""Each service that changes something records an event."""

from __future__ import annotations

import pytest

from tests.integration.race_harness import no_broker, scene
from tests.integration.race_operations import COMMANDS, EDITS, HELD, MEMBERS
from tests.integration.test_races import PARTS, READERS
from vpnportal import services
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.models import Event, Tunnel

__all__ = ["no_broker", "scene"]
# Writers without an event, each with the reason.
WITHOUT_EVENT = {
    "fill_missing_digests": "a digest of the draft, which does not change",
    "ensure_mark": "a part of order and apply",
    "mail_invitation": "a part of the page of invite",
    "choose_other_key": "the monitor changes the key in use during a rotation, which is recorded",
    "note_used": "an observation of the monitor",
    "compare": "what a gateway runs, after a restore; the choice of an operator is recorded",
}
OPERATIONS = (*EDITS, *HELD, *COMMANDS, *MEMBERS)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]


def test_each_service_that_changes_something_records_an_event(scene):
    silent, refused = set(), set()
    for operation in OPERATIONS:
        scene.renew()
        prepared = operation.prepare(scene, scene.tunnel)
        if operation.name == "rekey":
            Tunnel.objects.update(sa_status=SaStatus.UP)
        before = Event.objects.count()
        try:
            operation.run(scene, scene.tunnel, prepared)
        except services.Refused:
            refused.add(operation.name)
        if Event.objects.count() == before:
            silent.add(operation.name)
    names = {operation.name for operation in OPERATIONS}
    assert refused == set()
    assert silent == WITHOUT_EVENT.keys() & names
    assert set(services.__all__) - READERS - PARTS <= names
