"""`manage.py operator NAME`: create an operator of the service, with a random password."""

from __future__ import annotations

import secrets
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from vpnportal.management.json_command import JsonCommand
from vpnportal.models import Event, record_event

PASSWORD_BYTES = 15


class Command(JsonCommand):
    """Command that creates a user with all rights under Administration, and prints the password."""

    help = "Create an operator of the service, and print the password once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--email", default="")
        parser.add_argument(
            "--first", action="store_true", help="do nothing if there is an active operator"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        operators = User.objects.filter(is_superuser=True, is_active=True)
        if options["first"] and operators.exists():
            self.answer({"operator": None}, "")
            return
        if User.objects.filter(username=options["name"]).exists():
            raise CommandError(f"There is a user {options['name']} already: choose another name.")
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        with transaction.atomic():
            User.objects.create_superuser(options["name"], options["email"], password)
            after = {"is_superuser": True}
            record_event(Event.Action.USER_CREATED, subject=options["name"], after=after)
        self.answer({"operator": options["name"], "password": password}, password)
