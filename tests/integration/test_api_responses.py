"""List results: filter, order, count, limit, then the mask."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.api_client import Program, filter_by_id
from tests.integration.conftest import make_tunnel
from vpnportal import services
from vpnportal.api import middleware
from vpnportal.api.calls import Call
from vpnportal.api.dispatch import dispatch
from vpnportal.models import Tunnel

pytestmark = pytest.mark.django_db
ACCOUNT = "SoftLayer_Account"
LIST = f"{ACCOUNT}.getNetworkTunnelContexts"
NAMES = [f"ipsec{number:03}" for number in range(1, 6)]


@pytest.fixture
def five_tunnels(account, concentrator, tunnel) -> list[Tunnel]:
    others = [
        make_tunnel(account, concentrator, name, hosted=f"10.9.{number}.0/24")
        for number, name in enumerate(NAMES[1:])
    ]
    return [tunnel, *others]


def names(program: Program, conditions, **options) -> list[str]:
    filter = {"networkTunnelContexts": conditions}
    contexts = program.call(LIST, filter=filter, mask="mask[name]", **options)
    return [context["name"] for context in contexts]


def test_a_page_of_a_list_has_the_total_of_all_pages(five_tunnels, account, user):
    key = services.create_api_key(account, user, "a script").text
    headers = {"Authorization": "Basic " + _base64(f"ada:{key}")}
    url = f"/rest/v3.1/{ACCOUNT}/getNetworkTunnelContexts.json"

    for limit, expected in {
        "": NAMES,
        "2": NAMES[:2],
        "1,2": NAMES[1:3],
        "4,2": NAMES[4:],
        "9,2": [],
        "3,0": NAMES[3:],
    }.items():
        query = {"resultLimit": limit, "objectMask": "mask[name]"}
        page = Client().get(url, query_params=query, headers=headers)
        assert [context["name"] for context in page.json()] == expected
        assert page["SoftLayer-Total-Items"] == "5"
    filtered = {
        "objectFilter": json.dumps({"networkTunnelContexts": {"name": {"operation": "$= 3"}}})
    }
    page = Client().get(url, query_params={**filtered, "resultLimit": "0,1"}, headers=headers)
    assert page["SoftLayer-Total-Items"] == "1"
    for limit in ("x", "-1", "1,2,3", "1.5"):
        page = Client().get(url, query_params={"resultLimit": limit}, headers=headers)
        assert page.status_code == 400


def test_the_database_selects_a_row_by_id_and_the_rows_of_a_page(five_tunnels, program):
    def statements(**options) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            program.call(LIST, mask="mask[name]", **options)
        return [query["sql"] for query in captured]

    (*_, by_id) = statements(filter=filter_by_id(five_tunnels[2]))
    assert f'"vpnportal_tunnel"."id" = ({five_tunnels[2].pk})' in by_id
    *_, page, count = statements(limit=2, offset=1)
    assert "LIMIT 2 OFFSET 1" in page and "COUNT(*)" in count


def test_filters_and_orders_use_properties_outside_the_mask(five_tunnels, program):
    Tunnel.objects.filter(pk=five_tunnels[3].pk).update(friendly_name="Houston")
    descending = {"operation": "orderBy", "options": [{"name": "sort", "value": ["DESC"]}]}

    assert names(program, {"friendlyName": {"operation": "_= houston"}}) == [NAMES[3]]
    assert names(program, {"friendlyName": {"operation": "!= Houston"}, "id": descending}) == [
        name for name in reversed(NAMES) if name != NAMES[3]
    ]
    assert names(program, {"id": descending}, limit=2) == [NAMES[4], NAMES[3]]
    hosted = {"internalSubnets": {"networkIdentifier": {"operation": "10.9.1.0"}}}
    assert names(program, hosted) == [NAMES[2]]
    assert names(program, {"nothing": {"operation": 1}}) == []
    assert names(program, {"id": "malformed"}) == NAMES


def test_only_filtered_mask_removes_related_objects(ready, program):
    matching = {"addressTranslations": {"notes": {"operation": "database"}}}
    not_matching = {"addressTranslations": {"notes": {"operation": "is null"}}}
    mask = "[addressTranslations[notes]]"

    def notes(filter, root):
        contexts = program.call(
            LIST, filter={"networkTunnelContexts": filter}, mask=f"{root}{mask}"
        )
        return [[row["notes"] for row in context["addressTranslations"]] for context in contexts]

    assert notes(matching, "mask") == notes(matching, "filteredMask") == [["database"]]
    assert notes(not_matching, "mask") == []
    context = program.call(
        "getObject", on=ready.pk, filter=not_matching, mask=f"filteredMask{mask}"
    )
    assert context["addressTranslations"] == []


def test_an_invalid_mask_is_refused_before_the_method_runs(ready, program):
    before = list(ready.translations.values())
    template = {"internalIpAddress": "10.1.255.93", "customerIpAddress": "192.168.10.16"}

    fault = program.fault("createAddressTranslation", template, on=ready.pk, mask="mask[id")

    assert fault.status == 400
    assert list(ready.translations.values()) == before


def test_a_plain_value_has_no_total_and_ignores_the_mask(ready, program):
    call = Call("SoftLayer_Network_Tunnel_Module_Context", "getKeylifeLimits", mask="mask[id]")

    assert dispatch(call, program.caller).total is None


@pytest.mark.parametrize("path", ["/rest/v3.1/SoftLayer_Account", "/xmlrpc/v3/SoftLayer_Account"])
def test_a_body_beyond_the_limit_is_refused_unparsed(path):
    response = Client().post(
        path, b"[" * (middleware.MAX_BODY_BYTES + 1), content_type="text/plain"
    )

    assert b"The request body is larger than 1,048,576 bytes." in response.content
    assert response.status_code == (413 if "rest" in path else 200)


@pytest.mark.parametrize("path", ["/rest/v3.1/SoftLayer_Account", "/xmlrpc/v3/SoftLayer_Account"])
def test_an_unencrypted_call_is_refused_and_not_redirected(settings, path):
    settings.HTTPS = settings.SECURE_SSL_REDIRECT = True

    response = Client().post(path, b"", content_type="text/plain")

    assert "Location" not in response
    assert b"The API key was sent unencrypted: revoke it, and use https." in response.content
    assert Client().get("/sign-in/").status_code == 301


def test_an_exception_is_a_fault_and_neither_arguments_nor_key_are_logged(
    monkeypatch, caplog, account, user
):
    def raise_error(*_):
        raise RuntimeError("no")

    key = services.create_api_key(account, user, "a script").text
    monkeypatch.setattr(middleware, "dispatch", raise_error)
    headers = {"Authorization": "Basic " + _base64(f"ada:{key}")}

    response = Client().post(
        "/rest/v3.1/SoftLayer_Account/x", b'{"parameters": ["secret"]}',
        content_type="application/json", headers=headers,
    )  # fmt: skip

    assert response.json() == {"error": "Internal Error", "code": "SoftLayer_Exception_Public"}
    assert response.status_code == 500
    assert "secret" not in caplog.text and key not in caplog.text


def test_a_database_that_does_not_answer_is_a_fault_of_the_protocol(account, user, monkeypatch):
    def fail(*_):
        raise OperationalError("could not connect")

    key = services.create_api_key(account, user, "a script").text
    monkeypatch.setattr(middleware, "dispatch", fail)
    headers = {"Authorization": "Basic " + _base64(f"ada:{key}")}

    response = Client().get("/rest/v3.1/SoftLayer_Account/x", headers=headers)

    assert (response.status_code, response.headers["Retry-After"]) == (503, "10")
    assert response.json()["error"].startswith("The portal's database does not answer.")


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
