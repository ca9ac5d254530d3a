"""Celery tasks of the portal's own worker. A message contains only row ids."""

from __future__ import annotations

from uuid import UUID

from vpnportal import services
from vpnportal.celery import PORTAL_QUEUE, RUN_IMPORT, SEAL_EVENTS, SEND_MAIL, app
from vpnportal.maintenance import event_chain, event_heads, event_retention, mail, old_rows


@app.task(name=SEND_MAIL)
def send_mail(mail_id: str) -> None:
    """Send a mail, if it is due."""
    mail.send(UUID(mail_id))


@app.task(name="vpnportal.portal_tasks.send_due_mails")
def send_due_mails() -> None:
    """Send the mails whose first message was lost, or whose next try is due."""
    for mail_id in mail.due_mails():
        mail.send(mail_id)


@app.task(name=RUN_IMPORT)
def run_import(import_id: str) -> None:
    """Run one step of an import, and queue the next step behind other work."""
    if services.run_import_step(int(import_id)):
        run_import.apply_async((import_id,), queue=PORTAL_QUEUE)


@app.task(name="vpnportal.portal_tasks.continue_imports")
def continue_imports() -> None:
    """Queue the imports whose message was lost, or whose worker was killed."""
    for import_id in services.paused_imports():
        run_import.apply_async((str(import_id),), queue=PORTAL_QUEUE)


@app.task(name="vpnportal.portal_tasks.warn_of_ending_keys")
def warn_of_ending_keys() -> None:
    """Mail the users whose API keys end soon."""
    services.warn_of_ending_keys()


@app.task(name="vpnportal.portal_tasks.end_key_rotations")
def end_key_rotations() -> None:
    """Remove the old preshared keys whose time is over, and whose peers have the new one."""
    services.end_due_rotations()


@app.task(name="vpnportal.portal_tasks.remove_old_rows")
def remove_old_rows() -> None:
    """Remove old rows of all tables, and seal the events that were committed very late."""
    old_rows.remove_old_rows()
    _seal(look_everywhere=True)
    event_retention.remove_old_events()


@app.task(name=SEAL_EVENTS)
def seal_events() -> None:
    """Seal the new events."""
    _seal()


def _seal(*, look_everywhere: bool = False) -> None:
    if head := event_chain.seal_events(look_everywhere=look_everywhere):
        event_heads.publish(head)
