"""`manage.py gateway_key NAME`: the keys of a gateway, as the portal gives or takes them."""

from __future__ import annotations

import base64
from typing import Any

from django.core.management.base import CommandError, CommandParser

from vpnportal import services
from vpnportal.encryption import concentrator_key
from vpnportal.management.json_command import JsonCommand
from vpnportal.models import Concentrator


class Command(JsonCommand):
    """Command of the portal. With --concentrator it prints a secret: the content of a key file."""

    help = (
        "Seal what the gateway of a concentrator reads for its public key, as `vpnportal keys` "
        "prints it there. Also after the gateway was replaced."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the concentrator's name, such as hou02-vpn01")
        way = parser.add_mutually_exclusive_group(required=True)
        way.add_argument("public_key", nargs="?", help="the public key of the gateway")
        way.add_argument(
            "--concentrator", action="store_true", help="change nothing, print concentrator.key"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        concentrator = Concentrator.objects.filter(name=options["name"]).first()
        if concentrator is None:
            names = ", ".join(Concentrator.objects.values_list("name", flat=True)) or "none"
            raise CommandError(f"There is no concentrator {options['name']!r}. There are: {names}.")
        if options["concentrator"]:
            key = base64.b64encode(concentrator_key(concentrator.name)).decode()
            self.answer({"concentrator_key": key}, key)
            return
        try:
            count = services.set_envelope_key(concentrator, options["public_key"])
        except services.Refused as refused:
            raise CommandError(str(refused)) from None
        texts = "1 text is" if count == 1 else f"{count:,} texts are"
        self.answer({"sealed": count}, f"{texts} sealed for the gateway of {concentrator}.")
