"""What a call chooses of a list: filter, order, count, limit, and then the mask."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.api_client import Program, only
from tests.integration.conftest import make_tunnel
from vpnportal.api import middleware
from vpnportal.api.calls import Call
from vpnportal.api.dispatch import dispatch
from vpnportal.models import Tunnel
from vpnportal.services import api_keys

pytestmark = pytest.mark.django_db
ACCOUNT = "SoftLayer_Account"
LIST = f"{ACCOUNT}.getNetworkTunnelContexts"
NAMES = [f"ipsec{number:03}" for number in range(1, 6)]


@pytest.fixture
def five(account, concentrator, tunnel) -> list[Tunnel]:
    others = [
        make_tunnel(account, concentrator, name, hosted=f"10.9.{number}.0/24")
        for number, name in enumerate(NAMES[1:])
    ]
    return [tunnel, *others]


def names(program: Program, operation=None, **how) -> list[str]:
    given = {"networkTunnelContexts": operation} if operation else None
    found = program.call(LIST, filter=given, mask="mask[name]", **how)
    return [one["name"] for one in found]


def test_a_page_of_a_list_tells_how_many_there_are_on_all(five, account, user):
    key = api_keys.create(account, user, "a script").text
    headers = {"Authorization": "Basic " + _coded(f"ada:{key}")}
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
        assert [one["name"] for one in page.json()] == expected
        assert page["SoftLayer-Total-Items"] == "5"
    filtered = {
        "objectFilter": json.dumps({"networkTunnelContexts": {"name": {"operation": "$= 3"}}})
    }
    page = Client().get(url, query_params={**filtered, "resultLimit": "0,1"}, headers=headers)
    assert page["SoftLayer-Total-Items"] == "1"
    for wrong in ("x", "-1", "1,2,3", "1.5"):
        page = Client().get(url, query_params={"resultLimit": wrong}, headers=headers)
        assert page.status_code == 400


def test_one_of_thousands_is_looked_up_and_a_page_is_not_read_beyond_its_end(five, program):
    def rows_read(**how) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            program.call(LIST, mask="mask[name]", **how)
        return [one["sql"] for one in captured]

    (*_, looked_up) = rows_read(filter=only(five[2]))
    assert f'"vpnportal_tunnel"."id" = ({five[2].pk})' in looked_up
    *_, page, count = rows_read(limit=2, offset=1)
    assert "LIMIT 2 OFFSET 1" in page and "COUNT(*)" in count


def test_filters_choose_and_order_by_what_is_not_in_the_mask(five, program):
    Tunnel.objects.filter(pk=five[3].pk).update(friendly_name="Houston")
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


def test_only_a_filtered_mask_takes_related_objects_away(ready, program):
    chosen = {
        "networkTunnelContexts": {"addressTranslations": {"notes": {"operation": "database"}}}
    }
    other = {"networkTunnelContexts": {"addressTranslations": {"notes": {"operation": "is null"}}}}
    mask = "[addressTranslations[notes]]"

    def notes(filter, root):
        found = program.call(LIST, filter=filter, mask=f"{root}{mask}")
        return [[row["notes"] for row in one["addressTranslations"]] for one in found]

    assert notes(chosen, "mask") == notes(chosen, "filteredMask") == [["database"]]
    assert notes(other, "mask") == []
    below = other["networkTunnelContexts"]
    found = program.call("getObject", on=ready.pk, filter=below, mask=f"filteredMask{mask}")
    assert found["addressTranslations"] == []


def test_a_mask_that_cannot_be_read_is_refused_before_anything_is_changed(ready, program):
    before = list(ready.translations.values())
    template = {"internalIpAddress": "10.1.255.93", "customerIpAddress": "192.168.10.16"}

    assert (
        program.fault("createAddressTranslation", template, on=ready.pk, mask="mask[id").status
        == 400
    )

    assert list(ready.translations.values()) == before


def test_a_plain_value_has_no_total_and_no_mask(ready, program):
    call = Call("SoftLayer_Network_Tunnel_Module_Context", "getKeylifeLimits", mask="mask[id]")

    assert dispatch(call, program.caller).total is None


@pytest.mark.parametrize("path", ["/rest/v3.1/SoftLayer_Account", "/xmlrpc/v3/SoftLayer_Account"])
def test_a_body_beyond_the_limit_is_a_fault_and_nothing_of_it_is_parsed(path):
    answer = Client().post(path, b"[" * (middleware.MAX_BODY_BYTES + 1), content_type="text/plain")

    assert b"The request body is larger than 1,048,576 bytes." in answer.content
    assert answer.status_code == (413 if "rest" in path else 200)


@pytest.mark.parametrize("path", ["/rest/v3.1/SoftLayer_Account", "/xmlrpc/v3/SoftLayer_Account"])
def test_a_key_without_encryption_is_refused_and_not_redirected(settings, path):
    settings.HTTPS = settings.SECURE_SSL_REDIRECT = True

    answer = Client().post(path, b"", content_type="text/plain")

    assert "Location" not in answer
    assert b"The API key was sent unencrypted: revoke it, and use https." in answer.content
    assert Client().get("/sign-in/").status_code == 301


def test_whatever_breaks_is_told_as_a_fault_and_nothing_of_the_call_is_logged(
    monkeypatch, caplog, account, user
):
    def broken(*_):
        raise RuntimeError("no")

    key = api_keys.create(account, user, "a script").text
    monkeypatch.setattr(middleware, "dispatch", broken)
    headers = {"Authorization": "Basic " + _coded(f"ada:{key}")}

    told = Client().post(
        "/rest/v3.1/SoftLayer_Account/x", b'{"parameters": ["secret"]}',
        content_type="application/json", headers=headers,
    )  # fmt: skip

    assert told.json() == {"error": "Internal Error", "code": "SoftLayer_Exception_Public"}
    assert told.status_code == 500
    assert "secret" not in caplog.text and key not in caplog.text


def _coded(text: str) -> str:
    return b64encode(text.encode()).decode()
