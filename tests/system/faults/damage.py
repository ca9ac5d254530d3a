"""What can happen to a running portal, and how it is undone."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from celery import Celery

from tests.running_portal import wait_for
from tests.system.faults import ground_truth
from tests.system.faults.scene import Scene

QUEUE = "concentrator.hou02-vpn01"
SIX_HOURS = 6 * 3600
# What is written at a time to fill a disk: first much, then the last bytes.
CHUNKS = (1 << 16, 1 << 9, 1)


@dataclass(frozen=True)
class Fault:
    """`strike` happens at the step; `undo` once the portal has `met` it, and in any case."""

    name: str
    strike: Callable[[Scene], None]
    met: Callable[[Scene], None] = lambda scene: None
    undo: Callable[[Scene], None] = lambda scene: None


def _send(how: signal.Signals, word: str, host: str = "") -> Callable[[Scene], None]:
    """A signal to all processes of this name; gunicorn is three."""

    def send(scene: Scene) -> None:
        found = scene.portal.processes(word, host)
        assert found, word
        for pid in found:
            os.kill(pid, how)

    return send


def kill(name: str, *whom: str) -> Fault:
    """It ends at once, without a chance to tidy up, and its keeper starts it again."""
    return Fault(f"kill -9 {name}", _send(signal.SIGKILL, *whom))


def stop(name: str, met: Callable[[Scene], None], *whom: str) -> Fault:
    """It is silent, but its sockets take what is sent to them."""
    return Fault(f"SIGSTOP {name}", _send(signal.SIGSTOP, *whom), met, _send(signal.SIGCONT, *whom))


def _charon_missed(scene: Scene) -> None:
    """Until a call to charon has ended for lack of an answer; then charon goes on."""
    if scene.step == "initiated":
        question = "SELECT 1 FROM vpnportal_concentrator WHERE unreachable_reason <> ''"
        wait_for(lambda: ground_truth.rows(scene.portal, question), 30)
    else:
        wait_for(lambda: scene.worker_said("charon does not answer"), 30)


def _redis_missed(scene: Scene) -> None:
    """Until Apply has answered all the same, and a worker that needs Redis has missed it."""
    wait_for(scene.applied.done, 30)
    lost = ("Connection to broker lost", "Timeout", "ConnectionError")
    if scene.step in ("observed again", "recorded", "initiated"):
        wait_for(lambda: scene.worker_said(*lost), 30)


def _fill(scene: Scene) -> None:
    """Not a byte is left where the database is; its journal has no room in hand either."""
    folder = scene.portal.state / "db"
    with closing(sqlite3.connect(folder / "portal.sqlite3", timeout=10)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    with (folder / "filler").open("wb", buffering=0) as filler:
        for size in CHUNKS:
            _write_until_full(filler, bytes(size))


def _write_until_full(file, chunk: bytes) -> None:
    try:
        while file.write(chunk):
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def _free(scene: Scene) -> None:
    (scene.portal.state / "db" / "filler").unlink(missing_ok=True)


def _disk_missed(scene: Scene) -> None:
    wait_for(lambda: scene.worker_said("database or disk is full"), 30)


def _tun(state: str) -> Callable[[Scene], None]:
    def set_link(scene: Scene) -> None:
        done = scene.portal.on("concentrator", "ip", "link", "set", "ipsec0", state)
        assert done.returncode == 0, done.stderr

    return set_link


def _carried_nothing(scene: Scene) -> None:
    """Until the revision is live, and yet no echo comes back: nothing goes through the device."""
    wait_for(lambda: ground_truth.revisions(scene.portal)[scene.number] == "live", 30)
    assert f"{scene.wanted.internal} does not answer" in scene.wrong()


def _clock(seconds: int) -> Callable[[Scene], None]:
    def set_clock(scene: Scene) -> None:
        scene.holds.set_clock(seconds)

    return set_clock


def _many_messages(scene: Scene) -> None:
    """Twice the same, for what is gone and never was, for everything, and garbage in between."""
    app = Celery(broker=f"redis+socket://{scene.portal.state}/redis/redis.sock")
    with app.connection_for_write() as connection:
        for arguments in ((1, 1), (1, 1), (1, 4711), (99, 1), (1,), (1, None), ("x",), (), (1, 1)):
            app.send_task("vpnportal.tasks.converge", arguments, queue=QUEUE, connection=connection)


CHARON = ("charon", "concentrator")
REDIS = ("redis-server",)
KILL_WORKER = kill("worker", "worker")
KILL_WEB = kill("web", "gunicorn")
KILL_BEAT = kill("beat", "beat")
KILL_MONITOR = kill("monitor", "watch")
KILL_CHARON = kill("charon", *CHARON)
KILL_REDIS = kill("Redis", *REDIS)
STOP_CHARON = stop("charon", _charon_missed, *CHARON)
STOP_REDIS = stop("Redis", _redis_missed, *REDIS)
NO_TUN = Fault("no tun traffic", _tun("down"), _carried_nothing, _tun("up"))
FULL_DISK = Fault("full disk", _fill, _disk_missed, _free)
CLOCK_FORWARD = Fault("clock +6 h", _clock(SIX_HOURS), undo=_clock(0))
CLOCK_BACK = Fault("clock -6 h", _clock(-SIX_HOURS), undo=_clock(0))
MESSAGES = Fault("messages", _many_messages)
