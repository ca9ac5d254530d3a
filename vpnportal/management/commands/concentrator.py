"""`manage.py concentrator`: the part of `vpnportal gateway` that the database has."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from vpnportal import services
from vpnportal.management.json_command import JsonCommand
from vpnportal.models import AddressPool
from vpnportal.services import Refused


class Command(JsonCommand):
    """Command that creates the concentrator of a gateway, and says if a gateway can be removed."""

    help = "Used by `vpnportal gateway`: add a concentrator, or note that its gateway is removed."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        add = actions.add_parser("add", help="create a concentrator, or add pools to it")
        add.add_argument("name")
        add.add_argument("--public-address", default="")
        add.add_argument("--datacenter", default="")
        add.add_argument("--location", default="")
        for kind in AddressPool.Kind:
            add.add_argument(f"--{_option(kind)}", action="append", default=[])
        check = actions.add_parser("check_removal", help="fail if its gateway has tunnels")
        check.add_argument("name")
        check.add_argument("--with-tunnels", action="store_true")
        actions.add_parser("removed", help="seal nothing more for it").add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            text = getattr(self, f"_{options['action']}")(options)
        except Refused as refused:
            raise CommandError(str(refused)) from None
        self.answer({"step": text}, text)

    def _add(self, options: dict[str, Any]) -> str:
        name = options["name"]
        pools = [
            (kind, network)
            for kind in AddressPool.Kind
            for network in options[_option(kind).replace("-", "_")]
        ]
        is_new = services.add_concentrator(
            name, options["public_address"], options["datacenter"], options["location"], pools
        )
        return f"The concentrator {name} is {'made' if is_new else 'there'}."

    def _check_removal(self, options: dict[str, Any]) -> str:
        name = options["name"]
        count = services.tunnels_of_gateway(name)
        tunnels = "1 tunnel" if count == 1 else f"{count:,} tunnels"
        if count and not options["with_tunnels"]:
            raise CommandError(
                f"{name} has {tunnels}. Move them first (Administration, Tunnels, Move), or add "
                "--with-tunnels: then no change of them is possible until a machine joins as "
                f"{name} again."
            )
        return f"{name} has {tunnels if count else 'no tunnels'}."

    def _removed(self, options: dict[str, Any]) -> str:
        # A concentrator that was deleted before its gateway.
        if not services.note_removed(options["name"]):
            return ""
        return f"Nothing more is sealed for the machine that was {options['name']}."


def _option(kind: AddressPool.Kind) -> str:
    return "hosted-peers" if kind is AddressPool.Kind.HOSTED_PEER else "static-nat"
