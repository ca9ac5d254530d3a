"""The check of the web server of an installed portal: both ports answer with good certificates."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from vpnportal.gateway.requirements.findings import Finding, met, unmet
from vpnportal.management.doctor import certificates
from vpnportal.management.doctor.certificates import Service

PAGES_PORT, GATEWAYS_PORT = 443, 8443
START = (
    "systemctl status nginx (or caddy); `vpnportal setup` writes the site of nginx if it is gone."
)
ISSUE_PAGES = (
    "If it is that of the installation: `vpnportal certificates renew --force`. If it is a public "
    "one: renew it, and reload the web server."
)


def web_server() -> Iterator[Finding]:
    """Check the port of the pages, and that of gateways, which accept one authority only."""
    if not settings.CLIENT_TLS_FILE:
        yield met("web", "This portal was not made by `vpnportal setup`.")
        return
    host = settings.ALLOWED_HOSTS[0]
    pages = Service("web/pages", (host, PAGES_PORT), host, "")
    authority = certificates.broker_authority()
    gateways = Service("web/gateways", (host, GATEWAYS_PORT), host, authority)
    for service in (pages, gateways):
        try:
            certificate = certificates.read_certificate(service)
        except OSError as error:
            reason = error.strerror or str(error) or "no answer in time"
            text = f"{host} does not answer on port {service.address[1]}: {reason}."
            yield unmet(service.name, text, START)
            continue
        if service is gateways:
            yield from certificates.check(service)
        elif problems := list(certificates.dates(service.name, certificate, ISSUE_PAGES)):
            yield from problems
        else:
            end = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
            yield met(service.name, f"{host} answers, with a certificate until {end}.")
