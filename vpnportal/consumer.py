"""The connection of a worker to the broker, which works again within seconds after an outage."""

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
    connection the worker converges everything: messages of the outage are lost. A broker that
    answers and refuses commands, as Redis with a full disk does, counts as unreachable.
    """

    channel_errors: tuple[type[Exception], ...]
    _converged_at = -float(ALONE_SECONDS)

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection as soon as the broker accepts it."""
        connect = conn.ensure_connection

        def connect_soon(on_error: Callable[..., None], *args: Any, **options: Any) -> Any:
            def log_and_converge(error: Exception, interval: float) -> None:
                on_error(error, interval)
                self._converge_alone()

            pauses = {
                "interval_start": RETRY_SECONDS,
                "interval_step": 0,
                "interval_max": RETRY_SECONDS,
            }
            return connect(log_and_converge, *args, **pauses, **options)

        conn.ensure_connection = connect_soon
        return super().ensure_connected(conn)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Log the error, and pause if the broker refused a command."""
        super().on_connection_error_before_connected(exc)
        self._pause_if_refused(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close the connection, and pause if the broker refused a command."""
        super().on_connection_error_after_connected(exc)
        self._pause_if_refused(exc)

    def _pause_if_refused(self, exc: Exception) -> None:
        """Converge alone and wait, because the broker would refuse the next try, too."""
        if isinstance(exc, self.channel_errors):
            self._converge_alone()
            time.sleep(RETRY_SECONDS)

    def _converge_alone(self) -> None:
        if time.monotonic() - self._converged_at >= ALONE_SECONDS:
            _tasks().converge_without_portal()
            self._converged_at = time.monotonic()

    def on_ready(self) -> None:
        """Start to take messages, and request a full converge."""
        super().on_ready()
        _tasks().converge_all(self.hostname)


def _tasks() -> Any:
    """Return the module of tasks: it needs Django's models, which Celery loads after this one."""
    from vpnportal import tasks

    return tasks
