"""REST and XML-RPC requests of the legacy API: all spellings of a call."""

from __future__ import annotations

import json
import xmlrpc.client
from base64 import b64encode

import pytest
from django.test import Client

from vpnportal import services
from vpnportal.api import xml_parser
from vpnportal.api.authentication import CALLS
from vpnportal.api.faults import passwords_refused
from vpnportal.api.registry import SERVICES, Method, Service
from vpnportal.services import api_key_digest

pytestmark = pytest.mark.django_db
ECHO = "SoftLayer_Echo"


@pytest.fixture(autouse=True)
def echo(monkeypatch):
    """Register a service whose methods return their arguments."""
    parsers = (lambda value: value,) * 3
    methods = {
        name: Method(
            lambda caller, object_id, *values, name=name: {
                "name": name,
                "id": object_id,
                "arguments": values,
            },
            find=lambda caller, object_id: object_id,
            arguments=parsers,
        )
        for name in ("getObject", "createObject", "editObject", "deleteObject", "say")
    }
    methods["text"] = Method(lambda caller, value: value, arguments=parsers[:1])
    monkeypatch.setitem(SERVICES, ECHO, Service(ECHO, methods))


@pytest.fixture
def key(account, user) -> str:
    return services.create_api_key(account, user, "a script").text


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
    """Send an XML-RPC call as softlayer-python does, with the key in the body."""
    struct = dict(headers or {})
    if key:
        struct["authenticate"] = {"username": name, "apiKey": key}
    body = xmlrpc.client.dumps(
        ({"headers": struct}, *arguments), method, encoding="iso-8859-1", allow_none=True
    )
    return post(f"/xmlrpc/{version}/{service}", body.encode())


def post(path: str, body: bytes):
    return Client().post(path, body, content_type="application/xml")


def value(response):
    """Return the value of an XML-RPC response. Raises xmlrpc.client.Fault."""
    assert response.status_code == 200
    return xmlrpc.client.loads(response.content)[0][0]


def fault(response) -> tuple[str, str]:
    with pytest.raises(xmlrpc.client.Fault) as raised:
        value(response)
    return raised.value.faultCode, raised.value.faultString


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
def test_a_rest_path_names_service_id_method_and_arguments(key, verb, path, body, expected):
    echoed = rest(key, verb, path, body).json()

    assert (echoed["name"], echoed["id"], echoed["arguments"]) == expected


def test_a_scalar_is_the_whole_body_without_blanks(key):
    assert rest(key, "POST", f"{ECHO}/text", {"parameters": [True]}).content == b"true"
    assert rest(key, "POST", f"{ECHO}/text", {"parameters": ["a b"]}).content == b'"a b"'


def test_xmlrpc_parses_every_type_and_utf_8_under_another_declaration(key):
    arguments = ["Zürich €", None, {"list": [1, True, 1.5, -(2**31)], "empty": {}}]

    echoed = value(call("say", *arguments, key=key, headers={f"{ECHO}InitParameters": {"id": 445}}))

    assert echoed == {"name": "say", "id": 445, "arguments": arguments}


def test_dates_and_base64_are_parsed_and_returned_as_strings(key):
    body = xmlrpc.client.dumps(
        ({"headers": {"authenticate": {"username": "ada", "apiKey": key}}},), "say"
    )
    extra_params = (
        "<param><value><dateTime.iso8601>20120305T14:07:34</dateTime.iso8601></value></param>"
        "<param><value><base64>aGVsbG8=</base64></value></param>"
        "<param><value><i8>9007199254740993</i8></value></param></params>"
    )

    response = post(f"/xmlrpc/v3/{ECHO}", body.replace("</params>", extra_params).encode())

    assert value(response)["arguments"] == ["20120305T14:07:34", "hello", 9007199254740993]
    assert b"dateTime" not in response.content and b"base64" not in response.content


def test_responses_have_no_cookie_no_redirect_and_no_cache(key, settings):
    settings.APPEND_SLASH = True
    for response in (
        rest(key, "GET", f"{ECHO}/1"),
        rest(key, "GET", f"{ECHO}/1/"),
        rest("", "GET", f"{ECHO}/1"),
        rest(key, "GET", "nothing/at/all"),
        call("say", key=key),
        call("say"),
        post(f"/xmlrpc/v3.1/{ECHO}/", b"x"),
    ):
        assert response.status_code in (200, 401, 500)
        assert not response.cookies
        assert response["Cache-Control"] == "no-store"
        assert "Location" not in response
        assert response["Content-Length"] == str(len(response.content))


