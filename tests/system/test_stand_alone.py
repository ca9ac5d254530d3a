"""A gateway that boots while database, queue and pages of the portal are away."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.running_portal import RunningPortal, wait_for
from tests.system.conftest import translate

PORTAL = ("postgres", "redis-server", "gunicorn", "beat", "portal")


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def portal_away(run: RunningPortal) -> Iterator[None]:
    """Kill the processes of the portal, and keep their supervisors from restarting them."""
    keepers = []
    for word in PORTAL:
        pid = min(run.processes(word))
        keepers.append(parent(pid))
        os.kill(keepers[-1], signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
    try:
        yield
    finally:
        for keeper in keepers:
            os.kill(keeper, signal.SIGCONT)


def reboot(run: RunningPortal) -> None:
    """Lose what a reboot of the concentrator loses: its processes, its rules and its IPsec."""
    for word in ("charon", "worker", "watch"):
        os.kill(run.process(word, host="concentrator"), signal.SIGKILL)
    run.on("concentrator", "nft", "flush", "ruleset")
    for what in ("state", "policy"):
        run.on("concentrator", "ip", "xfrm", what, "flush")


def test_it_carries_again_and_takes_the_next_apply_when_the_portal_is_back(live: RunningPortal):
    with portal_away(live):
        reboot(live)
        assert not live.ping()
        wait_for(live.ping, 30)

    wait_for(lambda: live.run_all(*PORTAL), 30)
    live.run("bin/database", "wait", check=True)
    assert live.apply(translate("10.1.255.93"))["outcome"] == "live"
    wait_for(lambda: live.ping("10.1.255.93"), 15)
    assert not live.ping("10.1.255.92")
    # Killed once, and waiting for the database since.
    assert (live.state / "log" / "watch.log").read_text().count("watch ended") == 1
