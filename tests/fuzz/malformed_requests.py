"""Requests from the grammar of the API, corrupted in their values and in their bytes."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from tests.fuzz.sample_accounts import SampleAccounts
from vpnportal.api import xmlrpc_values
from vpnportal.api.methods import SERVICES
from vpnportal.api.serializers import DATA_TYPES, count_name

TEXTS = (
    "", "a", "dal13", "hou02", "10.1.128.5", "192.168.3.20", "10.2.0.0/24", "255.255.255.255", "0",
    "é", "\u202e", "a" * 5_000, "[/x]", "<b>&", "' OR 1=1 --", "../..", "%00",
    "2012-03-05T14:07:34-06:00", "3DES", "MD5", "AES256", "is null", "-1", "1e9", "true", "\r\n",
)  # fmt: skip
NUMBERS = (
    0, 1, 2, 5, 14, 26, 30, 120, 3_600, 172_800, -1, 2**31 - 1, 2**31, 2**63 - 1, -(2**63), 0.5,
)  # fmt: skip
# Values that the protocol adapters refuse before any method runs.
REFUSED_VALUES = ("\x00", "\ud800", 2**63, 10**400)
NAMES = (
    "id", "friendlyName", "customerPeerIpAddress", "presharedKey", "phaseOneEncryption",
    "phaseOneAuthentication", "phaseOneDiffieHellmanGroup", "phaseOneKeylife", "phaseTwoKeylife",
    "phaseTwoPerfectForwardSecrecy", "internalIpAddress", "customerIpAddress",
    "internalIpAddressId", "customerIpAddressId", "notes", "cidr", "networkIdentifier", "accountId",
    "orderContainers", "complexType", "location", "packageId", "prices", "quantity",
    "networkTunnelContextId",
)  # fmt: skip
OPERATIONS = (
    "", "!= ", "> ", "<= ", "^= ", "$= ", "*= ", "!~ ", "~ (a+)+$", "_= ", "is null", "not null",
    "in", "not in", "or", "and", "isDate", "betweenDate", "orderBy", "> sysdate - ",
)  # fmt: skip
OPTIONS = ("data", "date", "sort", "sortOrder", "startDate", "endDate")
CORRUPTIONS = (
    b"\x00", b"\xff\xfe", b"[" * 3_000, b'{"a":' * 3_000, b"<value>" * 3_000, b"9" * 5_000,
    b"]", b"}", b"<!DOCTYPE a [<!ENTITY x 'y'>]>", b"&x;", b"\\ud800", b"</value>", b"<nil/>",
    b"NaN", b"%", b"[", b"<int>1_0</int>", b"<double>nan</double>", b"null", b",", b".", b"(", b";",
    b'"', b"\r\n",
)  # fmt: skip
VERBS = (*["GET", "POST"] * 10, "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "NONSENSE")


@dataclass(frozen=True, slots=True)
class Request:
    """A request; `path` can contain any character and is not quoted."""

    verb: str
    path: str
    query: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """The quoted path."""
        return quote(self.path, safe="/%", errors="replace")


class Requests:
    """A generator of requests; equal seeds give equal requests."""

    def __init__(self, accounts: SampleAccounts, seed: int) -> None:
        self._accounts = accounts
        self._random = Random(seed)  # noqa: S311
        self._leaves: tuple[Callable[[], Any], ...] = (
            lambda: self._pick(TEXTS),
            lambda: self._pick(NUMBERS),
            self._id,
            self._id,
            lambda: str(self._id()),
            lambda: self._pick((None, True, False)),
        )

    def next(self) -> Request:
        """Return the next request; more than half are well formed."""
        request = self._xmlrpc() if self._chance(0.5) else self._rest()
        if self._chance(0.6):
            return request
        path, query, body = request.path, request.query, request.body
        if self._chance(0.6):
            body = self._corrupted(body)
        if self._chance(0.3):
            query = self._corrupted(query.encode()).decode("latin-1")
        if self._chance(0.2):
            path = self._corrupted(path.encode(errors="replace")).decode("latin-1")
            path = f"/{self._pick(('rest', 'xmlrpc'))}/{path.lstrip('/').partition('/')[2]}"
        return Request(request.verb, path, query, body, request.headers)

    def _xmlrpc(self) -> Request:
        service, method = self._method()
        headers: dict[str, Any] = {}
        http = {}
        name, key = self._credentials()
        if self._chance(0.9):
            headers["authenticate"] = {"username": name, "apiKey": key}
        else:
            http = _basic(name, key)
        if self._chance(0.8):
            headers[f"{service}InitParameters"] = {"id": self._init(service)}
        if self._chance(0.4):
            headers["SoftLayer_ObjectMask"] = {"mask": self._mask()}
        elif self._chance(0.1):
            headers[f"{service}ObjectMask"] = {"mask": self._value(4)}
        if self._chance(0.4):
            headers[f"{service}ObjectFilter"] = self._filter(service, method)
        if self._chance(0.2):
            headers["resultLimit"] = {"limit": self._limit(), "offset": self._limit()}
        parameters = [{"headers": headers}, *self._arguments()]
        params = "".join(f"<param>{xmlrpc_values.to_xml(value)}</param>" for value in parameters)
        method_name = f"<methodName>{method}</methodName>"
        body = f"<methodCall>{method_name}<params>{params}</params></methodCall>"
        verb = "POST" if self._chance(0.97) else self._pick(VERBS)
        version = self._pick(("v3", "v3.1"))
        return Request(verb, f"/xmlrpc/{version}/{service}", "", _encoded(body), http)

    def _rest(self) -> Request:
        service, method = self._method()
        parts = [service]
        if self._chance(0.8):
            parts.append(str(self._init(service)))
        if self._chance(0.9):
            parts.append(method)
        arguments, body = self._arguments(), b""
        if self._chance(0.1):
            parts += [str(argument) for argument in arguments]
        elif arguments or self._chance(0.2):
            body = json.dumps({"parameters": arguments}).encode()
        query: dict[str, str] = {}
        if self._chance(0.4):
            query["objectMask"] = self._mask()
        if self._chance(0.4):
            query["objectFilter"] = json.dumps(self._filter(service, method))
        if self._chance(0.2):
            query["resultLimit"] = f"{self._limit()},{self._limit()}"
        path = f"/rest/{self._pick(('v3', 'v3.1'))}/{'/'.join(parts)}{self._pick(('', '.json'))}"
        encoded = urlencode(query, errors="replace")
        return Request(self._pick(VERBS), path, encoded, body, _basic(*self._credentials()))

    def _method(self) -> tuple[str, str]:
        service = self._pick(sorted(SERVICES))
        methods = sorted(SERVICES[service].methods)
        method = self._pick(methods) if methods and self._chance(0.97) else "getNothing"
        return (service if self._chance(0.99) else "SoftLayer_Nothing"), method

    def _credentials(self) -> tuple[str, str]:
        name = self._pick(("owner", "owner", "operator", "viewer"))
        key = self._accounts.keys[name]
        if self._chance(0.02):
            return self._pick((("owner", "0" * 64), ("", ""), ("\ud800", key), ("viewer2", key)))
        return ("apikey" if self._chance(0.1) else name), key

    def _id(self, service: str = "") -> int:
        """Return an id: one in four of the other account, most others of existing objects."""
        if self._chance(0.25):
            return self._pick(self._accounts.foreign)
        own = self._accounts.own
        return self._pick(own.get(service) or own[self._pick(sorted(own))] + [0])

    def _init(self, service: str) -> Any:
        return self._id(service) if self._chance(0.95) else self._value(2)

    def _limit(self) -> Any:
        return self._pick((0, 1, 2, "3", 2**62)) if self._chance(0.9) else self._value(1)

    def _arguments(self) -> list[Any]:
        return [self._argument() for _ in range(self._pick((0, 1, 1, 1, 2, 3)))]

    def _argument(self) -> Any:
        if self._chance(0.5):
            return self._leaf()
        return self._template() if self._chance(0.8) else [self._template() for _ in range(3)]

    def _template(self) -> dict[str, Any]:
        names = self._random.sample(NAMES, self._random.randrange(6))
        return {name: self._leaf() if self._chance(0.9) else self._value(3) for name in names}

    def _leaf(self) -> Any:
        if self._chance(0.01):
            return self._pick(REFUSED_VALUES)
        return self._pick(self._leaves)()

    def _value(self, depth: int) -> Any:
        form = self._random.random() if depth else 0
        if form < 0.6:
            return self._leaf()
        many = range(self._random.randrange(4))
        if form < 0.8:
            return [self._value(depth - 1) for _ in many]
        return {self._pick(NAMES): self._value(depth - 1) for _ in many}

    def _mask(self) -> str:
        content = self._properties(self._pick(sorted(DATA_TYPES)), self._random.randrange(6))
        root = self._pick(("mask[{}]", "[mask[{}]]", "filteredMask[{}]", "{}", "mask(X)[{}]"))
        return root.format(content)

    def _properties(self, type_name: str, depth: int) -> str:
        data_type = DATA_TYPES[type_name]
        properties = self._random.sample(
            list(data_type.locals), min(len(data_type.locals), self._random.randrange(3))
        )
        relations = sorted(data_type.relations)
        for name in self._random.sample(relations, min(len(relations), self._random.randrange(4))):
            nested = (
                self._properties(data_type.relations[name].type_name, depth - 1) if depth else ""
            )
            properties.append(
                self._pick((f"{name}[{nested}]", f"{name}.id", count_name(name), name))
            )
        return self._pick((",", ", ", ";")).join(properties)

    def _filter(self, service: str, method: str) -> Any:
        api_service = SERVICES.get(service)
        api_method = api_service.methods.get(method) if api_service else None
        data_type = (
            api_method.data_type
            if api_method and api_method.data_type
            else DATA_TYPES[self._pick(sorted(DATA_TYPES))]
        )
        conditions = self._conditions(data_type.name, 3)
        if api_method and api_method.filter_root:
            return {api_method.filter_root: conditions}
        return conditions

    def _conditions(self, type_name: str, depth: int) -> dict[str, Any]:
        data_type, conditions = DATA_TYPES[type_name], {}
        for name in self._random.sample(list(data_type.locals), min(len(data_type.locals), 2)):
            conditions[name] = self._condition()
        if depth and data_type.relations and self._chance(0.6):
            name = self._pick(sorted(data_type.relations))
            conditions[name] = self._conditions(data_type.relations[name].type_name, depth - 1)
        return conditions

    def _condition(self) -> Any:
        operation = self._pick(OPERATIONS)
        text = (
            f"{operation}{self._leaf()}" if operation.endswith(" ") else operation or self._leaf()
        )
        options = [{"name": self._pick(OPTIONS), "value": self._value(2)} for _ in range(2)]
        return {"operation": text, "options": options} if self._chance(0.5) else {"operation": text}

    def _corrupted(self, data: bytes) -> bytes:
        if self._chance(0.05):
            return self._random.randbytes(self._random.randrange(200))
        changed = bytearray(data)
        for _ in range(self._random.randrange(1, 4)):
            at = self._random.randrange(len(changed) + 1)
            end = min(len(changed), at + self._random.randrange(20))
            form = self._random.randrange(5)
            if form == 0:
                changed[at:at] = self._pick(CORRUPTIONS)
            elif form == 1:
                del changed[at:end]
            elif form == 2:
                changed[at:at] = changed[at:end]
            elif form == 3 and at < len(changed):
                changed[at] = self._random.randrange(256)
            elif self._chance(0.2):
                del changed[at:]
        return bytes(changed)

    def _pick(self, values: Any) -> Any:
        return self._random.choice(values)

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability


def _basic(name: str, key: str) -> dict[str, str]:
    coded = b64encode(f"{name}:{key}".encode(errors="replace")).decode()
    return {"Authorization": f"Basic {coded}"}


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", errors="replace")
