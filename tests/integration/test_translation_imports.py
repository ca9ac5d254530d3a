"""Long imports of translations: the tasks worker checks and saves them in steps."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.html import part, read, words
from tests.integration.conftest import make_tunnel
from tests.integration.test_translation_csv import at, confirm, save, saved, upload
from vpnportal import portal_tasks, services
from vpnportal.celery import RUN_IMPORT, app
from vpnportal.models import Membership, Revision, TranslationImport, Tunnel
from vpnportal.services import TunnelLocked, translation_imports
from vpnportal.web.tunnel.translations import csv_views

pytestmark = pytest.mark.sqlite

HTMX = {"HX-Request": "true"}
FILE = "10.1.255.93,192.168.10.1,one\n10.1.255.94,192.168.10.2,two\n10.1.255.95,192.168.10.3,x\n"
BEFORE = {at(92): ("192.168.10.15", "database")}
AFTER = BEFORE | {
    at(93): ("192.168.10.1", "one"),
    at(94): ("192.168.10.2", "two"),
    at(95): ("192.168.10.3", "x"),
}
LOCKED = "Locked while 3 translations are being imported. Nothing was changed."
REMOVED = "ada may no longer change this tunnel."


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    """Let three rows be a long import, of which each step saves one."""
    monkeypatch.setattr(csv_views, "LONG_IMPORT_ROWS", 2)
    monkeypatch.setattr(translation_imports, "STEP_ROWS", 1)


class Queue:
    """The messages of the portal's queue, as (task, arguments); `run` is the worker."""

    def __init__(self):
        self.messages = []

    def send(self, task, arguments, **_):
        self.messages.append((task, list(arguments)))

    def run(self, messages: int = 100):
        """Run this number of messages, or all."""
        for _ in range(messages):
            if not self.messages:
                return
            task, arguments = self.messages.pop(0)
            app.tasks[task](*arguments)


@pytest.fixture(autouse=True)
def queue(monkeypatch):
    queue = Queue()
    monkeypatch.setattr(app, "send_task", queue.send)
    monkeypatch.setattr(
        portal_tasks.run_import, "apply_async", lambda ids, **_: queue.send(RUN_IMPORT, ids)
    )
    # A test is a transaction, which has no commit.
    at_once = SimpleNamespace(on_commit=lambda send, robust: send())
    monkeypatch.setattr("vpnportal.celery.transaction", at_once)
    return queue


def begin(page, tunnel: Tunnel, file: str = FILE) -> TranslationImport:
    """Preview a file, and request its import."""
    response = confirm(page, tunnel, upload(page, tunnel, file))
    assert response.headers["Location"] == f"/tunnels/{tunnel.pk}/#static_nat"
    return TranslationImport.objects.get(finished_at=None)


def shown(page, tunnel: Tunnel) -> str:
    return words(page.get(reverse("tunnel", args=[tunnel.pk])), "import")


def progress(row: TranslationImport) -> str:
    return reverse("import-progress", args=[row.tunnel_id, row.pk])


def age(row: TranslationImport, time: timedelta) -> None:
    TranslationImport.objects.filter(pk=row.pk).update(progress_at=timezone.now() - time)


def test_a_long_import_is_done_by_the_worker_and_its_message_has_only_an_id(ready, page, queue):
    row = begin(page, ready)

    assert saved(ready) == BEFORE
    assert queue.messages == [(RUN_IMPORT, [str(row.pk)])]
    queue.run()
    assert saved(ready) == AFTER
    row.refresh_from_db()
    assert (row.state, row.saved, row.changes) == ("done", 3, [])
    assert shown(page, ready).startswith("3 rows imported. ada, ")


def test_the_draft_has_its_digest_after_the_end(ready, page, queue):
    begin(page, ready)
    queue.run(3)
    assert not Tunnel.objects.get(pk=ready.pk).draft_digest

    queue.run()

    digest = Tunnel.objects.get(pk=ready.pk).draft_digest
    services.fill_missing_digests()
    Tunnel.objects.update(draft_digest="")
    services.fill_missing_digests()
    assert digest == Tunnel.objects.get(pk=ready.pk).draft_digest


def test_the_page_shows_the_progress_and_has_a_link_without_javascript(ready, page, queue):
    row = begin(page, ready)

    assert "Importing 3 translations: waiting to be checked" in shown(page, ready)
    queue.run(3)
    whole = page.get(reverse("tunnel", args=[ready.pk]))
    assert "Importing 3 translations: 2 saved" in words(whole, "import")
    assert part(whole, "import").get("hx-get") == progress(row)
    (bar,) = read(whole).iter("progress")
    assert (bar.get("value"), bar.get("max")) == ("2", "3")
    (link,) = (a for noscript in part(whole, "import").iter("noscript") for a in noscript.iter("a"))
    assert link.get("href") == f"/tunnels/{ready.pk}/#static_nat"
    assert "2 saved" in words(page.get(progress(row), headers=HTMX), "import")
    assert page.get(progress(row)).headers["Location"] == f"/tunnels/{ready.pk}/#static_nat"


