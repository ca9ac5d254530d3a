"""`manage.py audit verify`, `audit head`: check the record of events, and print its head."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from vpnportal.maintenance.event_chain import Head, current_head
from vpnportal.maintenance.event_verification import HEAD, heads_in, verify
from vpnportal.management.json_command import JsonCommand

MAX_LINE = 10_000


class Command(JsonCommand):
    """Command of operators and auditors. `verify` has status 1 if the record is not whole."""

    help = "Verify the chain of events, or print its head to note it elsewhere."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        check = actions.add_parser("verify", help="find the first event that is wrong or missing")
        check.add_argument(
            "--head",
            action="append",
            default=[],
            metavar="NUMBER:DIGEST|FILE",
            help="a head that was noted before, or a file with heads in its lines; - is the "
            "standard input",
        )
        actions.add_parser("head", help="print the newest head")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "head":
            head = current_head()
            self.answer({"number": head.number, "digest": head.digest}, str(head))
            return
        try:
            verified = verify(chain.from_iterable(map(_heads, options["head"])))
        except OSError as error:
            raise CommandError(f"{error.filename} cannot be read: {error.strerror}.") from None
        if verified.problem:
            raise CommandError(verified.problem)
        values = {"head": str(verified.head), "verified": verified.count}
        text = f"{verified.count:,} events are as they were sealed. Head: {verified.head}"
        self.answer(values, text)


def _heads(argument: str) -> Iterator[Head]:
    """Yield the heads of an argument. Raises CommandError without any."""
    if HEAD.fullmatch(argument):
        yield from heads_in([argument])
        return
    is_empty = True
    with sys.stdin if argument == "-" else Path(argument).open(errors="replace") as lines:
        for head in heads_in(iter(lambda: lines.readline(MAX_LINE), "")):
            is_empty = False
            yield head
    if is_empty:
        raise CommandError(
            f"{argument} has no head. A head is a number, a colon and 64 hexadecimal digits, as "
            "`vpnportal audit head` prints it."
        )
