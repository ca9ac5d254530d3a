"""The check of this machine's own certificate, with which it signs in to database and broker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from django.conf import settings

from vpnportal.gateway.requirements.findings import Finding, at_risk, met, unmet

NAME = "certificates/own"
# It is renewed after two thirds of its life. This part of it is left after a week of failures.
LATE = 1 / 4
RENEW = "`vpnportal certificates renew`; the journal of vpnportal-certificates has the reason."


def own_certificate() -> Iterator[Finding]:
    """Check the life of the certificate, which a timer renews after two thirds of it."""
    if not settings.CLIENT_TLS_FILE:
        yield met(NAME, "This machine has no certificate of its own.")
        return
    text = Path(settings.CLIENT_TLS_FILE).read_bytes()
    certificate = x509.load_pem_x509_certificate(text)
    now, end = datetime.now(UTC), certificate.not_valid_after_utc
    shown = f"{end:%Y-%m-%d %H:%M} UTC"
    if end <= now:
        join = "`vpnportal gateway add NAME` on the portal, then `vpnportal gateway join FILE` here"
        yield unmet(NAME, f"It ended at {shown}.", f"On a gateway: {join}. On the portal: {RENEW}")
    elif now > end - LATE * (end - certificate.not_valid_before_utc):
        yield at_risk(NAME, f"It was not renewed in time, and ends at {shown}.", RENEW)
    else:
        yield met(NAME, f"It is valid until {shown}, and renewed before.")
