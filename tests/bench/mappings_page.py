"""The page of a tunnel with four /24 of mappings, all live: server time, collapsed and opened."""

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
from vpnportal.urls import urlpatterns as product

ROUNDS, LIMIT_MS = 15, 150
NAT, REMOTE = IPv4Network("10.1.252.0/22"), IPv4Network("192.168.0.0/16")
_bytes = b""


def same_bytes(request: HttpRequest) -> HttpResponse:
    """The floor: every middleware and no work."""
    return HttpResponse(_bytes)


urlpatterns = [*product, path("bare/", same_bytes)]


def run(bench: Bench) -> Iterator[Figure]:
    """A person's requests, through all of Django and without a network."""
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    storages = {**settings.STORAGES, "staticfiles": plain}
    # Signs the session of the one who asks.
    settings.SECRET_KEY = token_urlsafe(50)
    with override_settings(ROOT_URLCONF=__name__, STORAGES=storages, ALLOWED_HOSTS=["*"]):
        state = Path(os.environ["VPNPORTAL_STATE"]) / "m"
        Portal(state / "portal.sqlite3", state / "nobody.vici").make()
        tunnel, person = filled()
        client = Client()
        client.force_login(person)
        opened = "&".join(f"open={row.pk}" for row in tunnel.subnets.filter(kind="static-nat"))
        for what, query in (("collapsed", ""), ("opened", f"?{opened}")):
            url = reverse("tunnel", args=[tunnel.pk]) + query
            times, floor = in_turn(ROUNDS, asked(client, url), bare(client, url))
            name = f"page with four /24 of mappings, {what}"
            yield under(name, median(times), LIMIT_MS, "ms", median(floor))


def asked(client: Client, url: str) -> Callable[[], float]:
    """In a thread, as the server answers.

    CPython 3.11 calls slowly across the end of a chunk of its stack. Below the bench's own calls
    that end came to lie in the loop of the rows, and the page took four times as long.
    """

    def measure() -> float:
        with ThreadPoolExecutor(1) as server:
            return server.submit(lambda: milliseconds(lambda: client.get(url))).result()

    return measure


def bare(client: Client, url: str) -> Callable[[], float]:
    """A view that answers with what the page just was."""

    def measure() -> float:
        global _bytes
        _bytes = client.get(url).content
        return milliseconds(lambda: client.get("/bare/"))

    return measure


def filled() -> tuple[Tunnel, User]:
    """A tunnel whose every address is translated, named, live, and was used a minute ago."""
    account, concentrator, now = Account.objects.get(), Concentrator.objects.get(), timezone.now()
    person = User.objects.create_user("ada")
    Membership.objects.create(account=account, user=person, role=Role.OPERATOR)
    tunnel = Tunnel.objects.create(
        account=account, concentrator=concentrator, name="ipsec1", hosted_peer="203.0.113.1"
    )
    kinds = (("hosted", IPv4Network("10.2.0.0/24")), *(("static-nat", n) for n in NAT.subnets(2)))
    for kind, network in kinds:
        tunnel.subnets.add(Subnet.objects.create(account=account, kind=kind, network=network))
    services.edit(tunnel, "remote_peer", "203.0.113.2", person)
    services.set_preshared_key(tunnel, "a key", person)
    services.add_remote_subnet(tunnel, REMOTE, person)
    rows = [
        services.TranslationRow(internal, REMOTE[1 + count], f"host {count}")
        for count, internal in enumerate(NAT)
    ]
    services.set_translations(tunnel, rows, person)
    tunnel = Tunnel.objects.get(pk=tunnel.pk)
    Revision.next_for(tunnel, tunnel.draft(), person).save()
    Revision.objects.update(outcome=Revision.Outcome.LIVE, finished_at=now)
    minute = int(now.timestamp()) // 60 - 1
    pairs = {str(row.internal): [str(row.customer), minute] for row in rows}
    TranslationUsage.objects.create(tunnel=tunnel, pairs=pairs)
    Concentrator.objects.update(seen_at=now, used_since=now, used_read_at=now)
    return tunnel, person
