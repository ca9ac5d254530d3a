"""The measurements of `bin/bench scale`, in the process of a portal with PostgreSQL.

`python -m tests.bench.scale_process SIZE…` fills the empty database of VPNPORTAL_DATABASE_URL. It
prints a line of JSON for each measurement: size, name and value.
"""

from __future__ import annotations

import json
import logging
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from secrets import token_urlsafe

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "vpnportal.settings")
os.environ.setdefault("VPNPORTAL_SECRET_KEY", token_urlsafe(50))
os.environ["VPNPORTAL_HTTPS"] = "false"
django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client, override_settings  # noqa: E402
from django.urls import reverse  # noqa: E402

from tests.bench.figures import milliseconds  # noqa: E402
from tests.bench.gunicorn_server import Connection, served  # noqa: E402
from tests.bench.scale_data import OPERATOR, OWNER, SMALL, ScaleData  # noqa: E402
from tests.fake_gateway import FakeGateway  # noqa: E402
from tests.form_data import PHASE_ONE  # noqa: E402
from vpnportal import services  # noqa: E402
from vpnportal.models import Revision, Tunnel  # noqa: E402
from vpnportal.reconciler import reconcile  # noqa: E402
from vpnportal.web.tunnel_list.pages import Key  # noqa: E402

ROUNDS, APPLIES = 7, 21
# Live tunnels of the large account: another one at each size, whose history is as short.
CHANGED = (11, 111, 211)
STATIC = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}


def main(sizes: list[int]) -> None:
    """Fill the database to each size, and measure it there."""
    logging.disable(logging.WARNING)
    call_command("keys")
    call_command("migrate", verbosity=0)
    data = ScaleData()
    for size in sizes:
        began = time.monotonic()
        data.grow(size)
        say(size, "seconds to fill the database", time.monotonic() - began)
        with override_settings(
            STORAGES={**settings.STORAGES, "staticfiles": STATIC}, ALLOWED_HOSTS=["testserver"]
        ):
            for name, value in (*pages(data), *changes(data)):
                say(size, name, value)
        say(size, "memory of a web process", web_memory(data))
        say(size, *full_converge(data))


def say(size: int, name: str, value: float) -> None:
    """Print a measurement."""
    sys.stdout.write(json.dumps({"size": size, "name": name, "value": value}) + "\n")
    sys.stdout.flush()


