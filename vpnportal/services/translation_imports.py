"""Long imports of translations: a row each, which the tasks worker checks and saves in steps.

The first step checks all changes, as `set_translations` does. Each further step saves some of them
in a transaction of its own. The draft is locked for other edits until the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from vpnportal.celery import EVERY_SECONDS, RUN_IMPORT, request_portal_task
from vpnportal.domain.tunnel.spec import Problem, translation_address
from vpnportal.models import Event, TranslationImport, Tunnel, record_event
from vpnportal.models.row_locks import lock_account, lock_tunnel
from vpnportal.models.translation_imports import OVERDUE
from vpnportal.services.draft_digests import update_digest
from vpnportal.services.edit_conflicts import author_name
from vpnportal.services.errors import Refused, TunnelLocked
from vpnportal.services.quotas import Quota, refuse_over_quota
from vpnportal.services.translations import (
    TranslationRow,
    added_rows,
    refuse_conflicts,
    row_problems,
    saved_rows,
    saved_rows_at,
    write_rows,
)
from vpnportal.services.tunnel_lock import lock_tunnel_for_edit, refuse_unless_editable

# As many as the form of one page can have (`MAX_ROWS`): they take a web thread under half a second.
LONG_IMPORT_ROWS = 4_096
# A step keeps other messages of the queue and the tunnel's lock for this long, too.
STEP_ROWS = LONG_IMPORT_ROWS
# As many sentences as the preview lists errors.
MAX_PROBLEMS = 250
IMPORT_AGAIN = "Preview the file again to overwrite it."
SHOWN_FOR = timedelta(days=1)
State = TranslationImport.State


@dataclass(frozen=True, slots=True)
class Change:
    """One address's translation `before` the import (None if absent) and after (`row`)."""

    internal: IPv4Address
    before: TranslationRow | None
    row: TranslationRow

    @property
    def seen(self) -> TranslationRow:
        """The row that the preview showed as saved."""
        return self.before or TranslationRow(self.internal, None)


def changes_as_json(changes: Iterable[Change]) -> list[list[str]]:
    """Return the changes as texts, which the form of the preview and the import's row carry."""
    return [list(_texts(change)) for change in changes]


def changes_from_json(carried: Iterable[Sequence[str]]) -> list[Change]:
    """Return the changes of `changes_as_json`."""
    return [_change(*texts) for texts in carried]


def request_import(tunnel: Tunnel, changes: Sequence[Change], author: User) -> TranslationImport:
    """Store an import, and queue it when the transaction commits.

    Raises TunnelLocked during an apply or another long import, Refused for a deleted tunnel.
    """
    with lock_tunnel_for_edit(tunnel) as fresh:
        for overdue in fresh.imports.unfinished():
            _end(overdue, fresh, OVERDUE)
        row = TranslationImport.objects.create(
            tunnel=fresh, author=author, changes=changes_as_json(changes), total=len(changes)
        )
        after = {"translations": len(changes)}
        record_event(Event.Action.TUNNEL_IMPORT_REQUESTED, actor=author, tunnel=fresh, after=after)
        request_portal_task(RUN_IMPORT, row.pk)
    return row


def import_of(tunnel: Tunnel, pk: int) -> TranslationImport | None:
    """Return an import of the tunnel, without its changes, or None."""
    return _shown(tunnel.imports.filter(pk=pk))


def newest_import(tunnel: Tunnel) -> TranslationImport | None:
    """Return the import that the tunnel's page shows: unfinished, or ended in the last day."""
    recently = Q(finished_at=None) | Q(finished_at__gt=timezone.now() - SHOWN_FOR)
    return _shown(tunnel.imports.filter(recently))


def _shown(rows: QuerySet[TranslationImport]) -> TranslationImport | None:
    """Return the first row. An import without progress is returned as failed."""
    row = rows.defer("changes").select_related("author").first()
    if row and row.is_overdue:
        row.state, row.problems = State.FAILED, [OVERDUE]
    return row


def paused_imports() -> list[int]:
    """Return the ids of unfinished imports that made no progress for a minute."""
    now, minute = timezone.now(), timedelta(seconds=EVERY_SECONDS)
    unfinished = TranslationImport.objects.unfinished()
    # Progress in the future is from before the clock was set back.
    paused = unfinished.exclude(progress_at__range=(now - minute, now + minute))
    return list(paused.values_list("pk", flat=True))


