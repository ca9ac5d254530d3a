"""Pings from the server during a block of a test, with what was answered."""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.running_portal import RunningPortal, wait_for


@dataclass(slots=True)
class Pings:
    """The answered pings, as time and sequence number, and the number of pings sent."""

    answers: list[tuple[float, int]] = field(default_factory=list)
    sent: int = 0

    @property
    def lost(self) -> int:
        """The number of pings without an answer; the last may be on its way when ping ends."""
        return max(0, self.sent - len(self.answers) - 1)

    @property
    def gap_seconds(self) -> float:
        """The longest time in which no ping was answered.

        It is counted in pings: on a busy machine ping itself does not run for up to half a second,
        and sends nothing. The time between two answers would count that, too.
        """
        (first_at, first), (last_at, last) = self.answers[0], self.answers[-1]
        missing = max(later - sooner - 1 for (_, sooner), (_, later) in pairwise(self.answers))
        return missing * (last_at - first_at) / (last - first)

    def __str__(self) -> str:
        silence = max(later - sooner for (sooner, _), (later, _) in pairwise(self.answers))
        return (
            f"{self.lost} of {self.sent} pings lost, {self.gap_seconds:.3f} s of them in a row;"
            f" {silence:.3f} s between two answers"
        )


def pinging(
    portal: RunningPortal, interval: float, target: str = "10.1.255.92"
) -> AbstractContextManager[Pings]:
    """Ping from the laboratory's server during the block, from the first answer on."""
    return pinging_with(["ip", "netns", "exec", f"{portal.prefix}-server"], interval, target)


@contextmanager
def pinging_with(
    on_server: list[str], interval: float, target: str = "10.1.255.92"
) -> Iterator[Pings]:
    """Ping during the block, from the first answer on; `on_server` runs a command on the server.

    The answers are complete after the block. They go to a file: a full pipe would stop ping.
    """
    pings = Pings()
    ping = ["ping", "-n", "-D", "-i", str(interval), target]
    with tempfile.NamedTemporaryFile() as output:
        process = subprocess.Popen([*on_server, *ping], stdout=output)
        try:
            # A signal before ping handles it would end ping without its statistics.
            wait_for(lambda: " ttl=" in Path(output.name).read_text(), 15)
            yield pings
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=10)
        text = Path(output.name).read_text()
    pings.answers += [
        (float(at), int(number))
        for at, number in re.findall(r"^\[(\S+)\] .* icmp_seq=(\d+) ttl=", text, re.MULTILINE)
    ]
    pings.sent = int(re.findall(r"(\d+) packets transmitted", text)[0])
