"""The connection of a worker to the broker, which returns within seconds after an outage."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery.worker.consumer import Consumer

RETRY_SECONDS = 1
# Between two converges while the broker cannot be reached.
ALONE_SECONDS = 10


class ReconnectingConsumer(Consumer):
    """A consumer that tries an unreachable broker every second, and works alone meanwhile.

    Celery's own waits two seconds longer after each try, up to half a minute. After a new
    connection the worker converges everything: messages of the outage are lost.
    """

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection as soon as the broker accepts it."""
        connect, converged_at = conn.ensure_connection, -float(ALONE_SECONDS)

        def connect_soon(on_error: Callable[..., None], *args: Any, **options: Any) -> Any:
            def log_and_converge(error: Exception, interval: float) -> None:
                nonlocal converged_at
                on_error(error, interval)
                if time.monotonic() - converged_at >= ALONE_SECONDS:
                    _tasks().converge_without_portal()
                    converged_at = time.monotonic()

            pauses = {
                "interval_start": RETRY_SECONDS,
                "interval_step": 0,
                "interval_max": RETRY_SECONDS,
            }
            return connect(log_and_converge, *args, **pauses, **options)

        conn.ensure_connection = connect_soon
        return super().ensure_connected(conn)

    def on_ready(self) -> None:
        """Start to take messages, and request a full converge."""
        super().on_ready()
        _tasks().converge_all(self.hostname)


def _tasks() -> Any:
    """Return the module of tasks: it needs Django's models, which Celery loads after this one."""
    from vpnportal import tasks

    return tasks
