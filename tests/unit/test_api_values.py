"""JSON and XML-RPC codecs: values round-trip, and any other bytes are refused in bounded time."""

from __future__ import annotations

import xmlrpc.client
from collections.abc import Callable
from contextlib import suppress
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpnportal.api import json_values, xml_parser, xmlrpc_values

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
    lambda value: st.lists(value, max_size=4) | st.dictionaries(WRITABLE, value, max_size=4),
    max_leaves=12,
)


def refused_within_a_second(parse: Callable[[bytes], object], body: bytes, match: str) -> None:
    """Require ValueError within a second of CPU time, which no load of the machine changes."""
    began = process_time()
    with pytest.raises(ValueError, match=match):
        parse(body)
    assert process_time() - began < 1


def response(value: object) -> bytes:
    inside = f"<params><param>{xmlrpc_values.to_xml(value)}</param></params>"
    return f"<methodResponse>{inside}</methodResponse>".encode()


@given(VALUES)
def test_the_xmlrpc_client_of_python_parses_values_that_the_codec_writes(value):
    assert xmlrpc.client.loads(response(value))[0][0] == value


@given(VALUES)
def test_xml_values_round_trip(value):
    (param,) = xml_parser.parse(response(value)).children[0].children

    assert xmlrpc_values.parse_value(param.children[0]) == value


@given(st.text(alphabet=st.characters()))
def test_any_text_is_written_as_well_formed_xml(text):
    (parsed,) = xmlrpc.client.loads(response(text))[0]

    assert len(parsed) == len(text)


@given(VALUES)
def test_json_values_round_trip_in_one_line_without_outer_blanks(value):
    written = json_values.to_json(value)

    assert json_values.parse(written) == value
    assert written == written.strip() and b"\n" not in written


@given(
    st.binary(max_size=100)
    | st.text(alphabet='<>&;/"[]{}:,\\ux01.e-valuentrgi ', max_size=80).map(str.encode)
)
def test_any_bytes_are_parsed_or_refused(data):
    for parse in (xml_parser.parse, json_values.parse):
        with suppress(ValueError):
            parse(data)


ENTITIES = b"".join(
    b'<!ENTITY a%d "%s">' % (number, b"&a%d;" % (number - 1) * 10) for number in range(1, 10)
)


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE a [<!ENTITY a0 "ha">' + ENTITIES + b"]><a>&a9;</a>",
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
def test_xml_with_entities_deep_nesting_or_a_wrong_encoding_is_refused_within_a_second(body):
    refused_within_a_second(xml_parser.parse, body, r".+")


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
def test_malformed_xmlrpc_values_are_refused(value):
    element = xml_parser.parse(f"<value>{value}</value>".encode())
    with pytest.raises(ValueError, match=r".*"):
        xmlrpc_values.parse_value(element)


def test_declared_iso_8859_1_applies_only_to_bytes_that_are_not_utf_8():
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
def test_json_that_is_too_deep_too_large_or_invalid_is_refused_within_a_second(body):
    refused_within_a_second(json_values.parse, body, r".*")
