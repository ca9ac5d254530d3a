"""`manage.py apikey`: create, list and revoke the API keys of programs."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser

from vpnportal import services
from vpnportal.management.json_command import JsonCommand
from vpnportal.models import Account, ApiKey, Scope
from vpnportal.services import Refused


class Command(JsonCommand):
    """Command that manages API keys; a key has the role of its user in one account."""

    help = "Create, list and revoke the API keys of programs."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="create a key and print it on the last line")
        create.add_argument("user")
        create.add_argument("--name", required=True, help="the program that uses the key")
        create.add_argument("--account", help="required for a user with more than one account")
        create.add_argument(
            "--scope",
            choices=Scope.values,
            default=Scope.READ,
            help="the most that the program may do; read if omitted",
        )
        create.add_argument(
            "--starts", metavar="YYYY-MM-DD", help="the first day on which it is valid, in UTC"
        )
        create.add_argument(
            "--expires", metavar="YYYY-MM-DD", help="the last day on which it is valid, in UTC"
        )
        create.add_argument("--source", action="append", default=[], metavar="NETWORK")
        key_list = actions.add_parser("list", help="list the keys of all users or of one user")
        key_list.add_argument("user", nargs="?")
        revoke = actions.add_parser("revoke", help="revoke a key")
        revoke.add_argument("number", type=int, help="the key's number in `list`")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, options["action"])(options)

    def create(self, options: dict[str, Any]) -> None:
        user = _user(options["user"])
        account = _account(user, options["account"])
        last_day = _day(options["expires"])
        try:
            key = services.create_api_key(
                account,
                user,
                options["name"],
                last_day,
                options["source"],
                first_day=_day(options["starts"]),
                scope=options["scope"],
            )
        except Refused as refused:
            raise CommandError(str(refused)) from None
        if not self.is_json:
            self.stderr.write(f"API key of {user} for {account}. It is shown only once:")
        values = {"user": str(user), "account": str(account), "name": options["name"]}
        values["scope"] = str(options["scope"])
        self.answer({**values, "key": key.text}, key.text)

    def list(self, options: dict[str, Any]) -> None:
        keys = ApiKey.objects.select_related("user", "account").order_by("pk")
        if options["user"]:
            keys = keys.filter(user=_user(options["user"]))
        if self.is_json:
            self.answer([_values(key) for key in keys], "")
            return
        for key in keys:
            last_use = f"last used {_utc(key.last_used_at)} from {key.last_used_from}"
            columns = [str(key.pk), str(key.user), str(key.account), key.name, key.scope]
            columns.append(last_use if key.last_used_at else "never used")
            columns += [f"from {', '.join(key.sources)}"] if key.sources else []
            columns += [f"valid from {_utc(key.starts_at)}"] if key.starts_at else []
            columns += [f"until {_utc(key.expires_at)}"] if key.expires_at else []
            columns += [f"revoked {_utc(key.revoked_at)}"] if key.revoked_at else []
            self.stdout.write("\t".join(columns))

    def revoke(self, options: dict[str, Any]) -> None:
        key = ApiKey.objects.filter(pk=options["number"]).first()
        if key is None:
            raise CommandError(
                f"There is no key {options['number']}. `vpnportal apikey list` shows the numbers."
            )
        services.revoke_api_key(key)
        self.answer({"revoked": key.pk}, f"Revoked the key {key}.")


def _values(key: ApiKey) -> dict[str, Any]:
    """Return a key without its text, which the database does not have. Times are in ISO 8601."""
    return {
        "number": key.pk,
        "user": str(key.user),
        "account": str(key.account),
        "name": key.name,
        "scope": key.scope,
        "sources": list(key.sources),
        "last_used_at": _iso(key.last_used_at),
        "last_used_from": key.last_used_from,
        "starts_at": _iso(key.starts_at),
        "expires_at": _iso(key.expires_at),
        "revoked_at": _iso(key.revoked_at),
    }


def _user(name: str) -> User:
    user = User.objects.filter(username=name).first()
    if user is None:
        raise CommandError(f"There is no user {name}. Create users under Administration.")
    return user


def _account(user: User, name: str | None) -> Account:
    accounts = Account.objects.visible_to(user).order_by("name")
    matches = [account for account in accounts if name in (None, account.name)]
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(account.name for account in accounts) or "no account"
    raise CommandError(f"{user} belongs to {names}: choose an account with --account.")


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise CommandError("Enter the day in the form 2027-12-31.") from None


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None


def _utc(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else ""
