"""Faults of a running portal, and how a test undoes them."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psycopg
from celery import Celery

from tests import portal_database
from tests.running_portal import wait_for
from tests.system.faults import ground_truth
from tests.system.faults.scene import PATIENCE_SECONDS, Scene

QUEUE = "concentrator.hou02-vpn01"
SIX_HOURS_SECONDS = 6 * 3600
# Sizes of the writes that fill a disk: large ones first, then the last bytes.
CHUNK_BYTES = (1 << 16, 1 << 9, 1)
# A message for the write-ahead log, a quarter of a segment.
WRITE_AHEAD = "SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1 << 20)) IS NULL"


@dataclass(frozen=True)
class Fault:
    """A fault: `inject` causes it, `wait_for_effect` waits for the effect on the portal.

    `undo` runs after the effect, also if the effect does not appear.
    """

    name: str
    inject: Callable[[Scene], None]
    wait_for_effect: Callable[[Scene], None] = lambda scene: None
    undo: Callable[[Scene], None] = lambda scene: None


def _signal_sender(number: signal.Signals, word: str, host: str = "") -> Callable[[Scene], None]:
    """Return a function that signals all processes of this name; gunicorn has three."""

    def send(scene: Scene) -> None:
        pids = scene.portal.processes(word, host)
        assert pids, word
        for pid in pids:
            os.kill(pid, number)

    return send


def kill(name: str, *process: str) -> Fault:
    """Return the fault that kills a process; bin/keep starts it again."""
    return Fault(f"kill -9 {name}", _signal_sender(signal.SIGKILL, *process))


def stop(name: str, wait_for_effect: Callable[[Scene], None], *process: str) -> Fault:
    """Return the fault that stops a process, whose sockets still accept data."""
    return Fault(
        f"SIGSTOP {name}",
        _signal_sender(signal.SIGSTOP, *process),
        wait_for_effect,
        _signal_sender(signal.SIGCONT, *process),
    )


def _wait_for_charon_timeout(scene: Scene) -> None:
    """Wait until the worker or the monitor has found that charon does not answer.

    Once the revision is recorded, the worker may have nothing left to ask.
    """
    unreachable = "SELECT 1 FROM vpnportal_concentrator WHERE unreachable_reason <> ''"
    wait_for(
        lambda: (
            scene.worker_logged("charon does not answer")
            or (
                scene.step in ("recorded", "initiated")
                and ground_truth.rows(scene.portal, unreachable)
            )
        ),
        PATIENCE_SECONDS,
    )


def _wait_for_redis_timeout(scene: Scene) -> None:
    """Wait for the response to Apply, and for the error of a worker that needs Redis."""
    wait_for(scene.apply_response.done, PATIENCE_SECONDS)
    errors = ("Connection to broker lost", "Timeout", "ConnectionError")
    if scene.step in ("observed again", "recorded", "initiated"):
        wait_for(lambda: scene.worker_logged(*errors), PATIENCE_SECONDS)


def _fill(scene: Scene) -> None:
    """Use every byte of the database's disk, and of its write-ahead log. PostgreSQL then ends."""
    with (scene.portal.state / "postgresql" / "filler").open("wb", buffering=0) as filler:
        for size in CHUNK_BYTES:
            _write_until_full(filler, bytes(size))
    with suppress(psycopg.OperationalError):
        while True:
            portal_database.rows(scene.portal.state, WRITE_AHEAD)


def _write_until_full(file, chunk: bytes) -> None:
    try:
        while file.write(chunk):
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def _free(scene: Scene) -> None:
    (scene.portal.state / "postgresql" / "filler").unlink(missing_ok=True)
    wait_for(lambda: _answers(scene), PATIENCE_SECONDS)


def _answers(scene: Scene) -> bool:
    """Return True if the database answers."""
    with suppress(psycopg.OperationalError):
        return bool(portal_database.rows(scene.portal.state, "SELECT 1"))
    return False


def _wait_for_database_error(scene: Scene) -> None:
    wait_for(lambda: scene.worker_logged("OperationalError"), PATIENCE_SECONDS)


def _pass_esp(passes: bool) -> Callable[[Scene], None]:
    """Return a function that stops all packets of ESP at the concentrator, or lets them pass."""
    link = ("ip", "link", "set", "ipsec0", "up" if passes else "down")
    # "delete" alone would fail without the table, also after a fault that was not injected.
    rules = "add table ip no_esp; " + (
        "delete table ip no_esp"
        if passes
        else "add chain ip no_esp arriving { type filter hook prerouting priority -500; };"
        " add rule ip no_esp arriving meta l4proto esp drop"
    )

    def set_esp(scene: Scene) -> None:
        command = ("nft", rules) if scene.portal.kernel_esp else link
        done = scene.portal.on("concentrator", *command)
        assert done.returncode == 0, done.stderr

    return set_esp


def _wait_for_live_without_traffic(scene: Scene) -> None:
    """Wait until the revision is live, although no echo reply arrives."""
    wait_for(lambda: ground_truth.revisions(scene.portal)[scene.number] == "live", PATIENCE_SECONDS)
    assert not scene.answers()


def _clock(seconds: int) -> Callable[[Scene], None]:
    def set_clock(scene: Scene) -> None:
        scene.holds.set_clock(seconds)

    return set_clock


def _send_stray_messages(scene: Scene) -> None:
    """Send duplicates, ids of rows that do not exist, full converges and garbage."""
    app = Celery(broker=f"redis+socket://{scene.portal.state}/redis/redis.sock")
    with app.connection_for_write() as connection:
        for arguments in ((1, 1), (1, 1), (1, 4711), (99, 1), (1,), (1, None), ("x",), (), (1, 1)):
            app.send_task("vpnportal.tasks.converge", arguments, queue=QUEUE, connection=connection)


def _wait_for_failed_deletion(scene: Scene) -> None:
    wait_for(lambda: scene.worker_logged("conntrack does not answer"), PATIENCE_SECONDS)


CHARON = ("charon", "concentrator")
REDIS = ("redis-server",)
KILL_WORKER = kill("worker", "worker", "concentrator")
KILL_WEB = kill("web", "gunicorn")
KILL_BEAT = kill("beat", "beat")
KILL_MONITOR = kill("monitor", "watch")
KILL_CHARON = kill("charon", *CHARON)
KILL_REDIS = kill("Redis", *REDIS)
STOP_CHARON = stop("charon", _wait_for_charon_timeout, *CHARON)
STOP_REDIS = stop("Redis", _wait_for_redis_timeout, *REDIS)
NO_ESP = Fault("no ESP", _pass_esp(False), _wait_for_live_without_traffic, _pass_esp(True))
KEEP_FLOWS = Fault(
    "conntrack fails",
    lambda scene: scene.holds.keep_flows(True),
    _wait_for_failed_deletion,
    lambda scene: scene.holds.keep_flows(False),
)
FULL_DISK = Fault("full disk", _fill, _wait_for_database_error, _free)
CLOCK_FORWARD = Fault("clock +6 h", _clock(SIX_HOURS_SECONDS), undo=_clock(0))
CLOCK_BACK = Fault("clock -6 h", _clock(-SIX_HOURS_SECONDS), undo=_clock(0))
MESSAGES = Fault("messages", _send_stray_messages)