def run_import_step(import_id: int) -> bool:
    """Check an import, or save its next STEP_ROWS changes, or end it. Return True if work is left.

    A step is repeated without harm: it begins after the last change that was committed.
    """
    unfinished = TranslationImport.objects.unfinished()
    with transaction.atomic():
        ids = unfinished.filter(pk=import_id).values_list("tunnel_id", "tunnel__account_id").first()
        if ids is None:
            return False
        tunnel_id, account_id = ids
        lock_account(account_id)
        tunnel = lock_tunnel(tunnel_id)
        row = unfinished.select_related("author").filter(pk=import_id).first()
        return row is not None and _run_step(row, tunnel)


def _run_step(row: TranslationImport, tunnel: Tunnel) -> bool:
    try:
        author = _permitted_author(row, tunnel)
        refuse_unless_editable(tunnel)
        if row.state == State.QUEUED:
            _check(row, tunnel)
        else:
            _save_next(row, tunnel, author)
    except TunnelLocked as locked:
        if row.saved:
            # An automatic rollback. The task of the next minute goes on.
            return False
        return _end(row, tunnel, *_texts_of(locked))
    except Refused as refused:
        return _end(row, tunnel, *_texts_of(refused))
    if row.saved == row.total:
        return _end(row, tunnel)
    row.progress_at = timezone.now()
    row.save(update_fields=["state", "saved", "progress_at"])
    return True


def _permitted_author(row: TranslationImport, tunnel: Tunnel) -> User:
    """Return the author. Raises Refused without permission, and after a pause that is too long."""
    if row.is_overdue:
        raise Refused(Problem("", OVERDUE))
    author = row.author
    own = Tunnel.objects.filter(pk=tunnel.pk)
    if author is None or not author.is_active or not own.editable_by(author).exists():
        raise Refused(Problem("", f"{author_name(author)} may no longer change this tunnel."))
    return author


def _check(row: TranslationImport, tunnel: Tunnel) -> None:
    """Raise Refused if a change is in conflict or invalid; else let the next steps save."""
    changes = changes_from_json(row.changes)
    entered, saved = _rows(changes), saved_rows(tunnel)
    _refuse_conflicts(tunnel, changes, saved)
    if problems := row_problems(tunnel, entered, saved):
        raise Refused(*problems)
    refuse_over_quota(tunnel.account_id, Quota.TRANSLATIONS, added_rows(entered, saved))
    row.state = State.SAVING
    # The digest of a large draft takes longer than a step. Without one it counts as changed.
    Tunnel.objects.filter(pk=tunnel.pk).update(draft_digest="")


def _save_next(row: TranslationImport, tunnel: Tunnel, author: User) -> None:
    changes = changes_from_json(row.changes[row.saved : row.saved + STEP_ROWS])
    entered = _rows(changes)
    saved = saved_rows_at(tunnel, list(entered))
    _refuse_conflicts(tunnel, changes, saved)
    write_rows(tunnel, entered, saved, author)
    row.saved += len(changes)


def _end(row: TranslationImport, tunnel: Tunnel, *problems: str) -> bool:
    if row.state == State.SAVING:
        update_digest(tunnel.pk)
    if len(problems) > MAX_PROBLEMS:
        more = f"Only the first {MAX_PROBLEMS} reasons are listed."
        problems = (*problems[:MAX_PROBLEMS], more)
    row.end(*problems)
    row.save()
    return False


def _refuse_conflicts(
    tunnel: Tunnel, changes: Iterable[Change], saved: Mapping[IPv4Address, TranslationRow]
) -> None:
    seen = {change.internal: change.seen for change in changes}
    refuse_conflicts(
        tunnel, _rows(changes), saved, seen, remedy=IMPORT_AGAIN, limit=MAX_PROBLEMS + 1
    )


def _texts_of(refused: Refused) -> Iterator[str]:
    """Yield the problems. Those of a conflict do not name the address of their row."""
    for problem in refused.problems:
        address = translation_address(problem.field)
        has_address = address is None or address in problem.text
        yield problem.text if has_address else f"{address}: {problem.text}"


def _rows(changes: Iterable[Change]) -> dict[IPv4Address, TranslationRow]:
    return {change.internal: change.row for change in changes}


def _texts(change: Change) -> Iterator[str]:
    yield str(change.internal)
    yield str(change.row.customer or "")
    yield change.row.name
    yield str(change.seen.customer or "")
    yield change.seen.name


def _change(
    internal: str, customer: str, name: str, customer_before: str, name_before: str
) -> Change:
    at = IPv4Address(internal)
    before = None
    if customer_before:
        before = TranslationRow(at, IPv4Address(customer_before), name_before)
    row = TranslationRow(at, IPv4Address(customer) if customer else None, name)
    return Change(at, before, row)
