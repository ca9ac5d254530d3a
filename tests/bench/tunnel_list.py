"""The list of 10,000 tunnels, against a bare view with the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network
from secrets import token_urlsafe

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Value
from django.db.models.functions import Concat, Mod
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.utils import override_settings
from django.urls import include, path
from django.utils import timezone

from lab.peers import make_peers
from tests.bench.bench import LARGE, Bench
from tests.bench.bench_lab import STATE
from tests.bench.figures import Figure, in_turn, median, milliseconds, under
from tests.bench.portal import Portal, add_live, specification
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.models import (
    Account,
    AddressTranslation,
    Concentrator,
    Membership,
    Revision,
    Role,
    Subnet,
    Tunnel,
)

MAPPINGS, ROUNDS, LIMIT_MS = 5, 15, 150
PAGES = {
    "first page": "/tunnels/",
    "search for an address": "/tunnels/?q=10.64.3.7",
    "filter by state, last page": "/tunnels/?state=down&before=end",
    "changes not applied": "/tunnels/?state=changed",
    "sorted by address": "/tunnels/?sort=-remote-peer",
}
STATIC = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
RESPONSES: dict[str, bytes] = {}


def bare(request: HttpRequest) -> HttpResponse:
    """Return the bytes of a page, after all middleware."""
    return HttpResponse(RESPONSES[request.GET["of"]])


urlpatterns = [path("bare/", bare), path("", include("vpnportal.urls"))]


def run(bench: Bench) -> Iterator[Figure]:
    """Measure server time: the whole request with all middleware, without a network."""
    Portal(STATE / "list" / "portal.sqlite3", STATE / "no-charon").make()
    fill()
    # The portal's keys were made after its settings were read.
    settings.SECRET_KEY = token_urlsafe(50)
    with override_settings(
        ROOT_URLCONF=__name__,
        STORAGES={**settings.STORAGES, "staticfiles": STATIC},
        ALLOWED_HOSTS=["testserver"],
    ):
        browser = Client()
        browser.force_login(User.objects.get())
        for what, url in PAGES.items():
            Concentrator.objects.update(seen_at=timezone.now())
            RESPONSES[what] = browser.get(url).content
            page, floor = in_turn(
                ROUNDS,
                lambda url=url: milliseconds(lambda: browser.get(url)),
                lambda what=what: milliseconds(lambda: browser.get("/bare/", {"of": what})),
            )
            yield under(f"list of {LARGE:,}: {what}", median(page), LIMIT_MS, "ms", median(floor))
    connection.close()


def fill(tunnels: int = LARGE) -> None:
    """Create tunnels with subnets and translations, in different states, some with changes."""
    specs = [specification(peer, MAPPINGS) for peer in make_peers(tunnels)]
    account, concentrator = Account.objects.get(), Concentrator.objects.get()
    person = User.objects.create(username="ada")
    Membership.objects.create(account=account, user=person, role=Role.OWNER)
    add_live(specs, concentrator, account)
    with transaction.atomic():
        attach(specs, account)
        AddressTranslation.objects.bulk_create(
            AddressTranslation(
                tunnel_id=spec.tunnel_id,
                internal_address=str(row.internal),
                customer_address=str(row.customer),
                name=row.name,
            )
            for spec in specs
            for row in spec.translations
        )
        for rest, sa_status in enumerate(("up", "up", "up", "down", "connecting", "")):
            sixth = Tunnel.objects.annotate(rest=Mod("pk", 6)).filter(rest=rest)
            sixth.update(sa_status=sa_status, friendly_name=Concat(Value("Branch "), "name"))
        changed = Tunnel.objects.annotate(rest=Mod("pk", 10)).filter(rest=0)
        changed.update(phase_two_keylife=7_200, draft_digest="of another draft")
        Revision.objects.update(author=person, finished_at=timezone.now())


def attach(specs: Sequence[TunnelSpec], account: Account) -> None:
    """Attach each tunnel's own subnets and the hosted subnet, which all share."""
    rows = {
        (kind, network): Subnet(account=account, kind=kind, network=network)
        for spec in specs
        for kind, network in networks(spec)
    }
    saved = Subnet.objects.bulk_create(rows.values())
    keys = {(subnet.kind, subnet.network): subnet.pk for subnet in saved}
    link = Tunnel.subnets.through
    link.objects.bulk_create(
        link(tunnel_id=spec.tunnel_id, subnet_id=keys[pair])
        for spec in specs
        for pair in networks(spec)
    )


def networks(spec: TunnelSpec) -> list[tuple[str, IPv4Network]]:
    """Return the kind and the network of each subnet of a tunnel."""
    return [
        (Subnet.Kind.HOSTED, spec.hosted_subnets[0]),
        (Subnet.Kind.CUSTOMER, spec.remote_subnets[0]),
        (Subnet.Kind.STATIC_NAT, spec.static_nat_subnets[0]),
    ]
