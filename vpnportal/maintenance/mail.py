"""Outgoing mails: each is a row, which the tasks worker sends. A message has the row's id only.

A mail server that is away delays a mail and never fails the page that caused it.
"""

from __future__ import annotations

import logging
import smtplib
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage
from django.utils import timezone

from vpnportal.celery import SEND_MAIL, request_portal_task
from vpnportal.encryption import CannotOpen
from vpnportal.fields import Sealed
from vpnportal.models import OutgoingMail

log = logging.getLogger(__name__)

# The time after each failed try. The last mail that waits is two days old when it is given up.
PAUSES = tuple(
    timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 240, 480, 480, 480, 480, 480)
)
# The first reply code of a mail server that no later try changes (RFC 5321, 4.2.1).
PERMANENT = 500
# Mails of one run of `send_due_mails`. The next run is a minute later.
AT_ONCE = 100


def request_mail(recipient: str, subject: str, text: str) -> None:
    """Store a mail, and queue it when the transaction commits."""
    request_portal_task(SEND_MAIL, store_mail(recipient, subject, text).pk)


def store_mail(recipient: str, subject: str, text: str) -> OutgoingMail:
    """Store a mail that is due now and return its row."""
    mail = OutgoingMail(recipient=recipient, subject=subject, next_try_at=timezone.now())
    mail.text = Sealed.of(text, mail.context)
    mail.save(force_insert=True)
    return mail


def due_mails() -> list[UUID]:
    """Return the ids of mails to send now, those that wait longest first."""
    mails = OutgoingMail.objects.due(timezone.now()).order_by("next_try_at")
    return list(mails.values_list("pk", flat=True)[:AT_ONCE])


def send(mail_id: UUID) -> None:
    """Send a mail if it is due, and store the outcome.

    The time of the next try is stored before: another worker does not send the mail meanwhile, and
    a worker that is killed sends it again.
    """
    mail = OutgoingMail.objects.filter(pk=mail_id).first()
    if mail is None or not _begin_try(mail):
        return
    try:
        text = mail.text.open(mail.context)
        EmailMessage(mail.subject, text, settings.DEFAULT_FROM_EMAIL, [mail.recipient]).send()
    except smtplib.SMTPRecipientsRefused as error:
        (code, answer), *_ = error.recipients.values()
        _note_failure(mail, answer.decode(errors="replace"), is_final=code >= PERMANENT)
    except (smtplib.SMTPException, OSError, CannotOpen) as error:
        _note_failure(mail, str(error), is_final=isinstance(error, CannotOpen))
    else:
        _finish(mail, sent_at=timezone.now(), error="")


def _begin_try(mail: OutgoingMail) -> bool:
    """Count a try and store when the next one is due. Return False if the mail is not due now."""
    now = timezone.now()
    pause = PAUSES[min(mail.tries, len(PAUSES) - 1)]
    due = OutgoingMail.objects.due(now).filter(pk=mail.pk, tries=mail.tries)
    mail.tries += 1
    return bool(due.update(tries=mail.tries, next_try_at=now + pause))


def _note_failure(mail: OutgoingMail, error: str, is_final: bool) -> None:
    if is_final or mail.tries > len(PAUSES):
        _finish(mail, error=error)
        log.error("Mail %s was given up: %s", mail.pk, error)
        return
    OutgoingMail.objects.filter(pk=mail.pk).update(error=error)
    log.warning("Mail %s was not sent: %s", mail.pk, error)


def _finish(mail: OutgoingMail, **columns: Any) -> None:
    OutgoingMail.objects.filter(pk=mail.pk).update(next_try_at=None, text=Sealed(), **columns)
