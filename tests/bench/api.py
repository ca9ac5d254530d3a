"""One of a thousand tunnels with everything that `slcli ipsec detail` shows, over both doors."""

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
from tests.bench.figures import Figure, at_least, in_turn, median, told
from tests.bench.listing import fill
from tests.bench.portal import Portal
from tests.bench.served import Connection, per_second, served
from tests.bench.stage import STATE
from vpnportal.models import Account, Membership, Role
from vpnportal.services import api_keys

TUNNELS, ROUNDS, REQUESTS, SHARE = 1_000, 9, 800, 0.25
FOLDER = STATE / "api"
BYTES = FOLDER / "bytes"
Request = Callable[[int], bytes]


def run(bench: Bench) -> Iterator[Figure]:
    """Requests per second of four programs, through gunicorn as Procfile starts it."""
    portal = Portal(FOLDER / "portal.sqlite3", STATE / "no-charon").make()
    fill(TUNNELS)
    person, account = User.objects.get(), Account.objects.get()
    # The programs may not be told that they ask too often.
    environment = {"VPNPORTAL_DATABASE": str(portal.file), "VPNPORTAL_API_RATE": "1000000"}
    with served("vpnportal.wsgi", FOLDER / "portal.sock", **environment) as ours:
        for role in (Role.OPERATOR, Role.OWNER):
            Membership.objects.update(role=role)
            key = api_keys.create(account, person, f"of an {role}").text
            for what, request in requests(person.username, key).items():
                yield from measured(f"{what}, key of an {role}", ours, request)
    connection.close()


def measured(name: str, ours: Path, request: Request) -> Iterator[Figure]:
    """Each request is about another tunnel; both floors send the same bytes, and ask nobody."""
    with Connection(ours) as asking:
        BYTES.write_bytes(checked(asking.ask(request(0))))
    same = {"BENCH_BYTES": str(BYTES)}
    with (
        served("tests.bench.view_in_portal", FOLDER / "view.sock", **same) as view,
        served("tests.bench.one_view", FOLDER / "bare.sock", **same) as bare,
    ):
        got, of_view, of_bare = in_turn(
            ROUNDS,
            lambda: per_second(ours, request, REQUESTS),
            lambda: per_second(view, lambda _: http("GET", "/bare/"), REQUESTS),
            lambda: per_second(bare, lambda _: http("GET", "/bare/"), REQUESTS),
        )
    name = f"API, 1 of {TUNNELS:,}: {name}"
    yield at_least(name, median(got), SHARE, median(of_view), "1/s")
    yield told(f"{name}, beside Django alone", median(got), median(of_bare), "1/s")


def checked(answer: bytes) -> bytes:
    """A fault is quick, too: what is measured must be the whole answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), answer
    assert body.count(b"internalIpAddressRecord") >= 5, answer
    return body


def requests(user: str, key: str) -> dict[str, Request]:
    """Asking for a tunnel by its id, in the ways in which clients do."""
    basic = "Authorization: Basic " + b64encode(f"{user}:{key}".encode()).decode()

    def get_object(number: int) -> bytes:
        query = urlencode({"objectMask": DETAIL})
        return http("GET", f"/rest/v3.1/{CONTEXT}/{at(number)}/getObject.json?{query}", basic)

    def filtered(number: int) -> bytes:
        chosen = {"networkTunnelContexts": {"id": {"operation": at(number)}}}
        query = urlencode({"objectMask": DETAIL, "objectFilter": json.dumps(chosen)})
        path = "/rest/v3.1/SoftLayer_Account/getNetworkTunnelContexts.json"
        return http("GET", f"{path}?{query}", basic)

    def xml(number: int) -> bytes:
        headers = {
            "authenticate": {"username": user, "apiKey": key},
            f"{CONTEXT}InitParameters": {"id": at(number)},
            "SoftLayer_ObjectMask": {"mask": DETAIL},
        }
        body = dumps(({"headers": headers},), "getObject").encode()
        return http("POST", f"/xmlrpc/v3.1/{CONTEXT}", f"Content-Length: {len(body)}") + body

    return {
        "getObject, REST": get_object,
        "getNetworkTunnelContexts by id, REST": filtered,
        "getObject, XML-RPC": xml,
    }


def at(number: int) -> int:
    """The id of a tunnel."""
    return number % TUNNELS + 1


def http(verb: str, target: str, *headers: str) -> bytes:
    """A request's head (RFC 9112)."""
    return "\r\n".join([f"{verb} {target} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()
