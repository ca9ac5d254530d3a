"""One of a thousand tunnels with everything that `slcli ipsec detail` shows, over both doors."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from itertools import count
from secrets import token_urlsafe
from xmlrpc.client import dumps

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.test.utils import override_settings
from django.urls import path

from tests.bench.bench import Bench
from tests.bench.figures import Figure, at_least, in_turn, median
from tests.bench.listing import fill
from tests.bench.portal import Portal
from tests.bench.stage import STATE
from vpnportal.api.authentication import CALLS
from vpnportal.models import Account, Membership
from vpnportal.services import api_keys
from vpnportal.urls import urlpatterns as product

TUNNELS, ROUNDS, REQUESTS, SHARE = 1_000, 15, 40, 0.25
LOCALS = (
    *("id", "accountId", "advancedConfigurationFlag", "createDate", "customerPeerIpAddress"),
    *("modifyDate", "name", "friendlyName", "internalPeerIpAddress", "phaseOneAuthentication"),
    *("phaseOneDiffieHellmanGroup", "phaseOneEncryption", "phaseOneKeylife"),
    *("phaseTwoAuthentication", "phaseTwoDiffieHellmanGroup", "phaseTwoEncryption"),
    *("phaseTwoKeylife", "phaseTwoPerfectForwardSecrecy", "presharedKey"),
)
MASK = f"""[mask[{",".join(LOCALS)},addressTranslations[internalIpAddressRecord[ipAddress],\
customerIpAddressRecord[ipAddress]],internalSubnets,customerSubnets,staticRouteSubnets,\
serviceSubnets]]"""
CONTEXT = "SoftLayer_Network_Tunnel_Module_Context"
same = b""


def bare(request: HttpRequest) -> HttpResponse:
    """What Django itself costs: it knows who asks, by a session, and sends so many bytes."""
    return HttpResponse(same, content_type="application/json")


urlpatterns = [*product, path("bare/", bare)]


def run(bench: Bench) -> Iterator[Figure]:
    """Requests per second of one program, middleware and all, without a network."""
    Portal(STATE / "api" / "portal.sqlite3", STATE / "no-charon").make()
    fill(TUNNELS)
    person, account = User.objects.get(), Account.objects.get()
    # Signs the session of the one who asks for the bare view.
    settings.SECRET_KEY = token_urlsafe(50)
    with override_settings(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["testserver"]):
        for role in (Membership.Role.OPERATOR, Membership.Role.OWNER):
            Membership.objects.update(role=role)
            key = api_keys.create(account, person, f"of an {role}").text
            for what, ask in asks(person.username, key).items():
                yield measured(f"{what}, key of an {role}", ask, person)
    connection.close()


def measured(name: str, ask: Callable[[int], HttpResponse], person: User) -> Figure:
    """Each request is about another tunnel."""
    global same
    numbers, browser = count(), Client()
    browser.force_login(person)
    same = checked(ask(1))
    ours, floor = in_turn(
        ROUNDS,
        lambda: per_second(lambda: ask(next(numbers) % TUNNELS + 1)),
        lambda: per_second(lambda: browser.get("/bare/")),
    )
    return at_least(f"API, 1 of {TUNNELS:,}: {name}", median(ours), SHARE, median(floor), "1/s")


def per_second(action: Callable[[], object]) -> float:
    # One program may not ask so often for so long.
    CALLS.clear()
    began = time.perf_counter()
    for _ in range(REQUESTS):
        action()
    return REQUESTS / (time.perf_counter() - began)


def checked(answer: HttpResponse) -> bytes:
    """A fault is quick, too: what is measured must be the whole answer."""
    assert answer.status_code == 200, answer.content
    assert answer.content.count(b"internalIpAddressRecord") >= 5, answer.content
    return answer.content


def asks(user: str, key: str) -> dict[str, Callable[[int], HttpResponse]]:
    """Asking for a tunnel by its id, in the ways in which clients do."""
    client, basic = Client(), Client()
    basic.defaults["HTTP_AUTHORIZATION"] = "Basic " + b64encode(f"{user}:{key}".encode()).decode()

    def get_object(number: int) -> HttpResponse:
        return basic.get(f"/rest/v3.1/{CONTEXT}/{number}/getObject.json", {"objectMask": MASK})

    def filtered(number: int) -> HttpResponse:
        chosen = {"networkTunnelContexts": {"id": {"operation": number}}}
        asked = {"objectMask": MASK, "objectFilter": json.dumps(chosen)}
        return basic.get("/rest/v3.1/SoftLayer_Account/getNetworkTunnelContexts.json", asked)

    def xml(number: int) -> HttpResponse:
        headers = {
            "authenticate": {"username": user, "apiKey": key},
            f"{CONTEXT}InitParameters": {"id": number},
            "SoftLayer_ObjectMask": {"mask": MASK},
        }
        body = dumps(({"headers": headers},), "getObject")
        return client.post(f"/xmlrpc/v3.1/{CONTEXT}", body, content_type="application/xml")

    return {
        "getObject, REST": get_object,
        "getNetworkTunnelContexts by id, REST": filtered,
        "getObject, XML-RPC": xml,
    }