def urls(data: ScaleData) -> dict[str, str]:
    """Return the pages of the list by their names."""
    some = Tunnel.objects.get(pk=data.count // 2 + 1)
    row = some.translations.first()
    assert row
    tunnels = reverse("tunnels")
    return {
        "list": tunnels,
        "last page": f"{tunnels}?before=end",
        "search by name": f"{tunnels}?q={some.friendly_name.split()[-1]}",
        "search by a word of most names": f"{tunnels}?q=branch",
        "search by peer": f"{tunnels}?q={some.remote_peer}",
        "search by a part of a peer": f"{tunnels}?q={some.remote_peer[:-1]}",
        "search by customer address": f"{tunnels}?q={row.customer_address}",
        "search by internal address": f"{tunnels}?q={row.internal_address}",
        "search by a word that no tunnel has": f"{tunnels}?q=nowhere",
        "filter by state": f"{tunnels}?state=down",
        "pending changes": f"{tunnels}?state=changed",
        **{
            f"sorted by {name}": f"{tunnels}?sort={name}"
            for name in ("-name", "tunnel-name", "state", "remote-peer", "location", "applied")
        },
    }


def pages(data: ScaleData) -> Iterator[tuple[str, float]]:
    """Yield the server time of pages: of an operator, of a large and of a small account."""
    for user in (OPERATOR, OWNER, SMALL):
        browser = signed_in(user)
        chosen = urls(data)
        if user != OPERATOR:
            chosen = {name: chosen[name] for name in ("list", "last page", "pending changes")}
        for name, url in chosen.items():
            yield f"{user}: {name}", timed(data, browser, url)
        if data.count > 100:
            yield f"{user}: middle page", timed(data, browser, middle(browser, data))
        page = browser.get(reverse("tunnels")).content.decode()
        poll = reverse("news", query=polled(page))
        yield f"{user}: poll without news", timed(data, browser, poll, {"HX-Request": "true"})


def middle(browser: Client, data: ScaleData) -> str:
    """Return the URL of the page after the middle of the list, as a link to it would be."""
    half = Tunnel.objects.get(pk=data.count // 2 + 1)
    name = half.summary.name_key  # type: ignore[attr-defined]
    key = Key(name, name, half.pk)
    return reverse("tunnels", query={"after": str(key), "at": str(half.pk)})


def polled(page: str) -> list[tuple[str, str]]:
    """Return the fields that the polling element of a page sends."""
    return re.findall(r'name="(row|counted)" value="([^"]+)"', page)


def changes(data: ScaleData) -> Iterator[tuple[str, float]]:
    """Yield the times of the page of a tunnel, an autosave, and an apply until it is live."""
    tunnel, owner = Tunnel.objects.get(pk=CHANGED[data.grown % len(CHANGED)]), signed_in(OWNER)
    person = User.objects.get(username=OWNER)
    yield "page of a tunnel", timed(data, owner, reverse("tunnel", args=[tunnel.pk]))
    lifetimes = count(tunnel.phase_one_keylife + 1)

    def autosave() -> None:
        value = next(lifetimes)
        form = {**PHASE_ONE, "phase_one_keylife": str(value)}
        form["initial-phase_one_keylife"] = str(value - 1)
        headers = {"HX-Request": "true", "HX-Trigger-Name": "phase_one_keylife"}
        response = owner.post(reverse("edit", args=[tunnel.pk]), form, headers=headers)
        assert response.status_code == 200, response.content

    yield "autosave", median_of(autosave, ROUNDS)
    gateway = FakeGateway()
    # A gateway whose other tunnels are not asked for: only the database has them.
    reconcile.driver_for = lambda concentrator: gateway  # type: ignore[assignment,return-value]

    def apply() -> float:
        services.edit(tunnel, "phase_one_keylife", str(next(lifetimes)), person)

        def until_live() -> None:
            revision = services.apply(Tunnel.objects.get(pk=tunnel.pk), person)
            reconcile.converge(tunnel.concentrator_id, tunnel.pk)
            live = Revision.objects.filter(pk=revision.pk, outcome=Revision.Outcome.LIVE)
            assert live.exists()

        return milliseconds(until_live)

    times = [apply() for _ in range(APPLIES + 2)][2:]
    yield "apply of one until it is live", statistics.median(times)


def full_converge(data: ScaleData) -> tuple[str, float]:
    """Return the time of a full converge of the first concentrator that finds nothing to do."""
    gateway = FakeGateway()
    reconcile.driver_for = lambda concentrator: gateway  # type: ignore[assignment,return-value]
    concentrator = data.concentrators[0]
    for _ in range(3):
        reconcile.converge(concentrator.pk)
    tunnels = Tunnel.objects.filter(concentrator=concentrator).count()
    name = f"full converge of {tunnels:,} with nothing to do"
    return name, median_of(lambda: reconcile.converge(concentrator.pk), 3)


def web_memory(data: ScaleData) -> float:
    """Return the MiB of the larger of gunicorn's processes after all pages."""
    browser = signed_in(OPERATOR)
    cookie = f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}"
    at = settings.STATE / "web.sock"
    call_command("collectstatic", interactive=False, verbosity=0)
    data.keep_online()
    with served("vpnportal.wsgi", at, VPNPORTAL_SECRET_KEY=settings.SECRET_KEY):
        for _ in range(3):
            for url in urls(data).values():
                with Connection(at) as connection:
                    head = f"GET {url} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n"
                    response = connection.request(head.encode())
                    assert response.startswith(b"HTTP/1.1 200"), response[:300]
        pattern = f"--bind unix:{at}"
        found = subprocess.run(["pgrep", "--full", "--", pattern], capture_output=True, text=True)
        sizes = [resident(int(pid)) for pid in found.stdout.split()]
    return max(sizes) / 1024


def resident(pid: int) -> int:
    """Return the resident memory of a process in KiB; see proc(5)."""
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    return int(match[1]) if match else 0


def signed_in(name: str) -> Client:
    """Return the browser of a user."""
    browser = Client()
    browser.force_login(User.objects.get(username=name))
    return browser


def timed(
    data: ScaleData, browser: Client, url: str, headers: dict[str, str] | None = None
) -> float:
    """Return the median time of a request in ms."""
    data.keep_online()

    def request() -> None:
        response = browser.get(url, headers=headers or {})
        assert response.status_code in (200, 204), response.content

    return median_of(request, ROUNDS)


def median_of(action: Callable[[], object], rounds: int) -> float:
    """Return the median time of an action in ms, after one that does not count."""
    action()
    return statistics.median(milliseconds(action) for _ in range(rounds))


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]])
