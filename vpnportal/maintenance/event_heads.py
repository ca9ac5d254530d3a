"""Heads of the chain outside of the database: the journal, and syslog (RFC 5424)."""

from __future__ import annotations

import logging
import socket
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone

from vpnportal.maintenance.event_chain import Head, moment

log = logging.getLogger(__name__)

# Facility 4, authorization, and severity 5, notice.
PRIORITY = 4 * 8 + 5
DEFAULT_PORT = 514
SECONDS = 5.0
FORMS = "unix:///dev/log, udp://HOST:514 or tcp://HOST:514"


def publish(head: Head) -> None:
    """Append a head to this process's log and, with VPNPORTAL_SYSLOG, to a syslog server.

    The journal is a file of root: the portal's user cannot change a head in it.
    """
    log.info("event head %s", head)
    if settings.SYSLOG:
        try:
            _send(settings.SYSLOG, syslog_message(head))
        except (OSError, ValueError) as error:
            log.warning("The head cannot be sent to syslog: %s", error)


def syslog_message(head: Head) -> str:
    """Return a message of RFC 5424 without structured data."""
    at, host = moment(timezone.now()), socket.gethostname() or "-"
    return f"<{PRIORITY}>1 {at} {host} vpnportal - event-head - event head {head}"


def _send(url: str, message: str) -> None:
    """Send a message. Raises ValueError for a URL that is none of FORMS."""
    parts = urlsplit(url)
    data = message.encode()
    if parts.scheme == "unix" and parts.path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local:
            local.settimeout(SECONDS)
            local.sendto(data, parts.path)
    elif parts.scheme == "udp" and parts.hostname:
        address = (parts.hostname, parts.port or DEFAULT_PORT)
        family, kind, *_, target = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as datagrams:
            datagrams.sendto(data, target)
    elif parts.scheme == "tcp" and parts.hostname:
        address = (parts.hostname, parts.port or DEFAULT_PORT)
        with socket.create_connection(address, SECONDS) as stream:
            # Octet counting (RFC 6587, section 3.4.1).
            stream.sendall(f"{len(data)} ".encode() + data)
    else:
        raise ValueError(f"VPNPORTAL_SYSLOG must be {FORMS}.")
