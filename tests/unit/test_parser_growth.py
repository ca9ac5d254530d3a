"""Each parser takes time in proportion to its input, or refuses the input by a limit.

The one test that measures times: of CPU, of inputs in the same process, the least of several.
"""

from __future__ import annotations

import ast
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from django.test import RequestFactory
from vici.exception import SessionException

import vpnportal
from vpnportal import broker_messages
from vpnportal.api import (
    arguments,
    filter_operators,
    json_values,
    lookup,
    object_filters,
    object_masks,
    rest,
    xml_parser,
    xmlrpc,
    xmlrpc_values,
)
from vpnportal.api.authentication import basic_credentials
from vpnportal.api.faults import Fault
from vpnportal.api.xml_parser import Element
from vpnportal.domain import addresses
from vpnportal.domain.diagnosis import proposal_parser
from vpnportal.domain.diagnosis.attempts import Attempt
from vpnportal.domain.diagnosis.log_collector import LogCollector, LogEvent
from vpnportal.domain.diagnosis.log_lines import LogLine, Role, from_json, sanitize
from vpnportal.domain.diagnosis.log_rules import symptom_of
from vpnportal.domain.exports import safe_text
from vpnportal.domain.tunnel import translation_csv
from vpnportal.enrolment import messages
from vpnportal.envelopes import Envelope
from vpnportal.gateway import icmp_errors, netlink_messages
from vpnportal.gateway.vici import wire
from vpnportal.services import input_parsing, translation_imports
from vpnportal.web.tunnel.translations import csv_import

NOW = datetime(2026, 12, 1, tzinfo=UTC)
# Four times the tokens may take this many times as long.
MOST_GROWTH = 6
# Where an input no longer fits into the caches of the processor, it grows up to here, once.
CACHE_GROWTH = 9
# Shorter times are not compared; inputs of more tokens that are so quick are quick enough.
LEAST_SECONDS, MOST_TOKENS = 0.005, 1 << 14
ROUNDS, TRIES = 2, 5
REFUSALS = (Empty, ValueError, Fault, messages.BadMessage, SessionException, IndexError, KeyError)

Case = tuple[Callable[[Any], object], Callable[[int], Any]]


def texts(parse: Callable[[str], object], *tokens: str) -> list[Case]:
    """Return a case for each token, which is repeated."""
    return [(parse, lambda n, token=token: token * n) for token in tokens]


def encoded(parse: Callable[[bytes], object], *tokens: str) -> list[Case]:
    return [(parse, lambda n, token=token: (token * n).encode()) for token in tokens]


def read_table(text: str) -> None:
    rows = translation_csv.read_rows(text, 70_000)
    csv_import.parse_rows(rows, None)
    csv_import.parse_rows(rows, addresses.parse_address("10.1.255.92"))


def read_log_line(text: str) -> None:
    collector = LogCollector("1")
    for group in ("NET", "ENC", "IKE"):
        for connection in ("ctx42", "(unnamed)", ""):
            collector.add(LogEvent(group, connection, "1" if connection else "", text), NOW)
    attempt = Attempt(Role.RESPONDER)
    line = LogLine(NOW, Role.RESPONDER, sanitize(text))
    attempt.read(line)
    symptom_of(attempt, line)


def read_log(count: int) -> list[dict[str, str]]:
    return [{"at": NOW.isoformat(), "role": "responder", "text": "x", "ike": ""}] * count


def nested(count: int, leaf: object) -> object:
    for _ in range(count):
        leaf = {"a": leaf}
    return leaf


def options(count: int, name: str) -> dict[str, Any]:
    return {"operation": name, "options": [{"name": "data", "value": ["1"] * count}]}


def call_rest(path: str) -> None:
    rest.parse_request(RequestFactory().get("/rest/v3.1/" + path))


def call_xmlrpc(body: bytes) -> None:
    xmlrpc.parse_request(RequestFactory().post("/xmlrpc/v3.1/A", body, content_type="text/xml"))


def parameters(value: str) -> Callable[[int], bytes]:
    call = "<methodCall><methodName>a</methodName><params>{}</params></methodCall>"
    return lambda n: call.format(value * n).encode()


def filtered(struct: object) -> object:
    return object_filters.parse(struct, "", NOW)


def compare(text: str) -> bool:
    return filter_operators.parse(text, None, NOW)(filter_operators.Operand(text))


def element(tag: str, *children: Element, text: str = "") -> Element:
    return Element("value", children=[Element(tag, text, list(children))])


