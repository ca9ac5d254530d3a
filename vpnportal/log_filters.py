"""Filters of log records: the id of a request, and routine work that says nothing."""

from __future__ import annotations

import logging

from vpnportal import request_context

# Celery would log three lines for it every few seconds.
ROUTINE_TASK = "vpnportal.portal_tasks.seal_events"


class RequestIdFilter(logging.Filter):
    """Filter that puts `[request id] ` into each log record, as `request`; "" outside a request."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True: every record is logged."""
        request_id = request_context.current().request_id
        record.request = f"[{request_id}] " if request_id else ""
        return True


class RoutineFilter(logging.Filter):
    """Filter that drops the records of Celery about each run of ROUTINE_TASK, but no warning."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True for a record that is logged."""
        values = record.args.values() if isinstance(record.args, dict) else record.args or ()
        is_routine = record.name.startswith("celery.") and ROUTINE_TASK in values
        return record.levelno > logging.INFO or not is_routine
