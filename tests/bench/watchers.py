"""What an open page costs when one person watches and when a hundred do, and what counting does."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path
from secrets import token_urlsafe

from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from lab.peers import make_peers
from tests.bench.bench import LARGE, Bench
from tests.bench.figures import Figure, at_most, in_turn, median, milliseconds, p95, under
from tests.bench.portal import Portal, specification
from tests.bench.stage import STATE
from vpnportal.domain.gateway_config.compile import compile_tunnel
from vpnportal.domain.gateway_config.desired import LoadedConnection
from vpnportal.domain.traffic.accounting import TrafficAccountant
from vpnportal.domain.traffic.counters import ChildSaSample, IkeSaSample, TrafficCounts, last_hour
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.encryption import fingerprint_key
from vpnportal.models import Account, Concentrator, Membership, Traffic
from vpnportal.monitor import traffic_recorder
from vpnportal.monitor import traffic_recorder as monitor_traffic_recorder
from vpnportal.monitor.traffic_recorder import TrafficRecorder

WATCHERS, POLLS, ROUNDS, PAIRS = 100, 200, 5, 30
# While a tunnel carries something, a page asks twice between two changes.
POLLS_PER_CHANGE = 2
# As long as an apply that wants to write may have to wait for the counters of others.
LONGEST_WRITE_MS = 100


def run(bench: Bench) -> Iterator[Figure]:
    """No charon: nobody who looks asks one, and its replies are made up."""
    portal = Portal(STATE / "watchers" / "portal.sqlite3", Path("/nowhere")).make()
    specs = [specification(peer) for peer in make_peers(LARGE)]
    remote = tuple(IPv4Network(f"172.16.{number}.0/24") for number in range(PAIRS))
    specs[0] = replace(specification(make_peers(1)[0], mappings=250), remote_subnets=remote)
    portal.add(specs)
    Concentrator.objects.update(seen_at=timezone.now() + timedelta(seconds=10))
    yield from polling(portal, specs[0])
    yield from writing(portal, specs)


def polling(portal: Portal, spec: TunnelSpec) -> Iterator[Figure]:
    """One tunnel of 30 pairs and 250 mappings, which carries something all the time."""
    settings.ALLOWED_HOSTS, settings.SECURE_SSL_REDIRECT = ["testserver"], False
    settings.SECRET_KEY = token_urlsafe(50)
    pages = [Page(reverse("status", args=[spec.tunnel_id])) for _ in range(WATCHERS)]
    turns, (shape, lines) = itertools.count(1), held([spec])
    meter = TrafficAccountant({}, None)

    def polls(few: Sequence[Page]) -> float:
        """Milliseconds of one poll; every change is met by all of these pages."""
        took = 0.0
        for _ in range(POLLS // len(few) // POLLS_PER_CHANGE):
            now = timezone.now()
            monitor_traffic_recorder.save_traffic(
                portal.concentrator, meter.sample(shape, carrying(lines, next(turns), now), now)
            )
            Concentrator.objects.update(seen_at=now)
            for page in list(few) * POLLS_PER_CHANGE:
                took += milliseconds(page.ask)
        return took / POLLS

    alone, together = in_turn(ROUNDS, lambda: polls(pages[:1]), lambda: polls(pages))
    name = f"a poll of {WATCHERS} watchers, against one who watches"
    yield at_most(name, median(together), 1.2, median(alone))
    quiet, quieter = in_turn(
        ROUNDS,
        lambda: milliseconds(lambda: [pages[0].ask() for _ in range(POLLS)]) / POLLS,
        lambda: milliseconds(lambda: [page.ask() for page in pages * 2]) / POLLS,
    )
    yield at_most("the same while nothing changes", median(quieter), 1.2, median(quiet))


def writing(portal: Portal, specs: list[TunnelSpec]) -> Iterator[Figure]:
    """Ten thousand tunnels that all carry something, then none of them."""
    shapes, lines = held(specs)
    counter = TrafficRecorder(portal.concentrator)
    times: list[float] = []
    for turn in range(1, 4):
        fill_the_hour()
        now = timezone.now()
        counter.sample_all(shapes, carrying(lines, turn, now), now)
        traffic_recorder.WRITE_SECONDS = 0
        while counter.unwritten:
            times.append(milliseconds(counter.write_if_due))
    # The first round makes the rows.
    times = times[len(times) // 3 :]
    name = f"10,000 rows of traffic written, {traffic_recorder.MAX_PAIRS} at a time"
    yield under(name, sum(times) / 2000, 10, "s")
    yield under("one of these transactions, p95", p95(times), LONGEST_WRITE_MS, "ms")
    now = timezone.now()
    seen = carrying(lines, 3, now)
    (idle,) = in_turn(ROUNDS, lambda: milliseconds(lambda: counter.sample_all(shapes, seen, now)))
    yield under("10,000 tunnels counted that carried nothing", median(idle), 500, "ms")


def fill_the_hour() -> None:
    """Each pair that was counted carried something in every minute of the last hour."""
    full = [
        [minute, 90_000_000, 80_000_000, 90_000, 80_000] for minute in last_hour(timezone.now())
    ]
    rows = list(Traffic.objects.only("pairs"))
    for row in rows:
        row.minutes = dict.fromkeys(row.pairs, full)
    Traffic.objects.bulk_update(rows, ["minutes"], batch_size=200)


class Page:
    """The page of one tunnel, open in somebody's browser."""

    def __init__(self, url: str) -> None:
        person = User.objects.create_user(f"watcher {User.objects.count()}")
        Membership.objects.create(account=Account.objects.get(), user=person)
        self._client, self._url, self._seen = Client(), url, ""
        self._client.force_login(person)

    def ask(self) -> None:
        """Shows what is new, if anything is."""
        answer = self._client.get(self._url, {"seen": self._seen}, headers={"HX-Request": "true"})
        if answer.status_code == 200:
            found = re.search(r"\?seen=([0-9a-f]+)", answer.content.decode())
            assert found
            self._seen = found[1]


def held(specs: list[TunnelSpec]) -> tuple[dict[str, LoadedConnection], list[IkeSaSample]]:
    """What a concentrator has loaded and runs of these."""
    shapes, lines, began = {}, [], timezone.now()
    for spec in specs:
        one = compile_tunnel(spec, fingerprint_key()).connection
        shapes[one.name] = one.as_loaded
        carriers = tuple(
            ChildSaSample(
                *(f"{one.name}-{number}", child.name, "INSTALLED", one.child_suite),
                *(child.local_ts, child.remote_ts, TrafficCounts(), began),
            )
            for number, child in enumerate(one.as_loaded.children)
        )
        lines.append(IkeSaSample(one.name, "1", 1, one.suite, began, None, carriers))
    return shapes, lines


def carrying(lines: list[IkeSaSample], turn: int, now: datetime) -> list[IkeSaSample]:
    """The same, each child with more on its counters than the turn before."""
    amounts, later = TrafficCounts(turn * 90_000, turn * 80_000, turn * 90, turn * 80), now
    return [
        replace(
            line,
            child_sas=tuple(
                replace(one, counts=amounts, rekey_at=later, ends_at=later)
                for one in line.child_sas
            ),
        )
        for line in lines
    ]
