"""The page of a tunnel with four /24 of live mappings: server time, collapsed and opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from pathlib import Path
from secrets import token_urlsafe

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path, reverse
from django.utils import timezone

from tests.bench.bench import Bench
from tests.bench.figures import Figure, in_turn, median, milliseconds, under
from tests.bench.portal import Portal
from vpnportal import services
from vpnportal.models import (
    Account,
    Concentrator,
    Membership,
    Revision,
    Role,
    Subnet,
    TranslationUsage,
    Tunnel,
)
from vpnportal.urls import urlpatterns as portal_urls

ROUNDS, LIMIT_MS = 15, 150
NAT, REMOTE = IPv4Network("10.1.252.0/22"), IPv4Network("192.168.0.0/16")
_bytes = b""


def bare_view(request: HttpRequest) -> HttpResponse:
    """Return the bytes of the page, after all middleware."""
    return HttpResponse(_bytes)


urlpatterns = [*portal_urls, path("bare/", bare_view)]


def run(bench: Bench) -> Iterator[Figure]:
    """Measure requests of a user through Django, without a network."""
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    storages = {**settings.STORAGES, "staticfiles": plain}
    # Signs the session of the user.
    settings.SECRET_KEY = token_urlsafe(50)
    with override_settings(ROOT_URLCONF=__name__, STORAGES=storages, ALLOWED_HOSTS=["*"]):
        state = Path(os.environ["VPNPORTAL_STATE"]) / "m"
        Portal(state / "portal.sqlite3", state / "no-charon.vici").make()
        tunnel, user = create_tunnel()
        client = Client()
        client.force_login(user)
        opened = "&".join(f"open={row.pk}" for row in tunnel.subnets.filter(kind="static-nat"))
        for what, query in (("collapsed", ""), ("opened", f"?{opened}")):
            url = reverse("tunnel", args=[tunnel.pk]) + query
            times, floor = in_turn(ROUNDS, request_page(client, url), request_bare(client, url))
            name = f"page with four /24 of mappings, {what}"
            yield under(name, median(times), LIMIT_MS, "ms", median(floor))


def request_page(client: Client, url: str) -> Callable[[], float]:
    """Return a measure of the page, in a thread as in the server.

    Calls across the end of a chunk of CPython 3.11's stack are slow. Below the calls of the
    benchmark, that end was in the loop of the rows, and the page took four times as long.
    """

    def measure() -> float:
        with ThreadPoolExecutor(1) as server:
            return server.submit(lambda: milliseconds(lambda: client.get(url))).result()

    return measure


def request_bare(client: Client, url: str) -> Callable[[], float]:
    """Return a measure of a view with the bytes of the page."""

    def measure() -> float:
        global _bytes
        _bytes = client.get(url).content
        return milliseconds(lambda: client.get("/bare/"))

    return measure


def create_tunnel() -> tuple[Tunnel, User]:
    """Create a tunnel with all addresses translated, named, live and used a minute ago."""
    account, concentrator, now = Account.objects.get(), Concentrator.objects.get(), timezone.now()
    user = User.objects.create_user("ada")
    Membership.objects.create(account=account, user=user, role=Role.OPERATOR)
    tunnel = Tunnel.objects.create(
        account=account, concentrator=concentrator, name="ipsec1", hosted_peer="203.0.113.1"
    )
    kinds = (("hosted", IPv4Network("10.2.0.0/24")), *(("static-nat", n) for n in NAT.subnets(2)))
    for kind, network in kinds:
        tunnel.subnets.add(Subnet.objects.create(account=account, kind=kind, network=network))
    services.edit(tunnel, "remote_peer", "203.0.113.2", user)
    services.set_preshared_key(tunnel, "a key", user)
    services.add_remote_subnet(tunnel, REMOTE, user)
    rows = [
        services.TranslationRow(internal, REMOTE[1 + count], f"host {count}")
        for count, internal in enumerate(NAT)
    ]
    services.set_translations(tunnel, rows, user)
    tunnel = Tunnel.objects.get(pk=tunnel.pk)
    Revision.next_for(tunnel, tunnel.draft(), user).save()
    Revision.objects.update(outcome=Revision.Outcome.LIVE, finished_at=now)
    minute = int(now.timestamp()) // 60 - 1
    pairs = {str(row.internal): [str(row.customer), minute] for row in rows}
    TranslationUsage.objects.create(tunnel=tunnel, pairs=pairs)
    Concentrator.objects.update(seen_at=now, used_since=now, used_read_at=now)
    return tunnel, user
