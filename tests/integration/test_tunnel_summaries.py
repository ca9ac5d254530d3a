"""Summaries follow each writer of tunnels, revisions and releases, also two writers at once.

Beside these tests, each integration test fails at its end if a summary is not true.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO

import psycopg
import pytest
from django.core.management import call_command
from django.db import ProgrammingError, connection, transaction
from django.utils import timezone

from tests.integration.as_gateway import as_gateway
from tests.integration.conftest import connect_beside, make_tunnel
from tests.tunnel_list_page import counts
from vpnportal import services
from vpnportal.deployment import summary_triggers
from vpnportal.management.doctor import database
from vpnportal.models import Account, AddressRelease, Concentrator, Revision, Tunnel, TunnelSummary
from vpnportal.reconciler.revision_outcomes import mark_applying
from vpnportal.services import STATE_RANKS, StateLabel

pytestmark = pytest.mark.sqlite


@pytest.fixture
def live(second_tunnel, user) -> Tunnel:
    """Return a live tunnel of an online concentrator."""
    services.apply(second_tunnel, user)
    Revision.objects.update(outcome="live", finished_at=timezone.now())
    Concentrator.objects.update(seen_at=timezone.now())
    return second_tunnel


def label(tunnel: Tunnel) -> str:
    rank = TunnelSummary.objects.values_list("rank", flat=True).get(tunnel=tunnel)
    return next(label for label in StateLabel if STATE_RANKS[label] == rank)


def execute(statement: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def test_a_summary_follows_every_kind_of_write(live, account, concentrator):
    assert label(live) == StateLabel.DOWN
    Tunnel.objects.update(sa_status="up")
    assert label(live) == StateLabel.UP
    execute("UPDATE vpnportal_revision SET outcome = 'failed'")
    assert label(live) == StateLabel.FAILED
    Tunnel.objects.bulk_update([Tunnel(pk=live.pk, cancelled_at=timezone.now())], ["cancelled_at"])
    assert label(live) == StateLabel.DELETED
    release = AddressRelease.objects.create(
        tunnel=live, concentrator=concentrator, hosted_peer=live.hosted_peer
    )
    assert label(live) == StateLabel.BEING_DELETED
    release.delete()
    assert label(live) == StateLabel.DELETED
    Tunnel.objects.update(cancelled_at=None)
    Revision.objects.all().delete()
    assert label(live) == StateLabel.NEVER_APPLIED
    account.pk, account.name = None, "Another account"
    account.save()
    live.account, live.friendly_name, live.notes = account, "Oslo", "Rack 9"
    live.save()
    row = live.summary
    assert (row.account_id, row.friendly_key) == (account.pk, "oslo")
    assert row.names == "IPSEC002\nOSLO\nRACK 9"
    live.subnets.clear()
    Tunnel.objects.all().delete()
    assert not TunnelSummary.objects.exists()


WRITES = {
    Tunnel: {
        "name": "ipsec777",
        "friendly_name": "Oslo",
        "notes": "Rack 9",
        "hosted_peer": "203.0.113.77",
        "remote_peer": None,
        "draft_digest": "of another draft",
        "sa_status": "up",
        "disconnected_at": timezone.now(),
        "cancelled_at": timezone.now(),
    },
    Revision: {
        "outcome": "failed",
        "digest": "of another revision",
        "responder_only": True,
        "finished_at": timezone.now() - timedelta(days=1),
    },
}


@pytest.mark.parametrize(
    ("model", "column", "value"),
    [(model, *pair) for model, columns in WRITES.items() for pair in columns.items()],
)
def test_a_summary_follows_each_column_alone(live, model, column, value):
    Tunnel.objects.update(draft_digest="", sa_status="down")
    Revision.objects.update(digest="of another draft")
    if column == "digest":
        Tunnel.objects.update(draft_digest="of another draft")
    before = TunnelSummary.objects.values().get(tunnel=live)

    model.objects.update(**{column: value})

    assert TunnelSummary.objects.values().get(tunnel=live) != before
    assert summary_triggers.differing(connection) == 0


def test_a_rolled_back_transaction_leaves_the_summary(live):
    with pytest.raises(RuntimeError), transaction.atomic():
        Tunnel.objects.update(sa_status="up")
        assert label(live) == StateLabel.UP
        raise RuntimeError

    assert label(live) == StateLabel.DOWN


def test_an_offline_concentrator_changes_no_row_and_all_counts(live, page):
    before = list(TunnelSummary.objects.values())
    assert counts(page.get("/tunnels/")) == {"All": 1, "Down": 1}

    Concentrator.objects.update(unreachable_reason="It does not answer.")

    assert counts(page.get("/tunnels/")) == {"All": 1, "Unknown": 1}
    assert list(TunnelSummary.objects.values()) == before


@pytest.mark.postgresql
def test_a_gateway_that_writes_a_status_changes_the_summary_and_cannot_write_it(live):
    with as_gateway(live.concentrator.name):
        Tunnel.objects.filter(pk=live.pk).update(sa_status="up")
        for statement in (
            "SELECT rank FROM vpnportal_tunnelsummary",
            "UPDATE vpnportal_tunnelsummary SET rank = 0",
            "SELECT vpnportal_keep_summary()",
        ):
            with pytest.raises(ProgrammingError), transaction.atomic():
                execute(statement)

    assert label(live) == StateLabel.UP


@pytest.fixture
def beside(transactional_db) -> Iterator[psycopg.Connection]:
    """Yield the connection of another process."""
    with connect_beside() as other:
        yield other


@pytest.mark.postgresql
@pytest.mark.parametrize("first_is_status", [True, False])
def test_the_last_of_two_writers_at_once_writes_what_both_did(beside, live, first_is_status):
    status = "UPDATE vpnportal_tunnel SET sa_status = 'up'"
    outcome = "UPDATE vpnportal_revision SET outcome = 'replaced'"
    first, second = (status, outcome) if first_is_status else (outcome, status)
    mine = connection.connection.info.backend_pid
    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            execute(first)
            waiting = thread.submit(beside.execute, second)
            # The other transaction holds its own row, and waits for the summary of this one.
            while not is_blocked_by(mine):
                assert not waiting.done(), waiting.result()
        waiting.result()
    beside.commit()

    assert label(live) == StateLabel.UP
    assert summary_triggers.differing(connection) == 0


def is_blocked_by(pid: int) -> bool:
    with connection.cursor() as cursor:
        # Otherwise each query of a transaction sees the processes of its first one.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))", [pid]
        )
        return bool(cursor.fetchone()[0])


@pytest.mark.postgresql
def test_a_worker_that_begins_waits_for_a_deletion_and_blocks_it_not(transactional_db, live, user):
    revision = services.apply(live, user)
    mine = connection.connection.info.backend_pid

    def begin() -> None:
        try:
            mark_applying([revision])
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            Tunnel.objects.update(cancelled_at=timezone.now())
            waiting = thread.submit(begin)
            while not is_blocked_by(mine):
                assert not waiting.done(), waiting.result()
            # A worker that held the revision would wait for this transaction for ever.
            Revision.objects.update(outcome="replaced")
        waiting.result()

    assert set(Revision.objects.values_list("outcome", flat=True)) == {"replaced"}


def drop_one() -> None:
    table = "vpnportal_revision"
    on = f" ON {table}" if connection.vendor == "postgresql" else ""
    execute(f"DROP TRIGGER summary_after_update_of_revision{on}")


def summaries() -> str:
    out = StringIO()
    call_command("summaries", stdout=out)
    return out.getvalue()


def test_the_command_repairs_rows_and_triggers(live, account, concentrator):
    make_tunnel(account, concentrator, "ipsec003")
    assert summaries() == "0 summaries were wrong.\n"
    TunnelSummary.objects.filter(tunnel=live).update(rank=0)
    TunnelSummary.objects.filter(name_key="08ipsec003").delete()
    TunnelSummary.objects.filter(tunnel=live).update(tunnel=live.pk + 1000)
    assert summary_triggers.differing(connection) == 3
    assert summaries() == "3 summaries were wrong.\n"
    assert summary_triggers.differing(connection) == 0

    drop_one()
    Revision.objects.update(outcome="failed")
    assert not summary_triggers.is_installed(connection)
    assert summaries() == "1 summary was wrong.\n"
    assert label(live) == StateLabel.FAILED
    Revision.objects.update(outcome="live")
    assert label(live) == StateLabel.DOWN


def test_the_doctor_finds_a_wrong_row_and_a_missing_trigger(live):
    def texts() -> list[tuple[str, str]]:
        return [(finding.level.name, finding.text) for finding in database.summaries()]

    assert texts() == [("OK", "The list of tunnels has the state of each.")]
    TunnelSummary.objects.update(rank=0)
    assert texts() == [("ERROR", "1 tunnel is not listed with the right state or name.")]
    drop_one()
    assert texts() == [("ERROR", "Triggers that keep the list of tunnels current are missing.")]
    summaries()
    assert texts() == [("OK", "The list of tunnels has the state of each.")]


def test_migrate_drops_the_triggers_of_a_later_version(live):
    table = "vpnportal_tunnelcommand"
    action = {
        "postgresql": f"EXECUTE FUNCTION {summary_triggers.FUNCTION}",
        "sqlite": "BEGIN DELETE FROM vpnportal_tunnelsummary; END",
    }[connection.vendor]
    execute(f"CREATE TRIGGER summary_after_later AFTER INSERT ON {table} FOR EACH ROW {action}")
    assert not summary_triggers.is_installed(connection)

    call_command("migrate", verbosity=0)

    assert summary_triggers.is_installed(connection)
    live.commands.create(kind="rekey")
    assert label(live) == StateLabel.DOWN


def test_migrate_makes_the_triggers_only_if_they_differ(live):
    assert not summary_triggers.install(connection)
    drop_one()
    assert summary_triggers.install(connection)
    assert not summary_triggers.install(connection)
    summary_triggers.drop_triggers(connection)
    Revision.objects.update(outcome="failed")
    assert label(live) == StateLabel.DOWN

    call_command("migrate", verbosity=0)

    assert label(live) == StateLabel.FAILED
    assert Account.objects.count() == 1
