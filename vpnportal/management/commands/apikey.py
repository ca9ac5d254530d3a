"""`manage.py apikey`: keys for programs, made, listed and revoked by an operator of the service."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from vpnportal.models import Account, ApiKey
from vpnportal.services import Refused, api_keys


class Command(BaseCommand):
    """A key acts with its user's role in one account."""

    help = "Make, list and revoke the API keys of programs."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="make a key, and print it on the last line")
        create.add_argument("user")
        create.add_argument("--name", required=True, help="which program has it")
        create.add_argument("--account", help="needed for a user of several accounts")
        create.add_argument("--expires", metavar="YYYY-MM-DD", help="its last day, in UTC")
        create.add_argument("--source", action="append", default=[], metavar="NETWORK")
        listed = actions.add_parser("list", help="show the keys, of all users or of one")
        listed.add_argument("user", nargs="?")
        revoke = actions.add_parser("revoke", help="let a key in no more")
        revoke.add_argument("number", type=int, help="as `list` shows it")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, options["action"])(options)

    def create(self, options: dict[str, Any]) -> None:
        user = _user(options["user"])
        account = _account(user, options["account"])
        ends = _day(options["expires"])
        try:
            shown = api_keys.create(account, user, options["name"], ends, options["source"])
        except Refused as refused:
            raise CommandError(str(refused)) from None
        self.stderr.write(f"A key of {user} for {account}. It is not shown again:")
        self.stdout.write(shown.text)

    def list(self, options: dict[str, Any]) -> None:
        keys = ApiKey.objects.select_related("user", "account").order_by("pk")
        if options["user"]:
            keys = keys.filter(user=_user(options["user"]))
        for key in keys:
            used = f"last used {_at(key.last_used_at)} from {key.last_used_from}"
            words = [str(key.pk), str(key.user), str(key.account), key.name]
            words.append(used if key.last_used_at else "never used")
            words += [f"from {', '.join(key.sources)}"] if key.sources else []
            words += [f"until {_at(key.expires_at)}"] if key.expires_at else []
            words += [f"revoked {_at(key.revoked_at)}"] if key.revoked_at else []
            self.stdout.write("\t".join(words))

    def revoke(self, options: dict[str, Any]) -> None:
        key = ApiKey.objects.filter(pk=options["number"]).first()
        if key is None:
            raise CommandError(f"There is no key {options['number']}.")
        api_keys.revoke(key)
        self.stdout.write(f"The key {key} lets nobody in any more.")


def _user(name: str) -> User:
    user = User.objects.filter(username=name).first()
    if user is None:
        raise CommandError(f"There is no user {name}.")
    return user


def _account(user: User, name: str | None) -> Account:
    accounts = Account.objects.visible_to(user).order_by("name")
    found = [account for account in accounts if name in (None, account.name)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(account.name for account in accounts) or "no account at all"
    raise CommandError(f"{user} belongs to {names}: say which with --account.")


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise CommandError("Enter the day as 2027-12-31.") from None


def _at(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else ""
