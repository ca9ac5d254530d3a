"""`manage.py sendtestmail ADDRESS…`: Django's command, with a sentence if the server refuses."""

from __future__ import annotations

import smtplib
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.core.management.base import CommandError, CommandParser

from vpnportal.management.doctor.mail import ADVICE
from vpnportal.management.json_command import JsonCommand


class Command(JsonCommand):
    """Command that waits for the answer of the mail server, and puts nothing into a queue."""

    help = "Send a mail to try the mail server."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address", nargs="+")

    def handle(self, *args: Any, **options: Any) -> None:
        addresses = options["address"]
        server = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
        if not settings.MAIL_URL:
            raise CommandError(f"No mail server is set. {ADVICE}")
        try:
            send_mail("Test mail of the portal", "It arrived.", None, addresses)
        except (smtplib.SMTPException, OSError) as error:
            reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise CommandError(f"{server} does not take the mail: {reason}. {ADVICE}") from None
        self.answer({"sent_to": addresses}, f"{server} took a mail to {', '.join(addresses)}.")
