"""The connection of a worker to the broker, which returns within seconds after an outage."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer

RETRY_SECONDS = 1


class ReconnectingConsumer(Consumer):
    """A consumer that tries an unreachable broker every second.

    Celery's own waits two seconds longer after each try, up to half a minute. After a new
    connection the worker converges everything: messages of the outage are lost.
    """

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection as soon as the broker accepts it."""
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=RETRY_SECONDS,
            interval_step=0,
            interval_max=RETRY_SECONDS,
        )
        return super().ensure_connected(conn)

    def on_ready(self) -> None:
        """Start to take messages, and request a full converge."""
        super().on_ready()
        # Its module needs Django's models, which this one must not load before the worker does.
        from vpnportal.tasks import converge_all

        converge_all(self.hostname)
