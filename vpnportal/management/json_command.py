"""Commands of `manage.py` for operators: `--json`, and a sentence for each failure."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError
from kombu.exceptions import OperationalError as BrokerError

from vpnportal.request_context import acting_as

USAGE_STATUS = 2


class JsonCommand(BaseCommand):
    """Command with `--json`, with which its output is one JSON document, also if it refuses.

    A refusal is an object with `error`, a sentence. The status is 0, `failure_status` after a
    failure, or 2 after a wrong use, unless a command has others.
    """

    json_help = "print one object for a program"
    failure_status = 1
    is_json = False

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        if self.is_json:
            # The parser raises CommandError then, in place of a text and an exit.
            self._called_from_command_line = False
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        for leaf in leaf_parsers(parser):
            leaf.add_argument("--json", action="store_true", help=self.json_help)
        return parser

    def run_from_argv(self, argv: list[str]) -> None:
        self.is_json = "--json" in argv[2:]
        try:
            super().run_from_argv(argv)
        except CommandError as error:
            # A word of argparse, as in "Error: the following arguments are required: --from".
            reason = str(error).removeprefix("Error: ").rstrip(".")
            help_text = f"`vpnportal {argv[1]} --help` has the arguments."
            self._refuse(f"{reason[:1].upper()}{reason[1:]}. {help_text}", USAGE_STATUS)

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.is_json = bool(options.get("json"))
        try:
            return self._execute(*args, **options)
        except CommandError as error:
            if not self.is_json or options.get("traceback"):
                raise
            self._refuse(str(error), error.returncode)
        return None

    def answer(self, values: object, text: str) -> None:
        """Print the result: as JSON, or as text, of which an empty one is no line."""
        if self.is_json or text:
            self.stdout.write(json.dumps(values, indent=2) if self.is_json else text)

    def _execute(self, *args: Any, **options: Any) -> str | None:
        name = self.__module__.rpartition(".")[2]
        try:
            with acting_as(f"vpnportal {name}"):
                return super().execute(*args, **options)
        except OperationalError as error:
            reason = f"The database did not do it: {_line(error)}"
        except BrokerError as error:
            reason = f"The broker did not do it: {_line(error)}"
        except ImproperlyConfigured as error:
            reason = f"A setting is wrong: {_line(error)}"
        text = f"{reason}. `vpnportal doctor` says what to do."
        raise CommandError(text, returncode=self.failure_status)

    def _refuse(self, error: str, status: int) -> None:
        self.stdout.write(json.dumps({"error": error}, indent=2))
        sys.exit(status)


def leaf_parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parsers of all actions of a command, or its own if it has no actions."""
    actions = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for action in actions:
        for choice in action.choices.values():
            yield from leaf_parsers(choice)
    if not actions:
        yield parser


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
