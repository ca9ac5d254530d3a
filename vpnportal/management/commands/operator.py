"""`manage.py operator NAME`: create an operator of the service, or help a user back in."""

from __future__ import annotations

import secrets
from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from vpnportal import services
from vpnportal.management.json_command import JsonCommand
from vpnportal.models import Event, record_event

PASSWORD_BYTES = 15


class Command(JsonCommand):
    """Command that creates a user with all rights under Administration, and prints the password.

    With `--new-password` or `--without-factors`, it changes any user who exists.
    """

    help = "Create an operator of the service, or give a user a new password. It is printed once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--email", default="")
        parser.add_argument(
            "--first", action="store_true", help="do nothing if there is an active operator"
        )
        parser.add_argument(
            "--new-password",
            action="store_true",
            help="give this user a new password, and print it: all sessions end",
        )
        parser.add_argument(
            "--without-factors",
            action="store_true",
            help="remove the second factors of this user, who lost them",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name, password = options["name"], secrets.token_urlsafe(PASSWORD_BYTES)
        if options["new_password"] or options["without_factors"]:
            self._change(name, password if options["new_password"] else "", options)
            return
        operators = User.objects.filter(is_superuser=True, is_active=True)
        if options["first"] and operators.exists():
            self.answer({"operator": None}, "")
            return
        if User.objects.filter(username=name).exists():
            raise CommandError(f"There is a user {name} already: choose another name.")
        if problem := services.user_name_problem(name):
            raise CommandError(problem)
        with transaction.atomic():
            User.objects.create_superuser(name, options["email"], password)
            after = {"is_superuser": True}
            record_event(Event.Action.USER_CREATED, subject=name, after=after)
        self.answer({"operator": name, "password": password}, password)

    def _change(self, name: str, password: str, options: dict[str, Any]) -> None:
        user = User.objects.filter(username=name).first()
        if user is None:
            raise CommandError(f"There is no user {name}.")
        removed = 0
        with transaction.atomic():
            if password:
                user.set_password(password)
                user.save(update_fields=["password"])
                record_event(Event.Action.USER_PASSWORD_CHANGED, subject=name)
            if options["without_factors"]:
                removed = Authenticator.objects.filter(user=user).delete()[0]
                record_event(Event.Action.USER_SECOND_FACTOR_REMOVED, subject=name, count=removed)
        values = {"user": name, "password": password or None, "removed_factors": removed}
        self.answer(values, password or f"{removed} second factors of {name} are removed.")
