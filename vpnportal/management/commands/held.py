"""`manage.py held`: list and decide the tunnels that wait for a choice after a restore."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from vpnportal import services
from vpnportal.management.json_command import JsonCommand
from vpnportal.models import Account, Concentrator, HeldTunnel


class Command(JsonCommand):
    """Command of operators. `list` has status 1 while a tunnel or a gateway waits.

    `keep` and `replace` have status 1 if a choice was refused, and 2 for refused arguments.
    """

    help = "List the tunnels that gateways hold after a restore, and choose a side for them."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="list the tunnels, and both sides of each")
        for action, text in (
            ("keep", "keep what the gateways run, and write it into the database"),
            ("replace", "take the backup's settings: gateways change or remove the tunnels"),
        ):
            choice = actions.add_parser(action, help=text)
            choice.add_argument("tunnel", nargs="*", help="the name or the number of a tunnel")
            choice.add_argument("--all", action="store_true", help="all held tunnels")
            if action == "keep":
                choice.add_argument(
                    "--account", help="gets the tunnels whose account is not in the backup"
                )
        forget = actions.add_parser("forget", help="do not wait for a gateway that is gone")
        forget.add_argument("gateway", help="the name of its concentrator")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['action']}")(options)

    def _list(self, options: dict[str, Any]) -> None:
        held = services.held_tunnels()
        waiting = [row.name for row in Concentrator.objects.uncompared().order_by("name")]
        if self.is_json:
            rows = [_values(summary) for summary in held]
            self.answer({"uncompared": waiting, "held": rows}, "")
        else:
            for name in waiting:
                self.stdout.write(f"{name}: not compared with the backup yet")
            for values in map(_values, held):
                differs_in = ", ".join(values.pop("differs_in"))
                self.stdout.write("\t".join((*map(str, values.values()), differs_in)))
            if not waiting and not held:
                self.stdout.write("No tunnel is held.")
        if waiting or held:
            sys.exit(1)

    def _keep(self, options: dict[str, Any]) -> None:
        account = _account(options["account"])
        self._report(services.keep_gateways(_tunnel_ids(options), None, account))

    def _replace(self, options: dict[str, Any]) -> None:
        self._report(services.take_backups(_tunnel_ids(options), None))

    def _forget(self, options: dict[str, Any]) -> None:
        concentrator = Concentrator.objects.filter(name=options["gateway"]).first()
        if concentrator is None:
            raise CommandError(
                f"There is no gateway {options['gateway']}. `vpnportal gateway list` shows all.",
                returncode=2,
            )
        services.forget_gateway(concentrator)
        self.answer(
            {"forgotten": concentrator.name},
            f"The portal does not wait for {concentrator} any more. Addresses that it uses can be "
            "given to other tunnels: keep it switched off.",
        )

    def _report(self, choices: list[services.Choice]) -> None:
        lines = [f"{choice.tunnel}: {choice.problem or 'done'}" for choice in choices]
        refused = sum(bool(choice.problem) for choice in choices)
        error = f"Refused: {refused} of {len(choices)}." if refused else ""
        rows = [{"tunnel": choice.tunnel, "problem": choice.problem} for choice in choices]
        self.answer({"choices": rows} | ({"error": error} if error else {}), "\n".join(lines))
        if error and self.is_json:
            sys.exit(1)
        if error:
            raise CommandError(error)


def _values(summary: services.HeldSummary) -> dict[str, Any]:
    return {
        "tunnel": str(summary.held),
        "account": summary.account or "not in the backup",
        "gateway": summary.held.concentrator.name,
        "kind": summary.held.kind,
        "backup_has": summary.backup,
        "gateway_runs": summary.gateway,
        "differs_in": summary.differs_in,
    }


def _tunnel_ids(options: dict[str, Any]) -> list[int]:
    """Return the ids of the named held tunnels, or of all."""
    names = options["tunnel"]
    if bool(names) == options["all"]:
        raise CommandError("Name tunnels, or give --all.", returncode=2)
    ids: dict[str, int] = {}
    for row in HeldTunnel.objects.undecided():
        ids |= {str(row.tunnel_id): row.tunnel_id, str(row): row.tunnel_id}
    if unknown := [name for name in names if name not in ids]:
        raise CommandError(
            f"{', '.join(unknown)} is not held: see `vpnportal held list`.", returncode=2
        )
    return sorted({ids[name] for name in names or ids})


def _account(name: str | None) -> Account | None:
    if name is None:
        return None
    account = Account.objects.filter(name=name).first()
    if account is None:
        raise CommandError(
            f"There is no account {name!r}. The page Accounts has the names.", returncode=2
        )
    return account
