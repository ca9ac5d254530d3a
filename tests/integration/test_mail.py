"""Mails reach a real SMTP server on loopback once. The database has their text sealed only."""

from __future__ import annotations

import re
import socket
from datetime import timedelta
from email import message_from_bytes
from email.policy import default

import pytest
from aiosmtpd.controller import Controller
from django.db import connection
from django.utils import timezone

from tests.integration.conftest import member
from vpnportal import portal_tasks
from vpnportal.celery import app
from vpnportal.maintenance import mail
from vpnportal.models import Invitation, OutgoingMail, Role

ADDRESS = "anna@example.com"
LINK = r"http://testserver/invitations/([\w-]{40,})/"


class Mailbox:
    """The mails that an SMTP server took; `refusal` is its answer instead, such as `451 busy`."""

    def __init__(self) -> None:
        self.mails, self.refusal = [], ""

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        return "250 OK"


@pytest.fixture
def mailbox(settings):
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        settings.EMAIL_HOST, settings.EMAIL_PORT = free.getsockname()
    server = Controller(box, hostname=settings.EMAIL_HOST, port=settings.EMAIL_PORT)
    server.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.MAIL_URL = f"smtp://127.0.0.1:{settings.EMAIL_PORT}"
    yield box
    server.stop()


@pytest.fixture
def queue(monkeypatch):
    """Return the messages in the portal's queue, as lists of arguments."""
    messages = []
    monkeypatch.setattr(app, "send_task", lambda _, arguments, **__: messages.append(arguments))
    return messages


@pytest.fixture
def owner(account):
    return member(account, "olga", Role.OWNER)


def invite(client, account, email):
    values = {"role": "viewer", "note": "Anna", "email": email}
    return client.post(f"/accounts/{account.pk}/invite/", values)


def in_an_hour(monkeypatch):
    later = timezone.now() + timedelta(hours=1)
    monkeypatch.setattr(mail.timezone, "now", lambda: later)


def test_an_invitation_is_mailed_with_the_link_that_the_page_shows(
    mailbox, queue, client, account, owner, django_capture_on_commit_callbacks
):
    client.force_login(owner)

    with django_capture_on_commit_callbacks(execute=True):
        page = invite(client, account, ADDRESS).content.decode()
    for arguments in queue:
        portal_tasks.send_mail(*arguments)

    link = re.search(LINK, page)[0]
    (received,) = mailbox.mails
    assert received["to"] == ADDRESS
    assert link in received.get_content().split()
    assert f"A mail to {ADDRESS} is on its way." in page


def test_neither_the_message_nor_the_database_has_the_link_of_a_mail(
    mailbox, queue, client, account, owner, django_capture_on_commit_callbacks
):
    client.force_login(owner)

    with django_capture_on_commit_callbacks(execute=True):
        page = invite(client, account, ADDRESS).content.decode()

    token = re.search(LINK, page)[1]
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM vpnportal_outgoingmail")
        rows = repr(cursor.fetchall())
    assert ADDRESS in rows
    assert token not in rows + repr(queue)


def test_a_mail_is_sent_once_and_its_text_removed(mailbox, db):
    row = mail.store_mail(ADDRESS, "Invitation", "a link")

    for _ in range(3):
        mail.send(row.pk)
        portal_tasks.send_due_mails()

    row.refresh_from_db()
    assert len(mailbox.mails) == 1
    assert row.sent_at and not row.text and not row.error


def test_a_mail_waits_while_the_server_is_away_or_busy(mailbox, db, monkeypatch):
    row = mail.store_mail(ADDRESS, "Invitation", "a link")
    mailbox.refusal = "451 Try again later"

    portal_tasks.send_due_mails()
    portal_tasks.send_due_mails()

    row.refresh_from_db()
    assert row.tries == 1 and row.text and "Try again later" in row.error
    mailbox.refusal = ""
    in_an_hour(monkeypatch)
    portal_tasks.send_due_mails()
    assert len(mailbox.mails) == 1


def test_a_mail_to_an_address_that_does_not_exist_is_given_up_at_once(mailbox, db):
    row = mail.store_mail(ADDRESS, "Invitation", "a link")
    mailbox.refusal = "550 There is no such mailbox"

    portal_tasks.send_due_mails()

    row.refresh_from_db()
    assert row.next_try_at is None and not row.text and row.sent_at is None
    assert "no such mailbox" in row.error


@pytest.mark.parametrize("email", ["anna", "anna@example.com\nBcc: eve@example.com"])
def test_a_wrong_address_invites_no_one_and_keeps_what_was_typed(
    email, mailbox, client, account, owner
):
    client.force_login(owner)

    page = invite(client, account, email)

    assert page.status_code == 422
    assert "Enter an e-mail address such as name@example.com" in page.content.decode()
    assert 'value="Anna"' in page.content.decode()
    assert not Invitation.objects.exists() and not OutgoingMail.objects.exists()


def test_the_number_of_invitations_by_mail_in_a_day_is_limited(
    mailbox, queue, client, account, owner
):
    client.force_login(owner)
    for number in range(60):
        invite(client, account, f"user{number}@example.com")
        Invitation.objects.update(withdrawn_at=timezone.now())

    assert OutgoingMail.objects.count() == 50


def test_without_a_mail_server_the_form_has_no_address(client, account, owner):
    client.force_login(owner)

    assert "E-mail" not in client.get("/accounts/").content.decode()
    invite(client, account, ADDRESS)
    assert not OutgoingMail.objects.exists()
