"""The unmodified client of the retired API, run as a process against a running portal."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.running_portal import ROOT

SLCLI = str(ROOT / ".venv-slcli" / "bin" / "slcli")


class Slcli:
    """`slcli` with its own settings file and home.

    It inherits no variables: a proxy or a user name of the environment would override the file.
    """

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.settings, self.endpoint = folder / "softlayer.ini", endpoint
        self._environment = {"HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

    def set_up(self, user: str, key: str) -> str:
        """Answer the questions of `slcli config setup` and return its output."""
        answers = ("custom", self.endpoint, user, key, "30", "dark", "y")
        process = self.run("config", "setup", stdin="\n".join(answers) + "\n")
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command, with any exit status."""
        return subprocess.run(
            [SLCLI, "-C", str(self.settings), *arguments],
            env=self._environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            start_new_session=True,
        )

    def succeed(self, *arguments: str) -> str:
        """Run a command that must succeed without warnings, and return its output."""
        process = self.run(*arguments)
        assert (process.returncode, process.stderr) == (0, ""), process.stdout + process.stderr
        return process.stdout.strip()

    def fail(self, *arguments: str) -> str:
        """Run a command that must fail without a traceback, and return its output."""
        process = self.run(*arguments)
        assert process.returncode == 1, process.stdout + process.stderr
        assert "unexpected error" not in process.stdout, process.stdout
        return process.stdout.strip()

    def tables(self, *arguments: str) -> list[Any]:
        """Run a command and return the tables of its output, as values."""
        text, tables = self.succeed("--format", "jsonraw", *arguments), []
        while text:
            value, end = json.JSONDecoder().raw_decode(text)
            tables.append(value)
            text = text[end:].lstrip()
        return tables

    def table(self, *arguments: str) -> Any:
        """Run a command and return the only table of its output."""
        (table,) = self.tables(*arguments)
        return table

    def call(self, method: str, *arguments: Any, on: object = None, **options: str) -> Any:
        """Return the value of `slcli call-api`; the service is that of the contexts by default.

        The client sends every argument that is no struct or list as a string.
        """
        service = options.pop("service", "Network_Tunnel_Module_Context")
        words = [value if isinstance(value, str) else json.dumps(value) for value in arguments]
        flags = [f"--{name}={value}" for name, value in options.items()]
        init = [] if on is None else [f"--id={on}"]
        tables = self.tables("call-api", service, method, *words, *init, *flags)
        return tables[0] if tables else None
