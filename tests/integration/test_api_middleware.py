"""The two doors of the retired API: every way to write a call is the same call."""

from __future__ import annotations

import json
import xmlrpc.client
from base64 import b64encode

import pytest
from django.test import Client

from vpnportal.api.faults import passwords_refused
from vpnportal.api.registry import SERVICES, Method, Service
from vpnportal.services import api_keys

pytestmark = pytest.mark.django_db
ECHO = "SoftLayer_Echo"


@pytest.fixture(autouse=True)
def echo(monkeypatch):
    """A service whose methods tell what they were called with; `getObject` is the default one."""
    same = (lambda value: value,) * 3
    methods = {
        name: Method(
            lambda caller, init, *given, name=name: {"name": name, "id": init, "given": given},
            find=lambda caller, init: init,
            arguments=same,
        )
        for name in ("getObject", "createObject", "editObject", "deleteObject", "say")
    }
    methods["text"] = Method(lambda caller, given: given, arguments=same[:1])
    monkeypatch.setitem(SERVICES, ECHO, Service(ECHO, methods))


@pytest.fixture
def key(account, user) -> str:
    return api_keys.create(account, user, "a script").text


def basic(name: str, key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{name}:{key}".encode()).decode()}


def rest(key, verb, path, body=None, name="ada", **query):
    data = "" if body is None else body if isinstance(body, (str, bytes)) else json.dumps(body)
    return Client().generic(
        verb,
        f"/rest/v3.1/{path}",
        data,
        content_type="application/x-www-form-urlencoded",
        headers=basic(name, key) if key else {},
        query_params=query,
    )


def call(method, *arguments, service=ECHO, headers=None, key="", name="ada", version="v3.1"):
    """As softlayer-python does: the key is in the body."""
    sent = dict(headers or {})
    if key:
        sent["authenticate"] = {"username": name, "apiKey": key}
    body = xmlrpc.client.dumps(
        ({"headers": sent}, *arguments), method, encoding="iso-8859-1", allow_none=True
    )
    return post(f"/xmlrpc/{version}/{service}", body.encode())


def post(path: str, body: bytes):
    return Client().post(path, body, content_type="application/xml")


def value(answer):
    """What an answer of XML-RPC holds; a Fault is raised."""
    assert answer.status_code == 200
    return xmlrpc.client.loads(answer.content)[0][0]


def fault(answer) -> tuple[str, str]:
    with pytest.raises(xmlrpc.client.Fault) as found:
        value(answer)
    return found.value.faultCode, found.value.faultString


@pytest.mark.parametrize(
    ("verb", "path", "body", "expected"),
    [
        ("GET", f"{ECHO}/445", None, ("getObject", "445", [None] * 3)),
        ("GET", f"{ECHO}/445.json", None, ("getObject", "445", [None] * 3)),
        ("GET", f"{ECHO}/445/", None, ("getObject", "445", [None] * 3)),
        ("GET", f"{ECHO}/0/say.json", None, ("say", "0", [None] * 3)),
        ("GET", f"{ECHO}/say/1/10.1.2.3.json", None, ("say", None, ["1", "10.1.2.3", None])),
        (
            "POST",
            f"{ECHO}",
            {"parameters": [{"a": 1}]},
            ("createObject", None, [{"a": 1}, None, None]),
        ),
        ("POST", f"{ECHO}/4/say", {"parameters": [1, None]}, ("say", "4", [1, None, None])),
        ("POST", f"{ECHO}/4/say", {"parameters": [[1, 2]]}, ("say", "4", [[1, 2], None, None])),
        ("PUT", f"{ECHO}/4.json", {"parameters": ["é"]}, ("editObject", "4", ["é", None, None])),
        ("DELETE", f"{ECHO}/4.json", None, ("deleteObject", "4", [None] * 3)),
        ("GET", f"{ECHO}/4/say.json", {"parameters": [1, 2, 3, 4]}, ("say", "4", [1, 2, 3])),
    ],
)
def test_every_way_to_name_a_method_in_a_path_is_understood(key, verb, path, body, expected):
    answer = rest(key, verb, path, body)

    told = answer.json()
    assert (told["name"], told["id"], told["given"]) == expected


def test_a_scalar_is_the_whole_body_without_a_blank(key):
    assert rest(key, "POST", f"{ECHO}/text", {"parameters": [True]}).content == b"true"
    assert rest(key, "POST", f"{ECHO}/text", {"parameters": ["a b"]}).content == b'"a b"'


def test_xmlrpc_reads_utf_8_whatever_is_declared_and_every_type(key):
    given = ["Zürich €", None, {"list": [1, True, 1.5, -(2**31)], "empty": {}}]

    told = value(call("say", *given, key=key, headers={f"{ECHO}InitParameters": {"id": 445}}))

    assert told == {"name": "say", "id": 445, "given": given}


def test_types_that_clients_cannot_print_are_read_and_written_as_text(key):
    body = xmlrpc.client.dumps(
        ({"headers": {"authenticate": {"username": "ada", "apiKey": key}}},), "say"
    )
    typed = (
        "<param><value><dateTime.iso8601>20120305T14:07:34</dateTime.iso8601></value></param>"
        "<param><value><base64>aGVsbG8=</base64></value></param>"
        "<param><value><i8>9007199254740993</i8></value></param></params>"
    )

    answer = post(f"/xmlrpc/v3/{ECHO}", body.replace("</params>", typed).encode())

    assert value(answer)["given"] == ["20120305T14:07:34", "hello", 9007199254740993]
    assert b"dateTime" not in answer.content and b"base64" not in answer.content


def test_no_cookie_no_redirect_and_nothing_kept_by_a_cache(key, settings):
    settings.APPEND_SLASH = True
    for answer in (
        rest(key, "GET", f"{ECHO}/1"),
        rest(key, "GET", f"{ECHO}/1/"),
        rest("", "GET", f"{ECHO}/1"),
        rest(key, "GET", "nothing/at/all"),
        call("say", key=key),
        call("say"),
        post(f"/xmlrpc/v3.1/{ECHO}/", b"x"),
    ):
        assert answer.status_code in (200, 401, 500)
        assert not answer.cookies
        assert answer["Cache-Control"] == "no-store"
        assert "Location" not in answer
        assert answer["Content-Length"] == str(len(answer.content))


@pytest.mark.parametrize("credentials", [None, "wrong key", "wrong name", "Bearer", "?"])
def test_without_a_good_key_the_answer_is_one_and_the_same(key, credentials):
    headers = {
        None: {},
        "wrong key": basic("ada", "0" * 64),
        "wrong name": basic("bob", key),
        "Bearer": {"Authorization": f"Bearer {key}"},
        "?": {"Authorization": "Basic ?"},
    }[credentials]

    answer = Client().get(f"/rest/v3/{ECHO}/1", headers=headers)

    assert answer.status_code == 401
    assert answer.json() == {"error": "Invalid API token.", "code": "SoftLayer_Exception_Public"}
    name, wrong = ("bob", key) if credentials == "wrong name" else ("ada", "0" * 64)
    assert fault(call("say", key=wrong, name=name)) == (
        "SoftLayer_Exception_Public",
        "Invalid API token.",
    )


def test_the_user_name_apikey_stands_for_the_key_alone(key):
    assert rest(key, "GET", f"{ECHO}/1", name="apikey").status_code == 200
    body = xmlrpc.client.dumps(({"headers": {}},), "say")
    answer = Client().post(
        f"/xmlrpc/v3.1/{ECHO}", body, content_type="text/xml", headers=basic("apikey", key)
    )
    assert value(answer)["name"] == "say"


def test_a_signed_in_browser_is_nobody_here(page):
    assert page.get(f"/rest/v3.1/{ECHO}/1").status_code == 401


def test_unknown_services_and_methods_are_named_in_the_fault(key):
    assert fault(call("say", service="SoftLayer_None", key=key)) == (
        "SoftLayer_Exception_Public",
        "Service SoftLayer_None does not exist.",
    )
    assert fault(call("nothing", key=key)) == (
        "-32601",
        "server error. requested method not found: nothing",
    )
    assert rest(key, "GET", f"{ECHO}/1/nothing.json").status_code == 404


def test_a_password_is_answered_with_where_a_key_is_made(user):
    code, text = fault(
        call("getPortalLoginToken", "ada", "secret", service="SoftLayer_User_Customer")
    )

    assert (code, text) == ("SoftLayer_Exception_NotImplemented", passwords_refused().text)
