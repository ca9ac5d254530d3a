"""Celery tasks of the portal's own worker. A message contains only row ids."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from vpnportal.celery import PORTAL_QUEUE, app
from vpnportal.maintenance import mail, old_rows


@app.task(name="vpnportal.portal_tasks.send_mail")
def send_mail(mail_id: str) -> None:
    """Send a mail, if it is due."""
    mail.send(UUID(mail_id))


@app.task(name="vpnportal.portal_tasks.send_due_mails")
def send_due_mails() -> None:
    """Send the mails whose first message was lost, or whose next try is due."""
    for mail_id in mail.due_mails():
        mail.send(mail_id)


@app.task(name="vpnportal.portal_tasks.remove_old_rows")
def remove_old_rows() -> None:
    """Remove old rows of all tables."""
    old_rows.remove_old_rows()


def request_mail(recipient: str, subject: str, text: str) -> None:
    """Store a mail, and queue it when the transaction commits.

    If the message is lost, `send_due_mails` sends it within a minute.
    """
    mail_id = str(mail.store_mail(recipient, subject, text).pk)
    transaction.on_commit(
        lambda: send_mail.apply_async((mail_id,), queue=PORTAL_QUEUE), robust=True
    )
