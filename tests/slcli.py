"""The retired API's own client, unmodified, as a process against a running portal."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.running_portal import ROOT

SLCLI = str(ROOT / ".venv-slcli" / "bin" / "slcli")


class Slcli:
    """`slcli` with a settings file and a home of its own, as a person has them.

    No variable of ours reaches it: a proxy or a user name there would beat the file.
    """

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.settings, self.endpoint = folder / "softlayer.ini", endpoint
        self._environment = {"HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

    def set_up(self, user: str, key: str) -> str:
        """`slcli config setup`, answered as a person would: everything it printed."""
        answers = ("custom", self.endpoint, user, key, "30", "dark", "y")
        done = self.run("config", "setup", typed="\n".join(answers) + "\n")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """One command, whatever becomes of it."""
        return subprocess.run(
            [SLCLI, "-C", str(self.settings), *arguments],
            env=self._environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
            start_new_session=True,
        )

    def said(self, *arguments: str) -> str:
        """What a command printed that succeeded and complained of nothing."""
        done = self.run(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return done.stdout.strip()

    def refused(self, *arguments: str) -> str:
        """What a command printed that failed as the client expects failures: no traceback."""
        done = self.run(*arguments)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "unexpected error" not in done.stdout, done.stdout
        return done.stdout.strip()

    def tables(self, *arguments: str) -> list[Any]:
        """The tables that a command printed, as values."""
        text, found = self.said("--format", "jsonraw", *arguments), []
        while text:
            value, end = json.JSONDecoder().raw_decode(text)
            found.append(value)
            text = text[end:].lstrip()
        return found

    def table(self, *arguments: str) -> Any:
        """The one table that a command printed."""
        (only,) = self.tables(*arguments)
        return only

    def call(self, method: str, *arguments: Any, on: object = None, **options: str) -> Any:
        """`slcli call-api` of a method of the tunnels' service, and the answer to it.

        The client sends every argument that is no struct or list as text.
        """
        service = options.pop("service", "Network_Tunnel_Module_Context")
        words = [one if isinstance(one, str) else json.dumps(one) for one in arguments]
        chosen = [f"--{name}={value}" for name, value in options.items()]
        init = [] if on is None else [f"--id={on}"]
        printed = self.tables("call-api", service, method, *words, *init, *chosen)
        return printed[0] if printed else None
