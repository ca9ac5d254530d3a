"""Values at the doors of the API: what is written comes back, and any bytes are read or refused."""

from __future__ import annotations

import xmlrpc.client
from collections.abc import Callable
from contextlib import suppress
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpnportal.api import json_codec, xml_parser, xmlrpc_codec

WRITABLE = st.text(
    alphabet=st.characters(
        codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"
    )
    | st.sampled_from("\t\n\r")
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | WRITABLE
)
VALUES = st.recursive(
    SCALARS,
    lambda one: st.lists(one, max_size=4) | st.dictionaries(WRITABLE, one, max_size=4),
    max_leaves=12,
)


def refused_at_once(parse: Callable[[bytes], object], body: bytes, why: str) -> None:
    """In less than a second of this process, whatever else the machine does."""
    began = process_time()
    with pytest.raises(ValueError, match=why):
        parse(body)
    assert process_time() - began < 1


def response(value: object) -> bytes:
    inside = f"<params><param>{xmlrpc_codec.to_xml(value)}</param></params>"
    return f"<methodResponse>{inside}</methodResponse>".encode()


@given(VALUES)
def test_what_is_written_as_xml_is_read_by_pythons_own_client(value):
    assert xmlrpc.client.loads(response(value))[0][0] == value


@given(VALUES)
def test_what_is_written_as_xml_comes_back(value):
    (param,) = xml_parser.parse(response(value)).children[0].children

    assert xmlrpc_codec.parse_value(param.children[0]) == value


@given(st.text(alphabet=st.characters()))
def test_no_text_makes_an_answer_that_is_not_xml(text):
    (told,) = xmlrpc.client.loads(response(text))[0]

    assert len(told) == len(text)


@given(VALUES)
def test_what_is_written_as_json_comes_back_and_is_one_line_without_blanks_around(value):
    written = json_codec.to_json(value)

    assert json_codec.parse(written) == value
    assert written == written.strip() and b"\n" not in written


@given(
    st.binary(max_size=100)
    | st.text(alphabet='<>&;/"[]{}:,\\ux01.e-valuentrgi ', max_size=80).map(str.encode)
)
def test_any_bytes_are_a_value_or_refused(data):
    for read in (xml_parser.parse, json_codec.parse):
        with suppress(ValueError):
            read(data)


LAUGHS = b"".join(
    b'<!ENTITY a%d "%s">' % (number, b"&a%d;" % (number - 1) * 10) for number in range(1, 10)
)


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE a [<!ENTITY a0 "ha">' + LAUGHS + b"]><a>&a9;</a>",
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/"><a/>',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        b"<a>&undefined;</a>",
        b"<a>" * 200 + b"</a>" * 200,
        b"<a>" * 300_000,
        b"<a>" + b"<b/>" * 200_000 + b"</a>",
        b"<a>\x00</a>",
        b"<a>\xff</a>",
        b'<?xml version="1.0" encoding="utf-7"?><a>+AGE-\xff</a>',
        b"<a>&#xD800;</a>",
        b"<a></b>",
        b"",
    ],
)
def test_xml_that_grows_nests_or_lies_is_refused_at_once(body):
    refused_at_once(xml_parser.parse, body, r".+")


@pytest.mark.parametrize(
    "value",
    [
        "<int>9223372036854775808</int>",
        "<int>1_0</int>",
        "<int>" + "9" * 5_000 + "</int>",
        "<int>١</int>",
        "<int/>",
        "<double>nan</double>",
        "<double>1e999</double>",
        "<double/>",
        "<boolean>2</boolean>",
        "<base64>?</base64>",
        "<base64>/w==</base64>",
        "<other>1</other>",
        "<array/>",
        "<array><data/><data/></array>",
        "<array><data><int>1</int></data></array>",
        "<struct><member><name>a</name></member></struct>",
        "<struct><member><value/><name>a</name></member></struct>",
        f"<struct>{'<member><name>a</name><value/></member>' * 2}</struct>",
        "<int>1</int><int>2</int>",
        "<string><b/></string>",
    ],
)
def test_what_is_no_value_is_refused(value):
    element = xml_parser.parse(f"<value>{value}</value>".encode())
    with pytest.raises(ValueError, match=r".*"):
        xmlrpc_codec.parse_value(element)


def test_iso_8859_1_is_read_only_where_it_is_declared_and_utf_8_fails():
    declared = b"<?xml version='1.0' encoding='iso-8859-1'?>"
    assert xml_parser.parse(declared + "<a>é</a>".encode()).text == "é"
    assert xml_parser.parse(declared + "<a>é</a>".encode("iso-8859-1")).text == "é"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 40 + b"]" * 40,
        b"9" * 5_000,
        b"9223372036854775808",
        b"1e999",
        b"NaN",
        b"-Infinity",
        b'{"a":1,"a":2}',
        b'"\\ud800"',
        b'"\\u0000"',
        b'{"\\udfff":1}',
        b'"\xff"',
        b'"\x01"',
        b"",
        b"{]",
    ],
)
def test_json_that_nests_lies_or_is_too_large_is_refused_at_once(body):
    refused_at_once(json_codec.parse, body, r".*")