LINE = "10.1.255.92,192.168.10.15,a\n"
CSV = translation_csv.__name__
CASES: dict[str, list[Case]] = {
    CSV: [
        *texts(read_table, LINE, "\n", ",", '"', "10.1.255.1,", LINE[:-1] + ",", ";", "\t", " "),
        *[(read_table, lambda n, c=c: "10.1.255.1" + c * n) for c in (",", ";", "\t", '"', " ")],
        *texts(translation_csv.escape_formula, "=", ",", ",=", ' "', "'", ',"', "\uff1d"),
        *texts(translation_csv.unescape_formula, "'=", ",'", "'", ' "'),
        *encoded(translation_csv.decode, "a\n", "ü"),
        (translation_csv.decode, lambda n: b"a\n" * n + b"\xff"),
    ],
    csv_import.__name__: [
        (lambda rows: csv_import.parse_rows(rows, None), lambda n: [
            translation_csv.Cells(1, ("10.1.255.92", *[""] * n))
        ]),
        (lambda rows: csv_import.parse_rows(rows, None), lambda n: [
            translation_csv.Cells(1, ("10.1.255.92", "192.168.10.15", "a"))
        ] * n),
    ],
    translation_imports.__name__: [
        (translation_imports.changes_from_json, lambda n: [["10.0.0.1", "10.0.0.2", *[""] * 3]] * n)
    ],
    input_parsing.__name__: [
        case
        for parse in (
            input_parsing.parse_name, input_parsing.parse_notes, input_parsing.parse_preshared_key,
            input_parsing.parse_keylife, input_parsing.parse_trial_seconds,
            input_parsing.parse_dpd, input_parsing.parse_day, input_parsing.parse_address,
            input_parsing.parse_peer, lambda text: input_parsing.parse_subnet(text, text),
        )
        for case in texts(parse, "1", " ", "a", "\n", "\r\n", "\u200b", "ü", "1.", " \t")
    ],
    addresses.__name__: [
        *texts(addresses.parse_address, "1", ".", " "),
        *texts(lambda text: addresses.parse_subnet(text, text), "1", "/", " ", "10.0.0.0/8 "),
    ],
    object_masks.__name__: [
        *texts(object_masks.parse, "[", "]", ",", "a,", "a.", "(", " ", "a[", "mask[", ";"),
        (object_masks.parse, lambda n: {str(number): "" for number in range(n)}),
        (object_masks.parse, lambda n: nested(n, "")),
    ],
    object_filters.__name__: [
        (filtered, lambda n: {str(number): {"operation": "1"} for number in range(n)}),
        (filtered, lambda n: {str(number): {"a": {}} for number in range(n)}),
        (filtered, lambda n: nested(n, {"operation": "1"})),
        *[(filtered, lambda n, o=o: {"a": options(n, o)}) for o in ("or", "and", "in", "not in")],
        (filtered, lambda n: {"a": {"operation": "in", "options": [{"name": "x"}] * n}}),
    ],
    filter_operators.__name__: [
        *texts(compare, "1", "~", " ", "< ", "!", "<01/01/2001", "< sysdate -", "a"),
        (lambda text: filter_operators.parse(text, None, NOW), lambda n: "> sysdate" + " " * n),
        (lambda text: filter_operators.sort_key(text), lambda n: "1" * n),
    ],
    json_values.__name__: [
        *encoded(json_values.parse, "[", "1", '"', " ", "{", '{"a":', "-", "1e"),
        (json_values.parse, lambda n: b"[" + b"1," * n + b"1]"),
        (json_values.parse, lambda n: b'["' + b"\\u00e9" * n + b'"]'),
        (json_values.parse, lambda n: b'["' + "é".encode() * n + b'"]'),
        (json_values.parse, lambda n: b"[1." + b"1" * n + b"]"),
        (json_values.parse, lambda n: b"{%s}" % b",".join(b'"%d":1' % at for at in range(n))),
    ],
    xml_parser.__name__: [
        *encoded(xml_parser.parse, "<a>", "<a/>", "a", " ", "&lt;", "<!-- -->", "<?a?>", "é"),
        *[
            (xml_parser.parse, lambda n, c=c: b"<a>" + c * n + b"</a>")
            for c in (b"<a/>", b"a", b"&lt;", b"&#13;", b"\n", b"<!-- -->", b"<b>c</b>", b"\xe9")
        ],
        (xml_parser.parse, lambda n: b"<a %s/>" % b" ".join(b'a%d="1"' % at for at in range(n))),
        (xml_parser.parse, lambda n: b"<a>%s</a>" % b"".join(b"<b%d/>" % at for at in range(n))),
        (xml_parser.parse, lambda n: b"<" + b"a" * n + b"/>"),
    ],
    xmlrpc_values.__name__: [
        (xmlrpc_values.parse_value, lambda n: element("array", Element("data", children=[
            element("int", text="1")
        ] * n))),
        (xmlrpc_values.parse_value, lambda n: element("struct", *[
            Element("member", children=[Element("name", str(at)), Element("value", "1")])
            for at in range(n)
        ])),
        *[
            (xmlrpc_values.parse_value, lambda n, tag=tag, c=c: element(tag, text=c * n))
            for tag in ("int", "double", "boolean", "string", "base64")
            for c in ("1", " ", "e", ".", "AAAA")
        ],
        *texts(xmlrpc_values.to_xml, "<", "\r", "a", "\0"),
    ],
    xmlrpc.__name__: [
        (call_xmlrpc, parameters("<param><value>1</value></param>")),
        (call_xmlrpc, parameters("<param>")),
        (call_xmlrpc, parameters(" ")),
    ],
    rest.__name__: [
        *texts(call_rest, "a/", "/", ".json", "1"),
        *[
            (call_rest, lambda n, name=name, c=c: f"A?{name}={c * n}")
            for name in ("objectMask", "objectFilter", "resultLimit")
            for c in (",", "[", "1", "a")
        ],
        *texts(lambda text: basic_credentials("Basic " + text), "A", "=", " ", "AAAA"),
    ],
    lookup.__name__: [
        *texts(lookup.parse_number, "1", " "),
        *texts(lookup.parse_id, "1", "a"),
        *texts(lookup.address_with_id, "1", "-"),
    ],
    arguments.__name__: [
        case
        for parse in (arguments.text("a"), arguments.digits("a"), arguments.flag("a"))
        for case in texts(parse, "1", " ", "a")
    ],
    "vpnportal.domain.diagnosis.log_lines": [
        (from_json, read_log),
        *texts(sanitize, "a", "\x00", "\u200b", " "),
        *[
            (read_log_line, lambda n, start=start, c=c: start + c * n)
            for start in (
                "", "received packet: from ", "parsed ID_PROT request 0 [ ",
                "ignoring IKE_SA setup ",
                "received unsupported IKE version ", "received proposals: ",
                "looking for peer configs matching 1.1.1.1[", "traffic selectors ",
                "tried 1 shared key for ", "IDir '",
                "constraint check failed: identity '", "no shared key found for '",
            )
            for c in ("1", " ", "a ", "'", " === ", ", ", "[", "/")
        ],
    ],
    proposal_parser.__name__: [
        *texts(proposal_parser.parse, "IKE:AES_CBC_256, ", "/", ", ", ":", "IKE:a/"),
        *texts(lambda text: proposal_parser.differences(text, text), "IKE:a/b, "),
        *texts(proposal_parser.describe, "IKE:AES_CBC_256, ", "/MODP_1"),
    ],
    safe_text.__name__: [
        *texts(safe_text.plain, "a", "'", " ", "ü", "\n", "ﷺ"),
        *texts(safe_text.identifier, "a", "-", " "),
        *texts(lambda text: safe_text.comments("#", [text]), "a", "a ", "-", " "),
    ],
    broker_messages.__name__: texts(
        broker_messages.parse_message, "[", "1", '"', '{"a":', " ", "a", "\\u00e9"
    ),
    messages.__name__: encoded(messages.read, "[", "{", "a", "1", '{"operation":', " "),
    "vpnportal.envelopes": texts(Envelope.parse, "a", ".", "a.", ":", "a:", "$", "="),
    wire.__name__: [
        (wire.parse_message, lambda n: b"\x01\x01a" * n),
        (wire.parse_message, lambda n: b"\x01\x01a" * n + b"\x02" * n),
        (wire.parse_message, lambda n: b"\x03\x01a\x00\x01b" * n),
        (wire.parse_message, lambda n: b"\x04\x01a" + b"\x05\x00\x01b" * n + b"\x06"),
        (wire.parse_message, lambda n: b"\xff" * n),
    ],
    netlink_messages.__name__: [
        case
        for parse in (
            lambda raw: list(netlink_messages.split_messages(raw)),
            netlink_messages.parse_attributes,
            icmp_errors._parse,
        )
        for case in [
            (parse, lambda n: b"\0" * n),
            (parse, lambda n: b"\x04\0\0\0" * n),
            (parse, lambda n: b"\x10\0\0\0\1\0\0\0" * 2 * n),
            (parse, lambda n: b"\x45" * n),
        ]
    ],
}  # fmt: skip
# Modules with parsers of what only the portal, the kernel or charon on this machine writes.
TRUSTED = {
    "vpnportal.domain.peer_probe.reply": "a row of the portal; charon's lines are cases above",
    "vpnportal.domain.traffic.sa_snapshot": "a row of the monitor",
    "vpnportal.domain.tunnel.serialization": "a specification that the portal encrypted",
    "vpnportal.gateway.netfilter.conntrack": "numbers of the portal",
    "vpnportal.gateway.netfilter.element_codec": "attributes of the kernel, by netlink_messages",
    "vpnportal.gateway.netfilter.usage_set": "attributes of the kernel, by netlink_messages",
    "vpnportal.gateway.vici.events": "sections that the vici library made",
    "vpnportal.gateway.vici.parsing": "sections that `wire` made",
    "vpnportal.gateway.xfrm.policies": "structs of the kernel, by netlink_messages",
    "vpnportal.gateway.xfrm.states": "structs of the kernel, by netlink_messages",
    "vpnportal.gateway.icmp_errors": "256 bytes at most; a case of netlink_messages",
    "vpnportal.encryption": "a key file of the portal",
    "vpnportal.root_commands.__main__": "the command line of root, by argparse",
    "vpnportal.management.database_backup.archive": "a file that an operator names; it has limits",
}
PREFIXES = ("parse", "decode", "deserialize", "from_json", "of_json", "split_messages", "read_rows")


