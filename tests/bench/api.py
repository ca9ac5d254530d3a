"""API requests for one of 1,000 tunnels, with all properties that `slcli ipsec detail` shows."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode
from xmlrpc.client import dumps

from django.contrib.auth.models import User
from django.db import connection

from tests.api_client import CONTEXT, DETAIL
from tests.bench.bench import Bench
from tests.bench.bench_lab import STATE
from tests.bench.figures import Figure, at_least, in_turn, median, without_goal
from tests.bench.gunicorn_server import Connection, per_second, served
from tests.bench.portal import Portal
from tests.bench.tunnel_list import fill
from vpnportal import services
from vpnportal.models import Account, Membership, Role

TUNNELS, ROUNDS, REQUESTS, SHARE = 1_000, 9, 800, 0.25
FOLDER = STATE / "api"
BYTES = FOLDER / "bytes"
Request = Callable[[int], bytes]


def run(bench: Bench) -> Iterator[Figure]:
    """Measure requests a second of four clients, through gunicorn with the Procfile's options."""
    portal = Portal(FOLDER / "portal.sqlite3", STATE / "no-charon").make()
    fill(TUNNELS)
    person, account = User.objects.get(), Account.objects.get()
    # Without a rate limit.
    environment = {"VPNPORTAL_DATABASE": str(portal.file), "VPNPORTAL_API_RATE": "1000000"}
    with served("vpnportal.wsgi", FOLDER / "portal.sock", **environment) as ours:
        for role in (Role.OPERATOR, Role.OWNER):
            Membership.objects.update(role=role)
            key = services.create_api_key(account, person, f"of an {role}").text
            for what, request in requests(person.username, key).items():
                yield from measure(f"{what}, key of an {role}", ours, request)
    connection.close()


def measure(name: str, ours: Path, request: Request) -> Iterator[Figure]:
    """Measure a request, for another tunnel each time.

    Both floors send the same bytes, without authentication.
    """
    with Connection(ours) as connection:
        BYTES.write_bytes(checked_body(connection.request(request(0))))
    environment = {"BENCH_BYTES": str(BYTES)}
    with (
        served(
            "tests.bench.portal_with_fixed_response", FOLDER / "view.sock", **environment
        ) as view,
        served("tests.bench.bare_django", FOLDER / "bare.sock", **environment) as bare,
    ):
        portal, view_floor, django_floor = in_turn(
            ROUNDS,
            lambda: per_second(ours, request, REQUESTS),
            lambda: per_second(view, lambda _: http("GET", "/bare/"), REQUESTS),
            lambda: per_second(bare, lambda _: http("GET", "/bare/"), REQUESTS),
        )
    name = f"API, 1 of {TUNNELS:,}: {name}"
    yield at_least(name, median(portal), SHARE, median(view_floor), "1/s")
    yield without_goal(f"{name}, beside Django alone", median(portal), median(django_floor), "1/s")


def checked_body(response: bytes) -> bytes:
    """Return the body of a complete response; faults are quick and must not be measured."""
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), response
    assert body.count(b"internalIpAddressRecord") >= 5, response
    return body


def requests(user: str, key: str) -> dict[str, Request]:
    """Return requests for a tunnel by its id, by the name of their kind."""
    basic = "Authorization: Basic " + b64encode(f"{user}:{key}".encode()).decode()

    def get_object(number: int) -> bytes:
        query = urlencode({"objectMask": DETAIL})
        return http(
            "GET", f"/rest/v3.1/{CONTEXT}/{tunnel_id(number)}/getObject.json?{query}", basic
        )

    def filtered(number: int) -> bytes:
        object_filter = {"networkTunnelContexts": {"id": {"operation": tunnel_id(number)}}}
        query = urlencode({"objectMask": DETAIL, "objectFilter": json.dumps(object_filter)})
        path = "/rest/v3.1/SoftLayer_Account/getNetworkTunnelContexts.json"
        return http("GET", f"{path}?{query}", basic)

    def xml(number: int) -> bytes:
        headers = {
            "authenticate": {"username": user, "apiKey": key},
            f"{CONTEXT}InitParameters": {"id": tunnel_id(number)},
            "SoftLayer_ObjectMask": {"mask": DETAIL},
        }
        body = dumps(({"headers": headers},), "getObject").encode()
        return http("POST", f"/xmlrpc/v3.1/{CONTEXT}", f"Content-Length: {len(body)}") + body

    return {
        "getObject, REST": get_object,
        "getNetworkTunnelContexts by id, REST": filtered,
        "getObject, XML-RPC": xml,
    }


def tunnel_id(number: int) -> int:
    """Return the id of the tunnel for a request's number."""
    return number % TUNNELS + 1


def http(verb: str, target: str, *headers: str) -> bytes:
    """Return the head of a request (RFC 9112)."""
    return "\r\n".join([f"{verb} {target} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()
