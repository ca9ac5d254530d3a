"""Lines of the log: the id of their request, their length, and those that are left out."""

from __future__ import annotations

import logging
from threading import Lock
from time import strftime

from vpnportal import request_context

# Characters of each text in a message about a request, such as its path.
TEXT_LENGTH = 200
MESSAGE_LENGTH = 2_000
# Lines a minute of one kind. Each process has its own.
LINES_PER_MINUTE = 10
REQUEST_LOGGERS = ("django", "vpnportal.web", "vpnportal.api", "vpnportal.sign_in")
SERVER_ERROR = 500
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


class OneLine(logging.Formatter):
    """A formatter whose messages are one line of MESSAGE_LENGTH characters at most.

    A traceback follows in lines of its own.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message, MESSAGE_LENGTH)
        return super().formatMessage(record)


class ShortTexts(logging.Filter):
    """Cuts each text of a message about a request to TEXT_LENGTH characters, and drops no record.

    A message without arguments, as of `django.security`, is one text.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(REQUEST_LOGGERS):
            return True
        if not record.args:
            record.msg = printable(str(record.msg), TEXT_LENGTH)
        elif isinstance(record.args, tuple):
            record.args = tuple(
                printable(value, TEXT_LENGTH) if isinstance(value, str) else value
                for value in record.args
            )
        return True


class SparseLines(logging.Filter):
    """Passes LINES_PER_MINUTE lines of each kind of refused request, and counts the others.

    A stranger can cause such a line, for example by a 404. It has no traceback. The first line of a
    later minute has the number of those that were left out. A record with the attribute `sparse` is
    treated in the same way.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()
        # By kind: the minute, its lines, and the lines left out since one had their number.
        self._counts: dict[tuple[str, object], tuple[int, int, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = _kind(record)
        if kind is None:
            return True
        # Of a host name that is not allowed, for example: it has the name four times.
        record.exc_info = record.exc_text = None
        now = int(record.created // 60)
        with self._lock:
            minute, lines, left_out = self._counts.get(kind, (now, 0, 0))
            if minute == now and lines >= LINES_PER_MINUTE:
                self._counts[kind] = (now, lines, left_out + 1)
                return False
            self._counts[kind] = (now, lines + 1 if minute == now else 1, 0)
        if left_out:
            since = strftime("%H:%M", (0, 0, 0, minute // 60 % 24, minute % 60, 0, 0, 0, 0))
            text = "%s (%d more of this kind since %s UTC were left out)"
            record.msg, record.args = text, (record.getMessage(), left_out, since)
        return True


def printable(text: str, length: int) -> str:
    """Return a text of `length` characters at most, with escapes for all that is not printable."""
    cut = text if len(text) <= length else f"{text[: length - 1]}…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def _kind(record: logging.LogRecord) -> tuple[str, object] | None:
    """Return the kind of a line that a stranger can cause, or None."""
    if getattr(record, "sparse", False):
        return record.name, record.msg
    if record.name == "django.request" or record.name.startswith("django.security."):
        status = getattr(record, "status_code", 400)
        return (record.name, status) if status < SERVER_ERROR else None
    return None