@pytest.mark.parametrize("credentials", [None, "wrong key", "wrong name", "Bearer", "?"])
def test_all_invalid_credentials_get_the_same_fault(key, credentials):
    headers = {
        None: {},
        "wrong key": basic("ada", "0" * 64),
        "wrong name": basic("bob", key),
        "Bearer": {"Authorization": f"Bearer {key}"},
        "?": {"Authorization": "Basic ?"},
    }[credentials]

    response = Client().get(f"/rest/v3/{ECHO}/1", headers=headers)

    assert response.status_code == 401
    assert response.json() == {"error": "Invalid API token.", "code": "SoftLayer_Exception_Public"}
    name, sent_key = ("bob", key) if credentials == "wrong name" else ("ada", "0" * 64)
    assert fault(call("say", key=sent_key, name=name)) == (
        "SoftLayer_Exception_Public",
        "Invalid API token.",
    )


def test_the_user_name_apikey_matches_any_user(key):
    assert rest(key, "GET", f"{ECHO}/1", name="apikey").status_code == 200
    body = xmlrpc.client.dumps(({"headers": {}},), "say")
    response = Client().post(
        f"/xmlrpc/v3.1/{ECHO}", body, content_type="text/xml", headers=basic("apikey", key)
    )
    assert value(response)["name"] == "say"


def test_a_browser_session_does_not_authenticate(page):
    assert page.get(f"/rest/v3.1/{ECHO}/1").status_code == 401


def test_the_fault_names_an_unknown_service_or_method(key):
    assert fault(call("say", service="SoftLayer_None", key=key)) == (
        "SoftLayer_Exception_Public",
        "Service SoftLayer_None does not exist.",
    )
    assert fault(call("nothing", key=key)) == (
        "-32601",
        "server error. requested method not found: nothing",
    )
    assert rest(key, "GET", f"{ECHO}/1/nothing.json").status_code == 404


def test_the_fault_for_a_password_says_where_to_create_a_key(user):
    code, text = fault(
        call("getPortalLoginToken", "ada", "secret", service="SoftLayer_User_Customer")
    )

    assert (code, text) == ("SoftLayer_Exception_NotImplemented", passwords_refused().text)


@pytest.fixture
def parsed(monkeypatch) -> list[bytes]:
    """Return the bodies that were parsed."""
    bodies: list[bytes] = []
    parse = xml_parser.parse
    monkeypatch.setattr(xml_parser, "parse", lambda body: bodies.append(body) or parse(body))
    return bodies


def send(body: bytes, headers: dict[str, str] | None = None) -> bytes:
    path = f"/xmlrpc/v3.1/{ECHO}"
    return Client().post(path, body, content_type="text/xml", headers=headers or {}).content


def say(key: str = "") -> bytes:
    struct = {"authenticate": {"username": "ada", "apiKey": key}} if key else {}
    return xmlrpc.client.dumps(({"headers": struct},), "say").encode()


@pytest.mark.parametrize("body", [b"<a><b/></a>", b"<a", b"<methodCall/>", say()])
def test_s23_without_a_key_an_address_sends_few_bodies_that_are_parsed(key, parsed, body):
    for _ in range(12):
        answer = send(body)

    assert len(parsed) == 10
    assert b"Too many requests" in answer
    # A key in the HTTP headers needs no body to be recognised.
    headers = basic("ada", key)
    assert b"Too many requests" in send(say(), basic("ada", "0" * 64))
    assert len(parsed) == 10
    CALLS.take_token(api_key_digest(key))
    assert b"arguments" in send(say(), headers)


def test_s23_wrong_bodies_do_not_stop_a_program_at_an_address_with_a_key_in_use(key, parsed):
    good = say(key)
    assert b"arguments" in send(good)
    for _ in range(20):
        send(b"<a/>")

    assert b"arguments" in send(good)


def test_s23_a_wrong_key_in_the_headers_counts_before_the_body_is_parsed(key, parsed):
    answer = send(say(key), basic("ada", "0" * 64))

    assert b"Invalid API token." in answer
    assert not parsed
