"""Polls of an open page by one viewer and by a hundred, and writes of traffic counters."""

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
from tests.bench.bench_lab import STATE
from tests.bench.figures import Figure, at_most, in_turn, median, milliseconds, p95, under
from tests.bench.portal import Portal, specification
from vpnportal.domain.gateway_config.compile import compile_tunnel
from vpnportal.domain.gateway_config.desired import LoadedConnection
from vpnportal.domain.traffic.accounting import TrafficAccountant
from vpnportal.domain.traffic.counters import ChildSaSample, IkeSaSample, TrafficCounts, last_hour
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.encryption import fingerprint_key
from vpnportal.models import Account, Concentrator, Membership, Traffic
from vpnportal.monitor import traffic_recorder
from vpnportal.monitor.traffic_recorder import TrafficRecorder

WATCHERS, POLLS, ROUNDS, PAIRS = 100, 200, 5, 30
# While a tunnel carries traffic, a page polls twice between two changes.
POLLS_PER_CHANGE = 2
# An apply waits at most this time for the write of counters.
MAX_WRITE_MS = 100


def run(bench: Bench) -> Iterator[Figure]:
    """Measure without a charon: pages do not use it, and its replies are synthetic."""
    portal = Portal(STATE / "watchers" / "portal.sqlite3", Path("/nowhere")).make()
    specs = [specification(peer) for peer in make_peers(LARGE)]
    remote = tuple(IPv4Network(f"172.16.{number}.0/24") for number in range(PAIRS))
    specs[0] = replace(specification(make_peers(1)[0], mappings=250), remote_subnets=remote)
    portal.add(specs)
    Concentrator.objects.update(seen_at=timezone.now() + timedelta(seconds=10))
    yield from polling(portal, specs[0])
    yield from writing(portal, specs)


def polling(portal: Portal, spec: TunnelSpec) -> Iterator[Figure]:
    """Measure polls of a tunnel with 30 pairs and 250 mappings that carries traffic."""
    settings.ALLOWED_HOSTS, settings.SECURE_SSL_REDIRECT = ["testserver"], False
    settings.SECRET_KEY = token_urlsafe(50)
    pages = [Page(reverse("status", args=[spec.tunnel_id])) for _ in range(WATCHERS)]
    turns, (loaded, samples) = itertools.count(1), charon_lists([spec])
    accountant = TrafficAccountant({}, None)

    def polls(viewers: Sequence[Page]) -> float:
        """Return the milliseconds of a poll; all viewers poll after each change."""
        duration = 0.0
        for _ in range(POLLS // len(viewers) // POLLS_PER_CHANGE):
            now = timezone.now()
            counted = with_counts(samples, next(turns), now)
            traffic_recorder.save_traffic(
                portal.concentrator, accountant.sample(loaded, counted, now)
            )
            Concentrator.objects.update(seen_at=now)
            for page in list(viewers) * POLLS_PER_CHANGE:
                duration += milliseconds(page.poll)
        return duration / POLLS

    alone, together = in_turn(ROUNDS, lambda: polls(pages[:1]), lambda: polls(pages))
    name = f"a poll of {WATCHERS} watchers, against one who watches"
    yield at_most(name, median(together), 1.2, median(alone))
    quiet, quieter = in_turn(
        ROUNDS,
        lambda: milliseconds(lambda: [pages[0].poll() for _ in range(POLLS)]) / POLLS,
        lambda: milliseconds(lambda: [page.poll() for page in pages * 2]) / POLLS,
    )
    yield at_most("the same while nothing changes", median(quieter), 1.2, median(quiet))


def writing(portal: Portal, specs: list[TunnelSpec]) -> Iterator[Figure]:
    """Measure writes of ten thousand tunnels that all carry traffic, then of idle tunnels."""
    loaded, samples = charon_lists(specs)
    recorder = TrafficRecorder(portal.concentrator)
    times: list[float] = []
    for turn in range(1, 4):
        fill_hour()
        now = timezone.now()
        recorder.sample_all(loaded, with_counts(samples, turn, now), now)
        traffic_recorder.WRITE_SECONDS = 0
        while recorder.unwritten:
            times.append(milliseconds(recorder.write_if_due))
    # The first round creates the rows.
    times = times[len(times) // 3 :]
    name = f"10,000 rows of traffic written, {traffic_recorder.MAX_PAIRS} at a time"
    yield under(name, sum(times) / 2000, 10, "s")
    yield under("one of these transactions, p95", p95(times), MAX_WRITE_MS, "ms")
    now = timezone.now()
    idle_samples = with_counts(samples, 3, now)
    (idle,) = in_turn(
        ROUNDS, lambda: milliseconds(lambda: recorder.sample_all(loaded, idle_samples, now))
    )
    yield under("10,000 tunnels counted that carried nothing", median(idle), 500, "ms")


def fill_hour() -> None:
    """Give each row of traffic a value for every minute of the last hour."""
    full = [
        [minute, 90_000_000, 80_000_000, 90_000, 80_000] for minute in last_hour(timezone.now())
    ]
    rows = list(Traffic.objects.only("pairs"))
    for row in rows:
        row.minutes = dict.fromkeys(row.pairs, full)
    Traffic.objects.bulk_update(rows, ["minutes"], batch_size=200)


class Page:
    """The open page of a tunnel in a viewer's browser."""

    def __init__(self, url: str) -> None:
        user = User.objects.create_user(f"viewer {User.objects.count()}")
        Membership.objects.create(account=Account.objects.get(), user=user)
        self._client, self._url, self._token = Client(), url, ""
        self._client.force_login(user)

    def poll(self) -> None:
        """Poll the Status section, and take the token of a new version."""
        query = {"seen": self._token}
        response = self._client.get(self._url, query, headers={"HX-Request": "true"})
        if response.status_code == 200:
            match = re.search(r"\?seen=([0-9a-f]+)", response.content.decode())
            assert match
            self._token = match[1]


def charon_lists(specs: list[TunnelSpec]) -> tuple[dict[str, LoadedConnection], list[IkeSaSample]]:
    """Return connections and samples as charon lists them for these tunnels."""
    loaded, samples, began = {}, [], timezone.now()
    for spec in specs:
        connection = compile_tunnel(spec, fingerprint_key()).connection
        loaded[connection.name] = connection.as_loaded
        child_sas = tuple(
            ChildSaSample(
                *(f"{connection.name}-{number}", child.name, "INSTALLED", connection.child_suite),
                *(child.local_ts, child.remote_ts, TrafficCounts(), began),
            )
            for number, child in enumerate(connection.as_loaded.children)
        )
        samples.append(
            IkeSaSample(connection.name, "1", 1, connection.suite, began, None, child_sas)
        )
    return loaded, samples


def with_counts(samples: list[IkeSaSample], turn: int, now: datetime) -> list[IkeSaSample]:
    """Return the samples with counters that grow with each turn."""
    counts = TrafficCounts(turn * 90_000, turn * 80_000, turn * 90, turn * 80)
    return [
        replace(
            sample,
            child_sas=tuple(
                replace(child_sa, counts=counts, rekey_at=now, ends_at=now)
                for child_sa in sample.child_sas
            ),
        )
        for sample in samples
    ]
