"""The chain over the events: a changed, removed, inserted or cut row is found."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import subprocess
import sys
from datetime import timedelta
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from tests.integration.as_gateway import as_gateway
from vpnportal.deployment import event_guard
from vpnportal.maintenance import event_heads
from vpnportal.maintenance.event_chain import NOTHING, current_head, seal_events
from vpnportal.maintenance.event_retention import remove_old_events
from vpnportal.maintenance.event_verification import verify
from vpnportal.models import Event, EventAnchor, EventSeal, record_event
from vpnportal.portal_tasks import seal_events as seal_task

HARD = 'quote " backslash \\ newline \n bell \x07 delete \x7f snowman ☃ rocket 🚀'


@pytest.fixture
def chain(db):
    """Six sealed events."""
    for number in range(6):
        record_event(
            "tunnel.edited", actor="test", subject=HARD, after={"b": number, "a": [True, None]}
        )
    seal_events()
    return list(EventSeal.objects.order_by("number"))


@pytest.fixture
def attacker(db):
    """Let the test change rows, as who is the owner of the tables could."""
    event_guard.drop_triggers(connection)


def test_the_digest_is_what_the_documented_form_says(chain):
    previous = NOTHING
    for seal in chain:
        event = Event.objects.values().get(pk=seal.event_id)
        event["at"] = event["at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        at = seal.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        whole = {"event": event, "number": seal.number, "previous": previous, "sealed_at": at}
        text = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        previous = hashlib.sha256(text.encode()).hexdigest()
        assert seal.digest == previous
    assert [seal.number for seal in chain] == [1, 2, 3, 4, 5, 6]
    assert verify().problem == ""


@pytest.mark.postgresql
def test_the_program_of_the_documentation_verifies_the_chain(chain, attacker):
    text = (settings.ROOT / "docs" / "audit.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (query,) = re.findall(r"    (COPY .*?) TO STDOUT", text, re.DOTALL)

    def verified() -> str:
        with connection.cursor() as cursor, cursor.copy(f"{query} TO STDOUT") as copy:
            lines = b"".join(copy)
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, input=lines, capture_output=True, check=False)
        return (done.stdout + done.stderr).decode().strip()

    assert verified() == str(current_head())
    event(4).update(subject="another")
    assert verified() == "Seal 4 is wrong or missing."


def test_a_changed_removed_or_exchanged_row_is_found(chain, attacker):
    for change, problem in (
        (lambda: event(3).update(actor_name="eve"), "Event {} or seal 3 was changed."),
        (lambda: event(3).update(after={"b": 2.5}), "Event {} or seal 3 was changed."),
        (lambda: event(3).delete(), "Event {} of seal 3 is missing."),
        (lambda: EventSeal.objects.filter(number=3).delete(), "Seal 3 is missing."),
        (lambda: exchange(3, 4), "Event {1} or seal 3 was changed."),
        (lambda: EventSeal.objects.filter(number=3).update(at=timezone.now()), "Event {} or"),
    ):
        ids = [chain[2].event_id, chain[3].event_id]
        with transaction.atomic():
            change()
            assert verify().problem.startswith(problem.format(*ids))
            transaction.set_rollback(True)
    assert verify().problem == ""


def test_an_inserted_row_is_found_until_it_is_sealed(chain, attacker):
    record_event("tunnel.applied", actor="eve")
    assert verify().problem == ""
    Event.objects.order_by("pk")[5:]
    Event.objects.filter(actor_name="eve").update(at=timezone.now() - timedelta(seconds=61))
    assert verify().problem.startswith("1 events older than a minute have no seal")


def test_a_chain_that_was_cut_or_sealed_again_differs_from_a_noted_head(chain, attacker):
    noted = current_head()
    event(6).delete()
    EventSeal.objects.filter(number=6).delete()
    assert verify().problem == ""
    assert verify([noted]).problem == "The chain ends at seal 5, before the head 6: it was cut."
    event(5).update(actor_name="eve")
    EventSeal.objects.filter(number=5).delete()
    record_event("tunnel.edited", actor="eve")
    seal_events()
    assert current_head().number == 6
    assert verify().problem == ""
    text = "Seal 6 is not the head that was noted: the chain was written again."
    assert verify([noted]).problem == text


def test_a_row_that_was_committed_late_is_sealed_once_and_last(chain, attacker):
    lowest = event(1).get()
    EventSeal.objects.all().delete()
    late = Event.objects.get(pk=lowest.pk)
    late.delete()
    seal_events()
    late.pk = lowest.pk
    late.save(force_insert=True)
    assert seal_events().number == 6
    assert EventSeal.objects.get(number=6).event_id == lowest.pk
    assert seal_events() is None


def test_the_database_refuses_to_change_or_delete_events_seals_and_anchors(chain):
    for table in event_guard.TABLES:
        for statement in (
            f"UPDATE {table} SET at = at",  # noqa: S608
            f"DELETE FROM {table}",  # noqa: S608
            *([f"TRUNCATE {table}"] if connection.vendor == "postgresql" else []),
        ):
            if table == event_guard.ANCHOR and not statement.startswith("TRUNCATE"):
                continue
            with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
                connection.cursor().execute(statement)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        anchor = {"number": 3, "digest": chain[2].digest, "count": 3}
        EventAnchor.objects.create(**anchor, at=timezone.now())
    assert verify().problem == ""


def test_old_events_are_removed_as_a_prefix_and_the_anchor_is_verified(chain, attacker, settings):
    earlier = current_head()
    settings.EVENT_DAYS = 0
    old = timezone.now() - timedelta(days=40)
    EventSeal.objects.all().delete()
    Event.objects.update(at=old)
    seal_events()
    # Their seals are of 40 days ago, and the chain is right for that time.
    reseal_at(old)
    noted = current_head()
    record_event("tunnel.edited", actor="test")
    seal_events()
    event_guard.install(connection)
    assert remove_old_events() == 0
    settings.EVENT_DAYS = 30
    assert remove_old_events() == 6
    seal_events()
    assert [seal.number for seal in EventSeal.objects.order_by("number")] == [7, 8]
    assert verify([noted]).problem == ""
    assert verify([earlier]).problem.startswith("Seal 6 is not the head")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        EventAnchor.objects.update(count=5)
    event_guard.drop_triggers(connection)
    EventAnchor.objects.update(digest="f" * 64)
    assert verify().problem == "Anchor 6 has no event of its removal."


def test_the_command_verifies_with_a_file_of_the_journal(chain, attacker, tmp_path):
    file = tmp_path / "journal"
    file.write_text(f"Dec 01 portal python[7]: INFO event head {current_head()}\n")
    out = StringIO()
    call_command("audit", "verify", "--head", str(file), stdout=out)
    assert "6 events" in out.getvalue()
    event(2).update(reason="none")
    with pytest.raises(CommandError, match="seal 2 was changed"):
        call_command("audit", "verify", stdout=out)


def test_the_head_reaches_the_log_and_a_syslog_server(db, settings, caplog):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        settings.SYSLOG = f"udp://127.0.0.1:{server.getsockname()[1]}"
        record_event("tunnel.edited", actor="test")
        with caplog.at_level("INFO", event_heads.__name__):
            seal_task()
        message = server.recv(2000).decode()
    assert message.startswith("<37>1 2")
    assert message.endswith(f" vpnportal - event-head - event head {current_head()}")
    assert f"event head {current_head()}" in caplog.text


@pytest.mark.postgresql
def test_a_gateway_inserts_events_of_its_own_tunnels_and_reads_none(tunnel, user, concentrator):
    with as_gateway(concentrator.name):
        record_event("tunnel.trial_taken_back", actor="worker", tunnel=tunnel)
        for columns in ({"actor": user}, {"actor": "worker", "concentrator": None}):
            with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
                record_event("tunnel.applied", **columns)
        for statement in ("SELECT id FROM", "DELETE FROM"):
            with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
                connection.cursor().execute(f"{statement} vpnportal_event")
    with as_gateway("hou02-vpn02"), pytest.raises(DatabaseError), transaction.atomic():
        record_event("tunnel.applied", actor="worker", tunnel=tunnel)
    assert Event.objects.get().tunnel_name == tunnel.name


def event(number: int):
    return Event.objects.filter(pk=EventSeal.objects.get(number=number).event_id)


def exchange(first: int, second: int) -> None:
    """Exchange two seals, but not their numbers."""
    one, other = EventSeal.objects.get(number=first), EventSeal.objects.get(number=second)
    EventSeal.objects.filter(number__in=(first, second)).delete()
    one.number, other.number = second, first
    one.save(force_insert=True)
    other.save(force_insert=True)


def reseal_at(at) -> None:
    """Seal all events again, as the sealer would have at another time."""
    EventSeal.objects.all().delete()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vpnportal.maintenance.event_chain.timezone.now", lambda: at)
        seal_events()
