"""A command on a machine with a terminal, at which a test reads questions and types answers."""

from __future__ import annotations

import os
import select
import subprocess
import time

from tests.machines.machine import Machine

SECONDS = 120


class Terminal:
    """A command of the shell, in a terminal of the machine. `text` has its output."""

    def __init__(self, machine: Machine, command: str) -> None:
        words = ("script", "--quiet", "--return", "--command", command, "/dev/null")
        self._process = subprocess.Popen(
            machine.command(*words), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.text = ""

    def answer(self, question: str, line: str) -> None:
        """Wait for a question, and type a line."""
        begin = len(self.text)
        deadline = time.monotonic() + SECONDS
        while question not in self.text[begin:]:
            assert self._read(deadline), f"no {question!r} in {self.text!r}"
        assert self._process.stdin
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()

    def wait(self) -> int:
        """Read to the end, and return the exit status."""
        deadline = time.monotonic() + SECONDS
        while self._read(deadline):
            pass
        assert self._process.stdin
        self._process.stdin.close()
        return self._process.wait(SECONDS)

    def _read(self, deadline: float) -> bool:
        assert self._process.stdout
        descriptor = self._process.stdout.fileno()
        ready, _, _ = select.select([descriptor], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"nothing more within {SECONDS} s after {self.text!r}"
        content = os.read(descriptor, 65536)
        self.text += content.decode(errors="replace")
        return bool(content)