def test_the_last_poll_brings_the_result_and_the_new_numbers_of_rows(ready, page, queue):
    row = begin(page, ready)
    queue.run()

    response = page.get(progress(row), headers=HTMX)

    assert part(response, "import").get("hx-get") is None
    assert words(response, "import").startswith("3 rows imported. Reload to see them")
    (count,) = (e for e in read(response).iter("span") if e.get("class") == "count")
    assert count.text == "4 of 4 translated"


def test_a_step_of_a_killed_worker_is_undone_and_repeated_within_two_minutes(
    ready, page, queue, monkeypatch
):
    row = begin(page, ready)
    queue.run(2)
    write = translation_imports.write_rows
    with monkeypatch.context() as killed:
        killed.setattr(translation_imports, "write_rows", lambda *rows: write(*rows) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            services.run_import_step(row.pk)
    queue.messages.clear()
    assert len(saved(ready)) == 2

    portal_tasks.continue_imports()
    assert not queue.messages
    age(row, timedelta(seconds=61))
    portal_tasks.continue_imports()
    queue.run()

    assert saved(ready) == AFTER


def test_two_messages_for_one_import_save_each_row_once(ready, page, queue):
    row = begin(page, ready)
    queue.run(2)
    queue.messages.append((RUN_IMPORT, [str(row.pk)]))

    queue.run()

    assert saved(ready) == AFTER
    assert TranslationImport.objects.get().state == "done"


def test_a_row_that_another_editor_changed_since_the_preview_prevents_the_whole_import(
    ready, page, bob, queue
):
    preview = upload(page, ready, FILE)
    theirs = services.TranslationRow(
        *(services.parse_address(text) for text in (at(94), "192.168.10.77")), "theirs"
    )
    services.set_translations(ready, [theirs], bob)
    confirm(page, ready, preview)

    queue.run()

    assert saved(ready) == BEFORE | {at(94): ("192.168.10.77", "theirs")}
    text = shown(page, ready)
    assert text.startswith("Nothing was imported.")
    assert "10.1.255.94: bob changed this to 192.168.10.77 theirs at " in text
    assert "Preview the file again to overwrite it." in text
    begin(page, ready)
    queue.run()
    assert saved(ready) == AFTER


def test_nothing_is_imported_if_a_row_has_become_wrong(ready, page, user, queue):
    begin(page, ready)
    ready.subnets.remove(ready.subnets.get(network="192.168.10.0/24"))

    queue.run()

    assert saved(ready) == BEFORE
    assert shown(page, ready).count("Add the remote subnet of 192.168.10.") == 3


def test_many_reasons_are_counted_and_not_listed(ready, page, queue, monkeypatch):
    monkeypatch.setattr(translation_imports, "MAX_PROBLEMS", 2)
    begin(page, ready)
    ready.subnets.remove(ready.subnets.get(network="192.168.10.0/24"))

    queue.run()

    *reasons, last = TranslationImport.objects.get().problems
    assert (len(reasons), last) == (2, "Only the first 2 reasons are listed.")


@pytest.mark.parametrize(
    ("steps", "rows", "result"),
    [
        (0, 1, "Nothing was imported."),
        (3, 3, "Only 2 of 3 rows were imported. Import the file again: the preview shows the rest"),
    ],
)
@pytest.mark.parametrize("change", ["removed", "viewer", "inactive"])
def test_a_member_who_may_no_longer_edit_imports_nothing_more(
    ready, page, user, bobs_page, queue, change, steps, rows, result
):
    begin(page, ready)
    queue.run(steps)
    if change == "removed":
        Membership.objects.get(user=user).delete()
    elif change == "viewer":
        Membership.objects.filter(user=user).update(role="viewer")
    else:
        user.is_active = False
        user.save()

    queue.run()

    assert len(saved(ready)) == rows
    text = shown(bobs_page, ready)
    assert text.startswith(result) and REMOVED in text
    services.set_translations(ready, [], user)


def test_edits_and_apply_are_refused_with_a_sentence_and_commands_are_not(
    ready, page, user, bob, queue
):
    Revision.next_for(ready, ready.draft(), user).save()
    Revision.objects.update(outcome="live", finished_at=timezone.now())
    begin(page, ready)
    edits = (
        lambda: services.edit(ready, "friendly_name", "x", bob),
        lambda: services.set_translations(ready, [], bob),
        lambda: services.apply(ready, bob),
        lambda: services.discard(ready, bob),
    )

    for steps in (0, 1, 2):
        queue.run(steps)
        for edit in edits:
            with pytest.raises(TunnelLocked, match=LOCKED):
                edit()
    assert LOCKED in words(page.post(reverse("apply", args=[ready.pk])), "problems")
    services.disconnect(ready, bob)
    queue.run()
    services.apply(ready, bob)
    assert saved(ready) == AFTER


def test_a_second_import_of_a_tunnel_is_refused_and_its_preview_stays(
    ready, page, bobs_page, queue
):
    preview = upload(bobs_page, ready, FILE)
    begin(page, ready)

    response = confirm(bobs_page, ready, preview)

    assert response.status_code == 423
    assert LOCKED in words(response, "main")
    assert TranslationImport.objects.count() == 1
    queue.run()
    assert confirm(bobs_page, ready, response).status_code == 302


def test_an_apply_that_began_before_the_first_step_prevents_the_import(ready, page, user, queue):
    begin(page, ready)
    Revision.next_for(ready, ready.draft(), user).save()

    queue.run()

    assert saved(ready) == BEFORE
    assert "Locked while revision 1 is being applied." in shown(page, ready)


def test_an_automatic_rollback_during_the_import_delays_it(ready, page, user, queue):
    row = begin(page, ready)
    queue.run(2)
    Revision.next_for(ready, ready.draft(), user).save()

    queue.run()
    assert (len(saved(ready)), TranslationImport.objects.get().state) == (2, "saving")
    Revision.objects.update(outcome="live")
    age(row, timedelta(minutes=2))
    portal_tasks.continue_imports()
    queue.run()

    assert saved(ready) == AFTER


def test_the_import_into_a_tunnel_that_is_deleted_meanwhile_ends(ready, page, owner, queue):
    begin(page, ready)
    queue.run(2)
    services.cancel(ready, owner)

    queue.run()

    row = TranslationImport.objects.get()
    assert (row.state, row.saved) == ("failed", 1)
    assert row.problems == ["This tunnel was deleted. It can no longer be changed or applied."]


def test_an_import_without_a_worker_ends_and_no_longer_locks_its_tunnel(ready, page, bob, queue):
    row = begin(page, ready)
    queue.run(2)
    age(row, timedelta(minutes=6))

    text = shown(page, ready)
    assert text.startswith("Only 1 of 3 rows were imported.")
    assert "There was no progress for 5 minutes." in text
    services.edit(ready, "friendly_name", "x", bob)
    queue.run()
    row.refresh_from_db()
    assert (row.state, row.saved, row.changes) == ("failed", 1, [])


def test_a_new_import_replaces_one_without_a_worker(ready, page, queue):
    age(begin(page, ready), timedelta(minutes=6))

    confirm(page, ready, upload(page, ready, FILE))
    queue.run()

    assert saved(ready) == AFTER
    assert [row.state for row in TranslationImport.objects.all()] == ["done", "failed"]


def test_the_import_of_another_account_is_not_found(
    ready, page, account, concentrator, queue, request
):
    other = make_tunnel(account, concentrator, "ipsec003")
    row = begin(page, ready)
    mixed = reverse("import-progress", args=[other.pk, row.pk])
    assert page.get(mixed).status_code == 404
    assert page.get(progress(row), headers=HTMX).status_code == 200

    stranger = request.getfixturevalue("stranger")

    for url in (progress(row), mixed, reverse("import-progress", args=[ready.pk, 10**9])):
        for headers in ({}, HTMX):
            assert stranger.get(url, headers=headers).status_code == 404
    url = reverse("import-translations", args=[ready.pk])
    assert stranger.post(url, {"carried": "x"}).status_code == 404


def test_a_viewer_sees_the_progress(ready, page, queue, request):
    row = begin(page, ready)

    viewer = request.getfixturevalue("viewer")

    assert "Importing 3 translations" in words(viewer.get(progress(row), headers=HTMX), "import")


def test_results_are_removed_after_thirty_days_and_an_open_import_is_not(ready, page, queue):
    old = begin(page, ready)
    queue.run()
    recent = begin(page, ready, "10.1.255.93,,\n10.1.255.94,,\n10.1.255.95,,\n")
    queue.run()
    unfinished = begin(page, ready)
    for row, days in ((old, 31), (recent, 29)):
        finished_at = timezone.now() - timedelta(days=days)
        TranslationImport.objects.filter(pk=row.pk).update(finished_at=finished_at)

    portal_tasks.remove_old_rows()

    assert set(TranslationImport.objects.all()) == {recent, unfinished}


def test_rows_that_exchange_their_addresses_are_imported_in_different_steps(ready, page, queue):
    save(ready, (93, "192.168.10.1", ""), (94, "192.168.10.2", ""))

    begin(page, ready, "10.1.255.92,192.168.10.1,\n10.1.255.93,192.168.10.2,\n10.1.255.94,,\n")
    queue.run()

    assert saved(ready) == {at(92): ("192.168.10.1", ""), at(93): ("192.168.10.2", "")}


def test_a_name_of_the_import_is_text_on_the_page(ready, page, bob, queue):
    preview = upload(page, ready, FILE)
    hostile = "<script>alert(1)</script>"
    row = services.TranslationRow(
        *(services.parse_address(text) for text in (at(94), "192.168.10.77")), hostile
    )
    services.set_translations(ready, [row], bob)
    confirm(page, ready, preview)
    queue.run()

    assert hostile in shown(page, ready)
