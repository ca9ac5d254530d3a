"""`manage.py keys`: make missing key files, rotate the key of a portal or gateway, seal again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.core.management.utils import get_random_secret_key

from vpnportal.encryption import forget_keys, gateway_public_keys, has_keys, key_ids, new_key
from vpnportal.enrolment.key_files import new_gateway_key
from vpnportal.management.database_copy.seals import listed
from vpnportal.management.json_command import JsonCommand
from vpnportal.management.key_folder import (
    GATEWAY,
    PORTAL,
    key_files,
    line_of,
    make,
    make_folder,
    make_missing,
)
from vpnportal.management.seal_keys import KeyUse, key_uses, reseal
from vpnportal.root_commands import programs
from vpnportal.root_commands.output import Failure


class Command(JsonCommand):
    """Command that makes key files which only their owner can read, or root's user of the service.

    On a gateway it makes `gateway.key`, and prints the public key that the portal needs. Elsewhere
    it makes the portal's files: without `seal.key` no preshared key can be decrypted. With the word
    `rotate` it adds a new first line. `status` ends with 1 if a value does not open.
    """

    help = "Make the missing key files of this portal or gateway, or rotate its key."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "action",
            nargs="?",
            choices=["make", "rotate", "reseal", "status", "retire"],
            default="make",
            help="make what is missing; or rotate: begin to seal with a new key; and on a portal "
            "reseal: seal everything with it; status: count what each key opens; retire: remove "
            "the keys that open nothing any more",
        )
        parser.add_argument(
            "--concentrators",
            nargs="+",
            metavar="NAME",
            default=[],
            help="on a portal: also make the keys of these gateways on the same machine",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        action = options["action"]
        if settings.MACHINE == "gateway":
            if action not in ("make", "rotate"):
                raise CommandError(f"`vpnportal keys {action}` is for the portal.")
            _make_own_folder()
            self._make_keys_of_gateway(action == "rotate")
        elif action == "make":
            _make_own_folder()
            self._make_keys_of_portal(options["concentrators"])
        else:
            getattr(self, f"_{action}")()

    def _make_keys_of_portal(self, concentrators: list[str]) -> None:
        earlier = key_files()
        for file, text in (
            (settings.KEYS / "session.key", get_random_secret_key()),
            (settings.SEAL_KEY_FILE, new_key()),
            (settings.FINGERPRINT_KEY_FILE, new_key()),
        ):
            make_missing(file, text, PORTAL)
        for name in concentrators:
            make_folder(name)
        self.answer({"made": sorted(key_files() - earlier)}, "")

    def _make_keys_of_gateway(self, rotates: bool) -> None:
        line, _ = new_gateway_key()
        file, earlier = settings.GATEWAY_KEY_FILE, key_files()
        if rotates and has_keys(file):
            make(file, f"{line}\n{file.read_text().rstrip()}", GATEWAY)
        make_missing(file, line, GATEWAY)
        # The version before had the key from which all are derived.
        if settings.CONCENTRATOR and has_keys(settings.FINGERPRINT_KEY_FILE):
            make_missing(settings.CONCENTRATOR_KEY_FILE, line_of(settings.CONCENTRATOR), GATEWAY)
        name, public_key = settings.CONCENTRATOR or "NAME", gateway_public_keys()[0]
        command = f"vpnportal gateway_key {name} {public_key}"
        values = {"public_key": public_key, "on_the_portal": command}
        made = sorted(key_files() - earlier)
        self.answer({"made": made, **values}, f"On the portal: {command}")

    def _rotate(self) -> None:
        """Let all services open values of a new key, and only then seal with it."""
        earlier, line = _lines_of_seal_key(), new_key()
        if settings.MACHINE:
            self._write_seal_key([*earlier, line])
        self._write_seal_key([line, *earlier])
        key_id = _key_ids()[0]
        restart = "" if settings.MACHINE else " Restart the portal now."
        self.answer(
            {"key": key_id, "lines": len(earlier) + 1},
            f"The new key {key_id} is the first line of {settings.SEAL_KEY_FILE}.{restart} Back up "
            "the keys. Then run `vpnportal keys reseal`.",
        )

    def _reseal(self) -> None:
        resealed = reseal(self._report)
        names, count = resealed.unreadable, resealed.count
        if names:
            raise CommandError(
                f"{listed(names)} did not open with the keys. {count:,} values were sealed again. "
                "`vpnportal doctor` says what to do."
            )
        key_id = _key_ids()[0]
        self.answer(
            {"key": key_id, "sealed": count},
            f"Sealed {count:,} values with the key {key_id}. It opens everything now."
            + (" Then run `vpnportal keys retire`." if len(_key_ids()) > 1 else ""),
        )

    def _report(self, done: int, total: int) -> None:
        if not self.is_json:
            self.stderr.write(f"{done:,} of {total:,} values", style_func=str)

    def _status(self) -> None:
        uses = key_uses()
        self.answer(
            [
                {
                    "line": use.line,
                    "key": use.key_id,
                    "values": dict(use.values),
                    "unreadable": use.unreadable,
                }
                for use in uses
            ],
            "\n".join(map(_sentence, uses)),
        )
        if any(use.unreadable for use in uses):
            sys.exit(1)

    def _retire(self) -> None:
        first, *others = _lines_of_seal_key()
        # In a package, only the user of the services opens the database, and only root this file.
        if settings.MACHINE:
            uses = json.loads(_done(programs.manage, "keys", "status", "--json"))
        else:
            uses = [{"line": use.line, "values": use.values} for use in key_uses()]
        if needed := sum(sum(use["values"].values()) for use in uses if use["line"] > 1):
            raise CommandError(
                f"{needed:,} values still need an earlier key: run `vpnportal keys reseal` first."
            )
        if others:
            self._write_seal_key([first])
        self.answer(
            {"key": _key_ids()[0], "removed": len(others)},
            f"Removed {len(others)} earlier keys. A backup from before `vpnportal keys reseal` "
            "needs them: keep the backup of the keys for as long."
            if others
            else "There is no earlier key.",
        )

    def _write_seal_key(self, lines: list[str]) -> None:
        make(settings.SEAL_KEY_FILE, "\n".join(lines), PORTAL)
        forget_keys()
        if settings.MACHINE:
            _done(programs.systemctl, "try-restart", *programs.PORTAL_SERVICES)


def _make_own_folder() -> None:
    settings.KEYS.mkdir(mode=0o700, parents=True, exist_ok=True)


def _lines_of_seal_key() -> list[str]:
    _key_ids()
    return settings.SEAL_KEY_FILE.read_text().split()


def _key_ids() -> tuple[str, ...]:
    return key_ids(settings.SEAL_KEY_FILE)


def _done(run: Callable[..., str], *words: str) -> str:
    try:
        return run(*words)
    except Failure as failure:
        raise CommandError(str(failure)) from None


def _sentence(use: KeyUse) -> str:
    parts = ", ".join(f"{count:,} of {kind}" for kind, count in sorted(use.values.items()))
    text = f"line {use.line}" if use.line else "missing"
    text += f", key {use.key_id}: {parts or 'no value'}"
    if use.unreadable:
        return f"{text}; {use.unreadable:,} do not open, `vpnportal doctor` says what to do"
    return f"{text}; seals new values" if use.line == 1 else text
