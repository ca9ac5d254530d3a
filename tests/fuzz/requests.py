"""Requests made from the grammar of the API, and spoiled: in their values, and in their bytes."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from tests.fuzz.world import World
from vpnportal.api import xmlrpc_codec
from vpnportal.api.registry import SERVICES
from vpnportal.api.serializers import DATA_TYPES, count_name

TEXTS = (
    "", "a", "dal13", "hou02", "10.1.128.5", "192.168.3.20", "10.2.0.0/24", "255.255.255.255", "0",
    "é", "\u202e", "a" * 5_000, "[/x]", "<b>&", "' OR 1=1 --", "../..", "%00",
    "2012-03-05T14:07:34-06:00", "3DES", "MD5", "AES256", "is null", "-1", "1e9", "true", "\r\n",
)  # fmt: skip
NUMBERS = (
    0, 1, 2, 5, 14, 26, 30, 120, 3_600, 172_800, -1, 2**31 - 1, 2**31, 2**63 - 1, -(2**63), 0.5,
)  # fmt: skip
# Refused by the doors, before any method sees them.
POISON = ("\x00", "\ud800", 2**63, 10**400)
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
SPOILERS = (
    b"\x00", b"\xff\xfe", b"[" * 3_000, b'{"a":' * 3_000, b"<value>" * 3_000, b"9" * 5_000,
    b"]", b"}", b"<!DOCTYPE a [<!ENTITY x 'y'>]>", b"&x;", b"\\ud800", b"</value>", b"<nil/>",
    b"NaN", b"%", b"[", b"<int>1_0</int>", b"<double>nan</double>", b"null", b",", b".", b"(", b";",
    b'"', b"\r\n",
)  # fmt: skip
VERBS = (*["GET", "POST"] * 10, "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "NONSENSE")


@dataclass(frozen=True, slots=True)
class Sent:
    """One request; `path` may hold any character and has its query behind it."""

    verb: str
    path: str
    query: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """The path as it is sent."""
        return quote(self.path, safe="/%", errors="replace")


class Requests:
    """An endless supply, the same for the same seed."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._random = Random(seed)  # noqa: S311
        self._leaves: tuple[Callable[[], Any], ...] = (
            lambda: self._pick(TEXTS),
            lambda: self._pick(NUMBERS),
            self._id,
            self._id,
            lambda: str(self._id()),
            lambda: self._pick((None, True, False)),
        )

    def one(self) -> Sent:
        """Half of them are well formed."""
        sent = self._xmlrpc() if self._chance(0.5) else self._rest()
        if self._chance(0.6):
            return sent
        path, query, body = sent.path, sent.query, sent.body
        if self._chance(0.6):
            body = self._spoiled(body)
        if self._chance(0.3):
            query = self._spoiled(query.encode()).decode("latin-1")
        if self._chance(0.2):
            path = self._spoiled(path.encode(errors="replace")).decode("latin-1")
            path = f"/{self._pick(('rest', 'xmlrpc'))}/{path.lstrip('/').partition('/')[2]}"
        return Sent(sent.verb, path, query, body, sent.headers)

    def _xmlrpc(self) -> Sent:
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
        params = "".join(f"<param>{xmlrpc_codec.to_xml(one)}</param>" for one in parameters)
        named = f"<methodName>{method}</methodName>"
        body = f"<methodCall>{named}<params>{params}</params></methodCall>"
        verb = "POST" if self._chance(0.97) else self._pick(VERBS)
        version = self._pick(("v3", "v3.1"))
        return Sent(verb, f"/xmlrpc/{version}/{service}", "", _encoded(body), http)

    def _rest(self) -> Sent:
        service, method = self._method()
        parts = [service]
        if self._chance(0.8):
            parts.append(str(self._init(service)))
        if self._chance(0.9):
            parts.append(method)
        arguments, body = self._arguments(), b""
        if self._chance(0.1):
            parts += [str(one) for one in arguments]
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
        return Sent(self._pick(VERBS), path, encoded, body, _basic(*self._credentials()))

    def _method(self) -> tuple[str, str]:
        service = self._pick(sorted(SERVICES))
        methods = sorted(SERVICES[service].methods)
        method = self._pick(methods) if methods and self._chance(0.97) else "getNothing"
        return (service if self._chance(0.99) else "SoftLayer_Nothing"), method

    def _credentials(self) -> tuple[str, str]:
        name = self._pick(("owner", "owner", "operator", "viewer"))
        key = self._world.keys[name]
        if self._chance(0.02):
            return self._pick((("owner", "0" * 64), ("", ""), ("\ud800", key), ("viewer2", key)))
        return ("apikey" if self._chance(0.1) else name), key

    def _id(self, service: str = "") -> int:
        """Mostly one that there is, and a foreign one in four."""
        if self._chance(0.25):
            return self._pick(self._world.foreign)
        own = self._world.own
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
            return self._pick(POISON)
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
        inside = self._props(self._pick(sorted(DATA_TYPES)), self._random.randrange(6))
        root = self._pick(("mask[{}]", "[mask[{}]]", "filteredMask[{}]", "{}", "mask(X)[{}]"))
        return root.format(inside)

    def _props(self, shape: str, depth: int) -> str:
        known = DATA_TYPES[shape]
        chosen = self._random.sample(
            list(known.locals), min(len(known.locals), self._random.randrange(3))
        )
        relations = sorted(known.relations)
        for name in self._random.sample(relations, min(len(relations), self._random.randrange(4))):
            below = self._props(known.relations[name].type_name, depth - 1) if depth else ""
            chosen.append(self._pick((f"{name}[{below}]", f"{name}.id", count_name(name), name)))
        return self._pick((",", ", ", ";")).join(chosen)

    def _filter(self, service: str, method: str) -> Any:
        known = SERVICES.get(service)
        called = known.methods.get(method) if known else None
        shape = (
            called.data_type
            if called and called.data_type
            else DATA_TYPES[self._pick(sorted(DATA_TYPES))]
        )
        below = self._conditions(shape.name, 3)
        return {called.filter_root: below} if called and called.filter_root else below

    def _conditions(self, shape: str, depth: int) -> dict[str, Any]:
        known, found = DATA_TYPES[shape], {}
        for name in self._random.sample(list(known.locals), min(len(known.locals), 2)):
            found[name] = self._condition()
        if depth and known.relations and self._chance(0.6):
            name = self._pick(sorted(known.relations))
            found[name] = self._conditions(known.relations[name].type_name, depth - 1)
        return found

    def _condition(self) -> Any:
        operation = self._pick(OPERATIONS)
        whole = (
            f"{operation}{self._leaf()}" if operation.endswith(" ") else operation or self._leaf()
        )
        options = [{"name": self._pick(OPTIONS), "value": self._value(2)} for _ in range(2)]
        return (
            {"operation": whole, "options": options} if self._chance(0.5) else {"operation": whole}
        )

    def _spoiled(self, data: bytes) -> bytes:
        if self._chance(0.05):
            return self._random.randbytes(self._random.randrange(200))
        changed = bytearray(data)
        for _ in range(self._random.randrange(1, 4)):
            at = self._random.randrange(len(changed) + 1)
            end = min(len(changed), at + self._random.randrange(20))
            form = self._random.randrange(5)
            if form == 0:
                changed[at:at] = self._pick(SPOILERS)
            elif form == 1:
                del changed[at:end]
            elif form == 2:
                changed[at:at] = changed[at:end]
            elif form == 3 and at < len(changed):
                changed[at] = self._random.randrange(256)
            elif self._chance(0.2):
                del changed[at:]
        return bytes(changed)

    def _pick(self, several: Any) -> Any:
        return self._random.choice(several)

    def _chance(self, of: float) -> bool:
        return self._random.random() < of


def _basic(name: str, key: str) -> dict[str, str]:
    coded = b64encode(f"{name}:{key}".encode(errors="replace")).decode()
    return {"Authorization": f"Basic {coded}"}


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", errors="replace")