def parser_modules() -> Iterator[str]:
    """Yield the modules that define a function whose name says that it parses."""
    package = Path(vpnportal.__file__).parent
    for file in package.rglob("*.py"):
        if "migrations" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                name = node.name.lstrip("_")
                if name.startswith(PREFIXES) or name.endswith("_from_json"):
                    yield ".".join(file.relative_to(package.parent).with_suffix("").parts)
                    break


def test_s3_each_module_with_a_parser_has_cases_or_a_reason():
    found = set(parser_modules())

    assert not found - CASES.keys() - TRUSTED.keys(), "add cases to CASES"
    assert not TRUSTED.keys() - found, "no longer a parser"
    assert not CASES.keys() & TRUSTED.keys()


@pytest.mark.parametrize("module", CASES)
def test_s3_four_times_the_input_takes_less_than_six_times_the_time(module):
    slow = [
        f"case {number} ({make(1)!r:.60}): {growth:.1f} times from {tokens} tokens on"
        for number, (parse, make) in enumerate(CASES[module])
        for tokens, growth in [growth_of(parse, make)]
        if growth > MOST_GROWTH
    ]

    assert not slow


def growth_of(parse: Callable[[Any], object], make: Callable[[int], Any]) -> tuple[int, float]:
    """Return a number of tokens, and how many times as long four times as many take.

    The number is the first of 64, 256, … that takes LEAST_SECONDS. 1 is for parsers that are quick
    with MOST_TOKENS. A pause of the machine is no growth, so a large one is measured again, and one
    below CACHE_GROWTH with more tokens, too.
    """
    tokens = 64
    while least_seconds(parse, make(tokens), 1) < LEAST_SECONDS:
        tokens *= 4
        if tokens > MOST_TOKENS:
            return tokens, 1.0
    growth = growth_from(parse, make, tokens)
    if MOST_GROWTH < growth < CACHE_GROWTH:
        growth = growth_from(parse, make, 4 * tokens)
    return tokens, growth


def growth_from(parse: Callable[[Any], object], make: Callable[[int], Any], tokens: int) -> float:
    growth = float("inf")
    for _ in range(TRIES):
        seconds = least_seconds(parse, make(tokens), ROUNDS)
        growth = min(growth, least_seconds(parse, make(4 * tokens), ROUNDS) / seconds)
        if growth <= MOST_GROWTH:
            break
    return growth


def least_seconds(parse: Callable[[Any], object], value: object, rounds: int) -> float:
    """Return the least seconds of CPU that a parser takes for a value, which it may refuse."""
    times = []
    # The collector of cycles looks at all objects of the process, at times of its own.
    gc.disable()
    try:
        for _ in range(rounds):
            object_masks._parse_text.cache_clear()
            began = time.thread_time()
            with suppress(*REFUSALS):
                parse(value)
            times.append(time.thread_time() - began)
    finally:
        gc.enable()
    return min(times)
