"""What database, charon and kernel say, asked without any of the portal's code."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import vici

from tests.running_portal import RunningPortal
from tests.system.faults.settings import Settings, other_than

HOSTED = "10.2.0.0/24"


def rows(portal: RunningPortal, question: str) -> list[dict[str, Any]]:
    """The answer of the portal's database."""
    file = f"file:{portal.state}/db/portal.sqlite3?mode=ro"
    with closing(sqlite3.connect(file, uri=True, timeout=10)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(question)]


def revisions(portal: RunningPortal) -> dict[int, str]:
    """The outcome of each revision of the tunnel, by number."""
    found = rows(portal, "SELECT number, outcome FROM vpnportal_revision WHERE tunnel_id = 1")
    return {row["number"]: row["outcome"] for row in found}


def draft(portal: RunningPortal) -> dict[str, Any]:
    """Everything that somebody typed, whether or not it was applied."""
    tunnel = rows(portal, "SELECT * FROM vpnportal_tunnel WHERE id = 1")[0]
    typed = {key: tunnel[key] for key in tunnel if not key.startswith("sa_status")}
    return {
        **typed,
        "subnets": [
            (row["kind"], row["network"])
            for row in rows(
                portal,
                "SELECT kind, network FROM vpnportal_subnet s JOIN vpnportal_tunnel_subnets t"
                " ON t.subnet_id = s.id WHERE t.tunnel_id = 1 ORDER BY kind, network",
            )
        ],
        "translations": [
            (row["internal_address"], row["customer_address"], row["name"])
            for row in rows(portal, "SELECT * FROM vpnportal_addresstranslation ORDER BY id")
        ],
    }


def association(portal: RunningPortal) -> str:
    """What the pages say of the tunnel's association."""
    return rows(portal, "SELECT sa_status FROM vpnportal_tunnel WHERE id = 1")[0]["sa_status"]


def subnets(portal: RunningPortal) -> dict[str, int]:
    """The ids of the customer's networks."""
    question = "SELECT id, network FROM vpnportal_subnet WHERE kind = 'customer'"
    return {row["network"]: row["id"] for row in rows(portal, question)}


def wrong(portal: RunningPortal, settings: Settings, live: int) -> list[str]:
    """All that is not as the newest applied revision says, in words; nothing when all is well."""
    try:
        return [
            *_outcomes(portal, live),
            *_charon(portal, settings),
            *_kernel(portal, settings),
            *_pings(portal, settings),
        ]
    except (OSError, vici.exception.SessionException, ValueError, StopIteration) as error:
        return [f"{type(error).__name__}: {error}"]


def _outcomes(portal: RunningPortal, live: int) -> Iterator[str]:
    found = revisions(portal)
    standing = {number: found[number] for number in found if found[number] == "live"}
    if standing != {live: "live"}:
        yield f"live are {sorted(standing)}, not {live}"
    if waiting := [number for number in found if found[number] in ("queued", "applying")]:
        yield f"unfinished are {waiting}"


def _charon(portal: RunningPortal, settings: Settings) -> Iterator[str]:
    """The connection with one child for each subnet, one IKE_SA with just these, one secret."""
    loaded, running, secrets = _listed(portal)
    selectors = sorted((HOSTED, network) for network in settings.subnets)
    children = {name: list(connection["children"].values()) for name, connection in loaded.items()}
    found = {name: sorted(map(_selectors, several)) for name, several in children.items()}
    if found != {"ctx1": selectors}:
        yield f"loaded is {found}"
    # A secret is named like the first part of the children that are negotiated with it.
    names = {name for connection in loaded.values() for name in connection["children"]}
    if set(secrets) != {name.rpartition("-")[0] for name in names}:
        yield f"the secrets are {secrets}"
    if [(name, sa["state"], sa.get("encr-keysize")) for name, sa in running] != [
        ("ctx1", "ESTABLISHED", settings.bits)
    ]:
        yield f"running are {[(name, sa['state'], sa.get('encr-keysize')) for name, sa in running]}"
    carried = [child for _, sa in running for child in sa.get("child-sas", {}).values()]
    wanted = sorted(("INSTALLED", settings.bits, *pair) for pair in selectors)
    if sorted(map(_carrying, carried)) != wanted:
        yield f"the children are {sorted(map(_carrying, carried))}"
    if {child["name"] for child in carried} != names:
        yield f"the children's names are {[child['name'] for child in carried]}"
    lives = [int(child.get("life-time", 0)) for child in carried]
    if not all(settings.keylife - 600 < life <= settings.keylife for life in lives):
        yield f"the children live for {lives} seconds"


def _selectors(child: dict[str, Any]) -> tuple[str, str]:
    return ",".join(child.get("local-ts", ())), ",".join(child.get("remote-ts", ()))


def _carrying(child: dict[str, Any]) -> tuple[str, ...]:
    return child["state"], child.get("encr-keysize", ""), *_selectors(child)


def _listed(
    portal: RunningPortal,
) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]], list[str]]:
    """Connections by name, IKE_SAs with their connections' names, and ids of secrets."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        connection.connect(str(portal.state / "lab" / "concentrator" / "charon.vici"))
        session = vici.Session(connection)
        loaded = {
            name: body for item in _text(list(session.list_conns())) for name, body in item.items()
        }
        running = [one for item in _text(list(session.list_sas())) for one in item.items()]
        return loaded, running, _text(session.get_shared()).get("keys", [])


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {key: _text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_text(item) for item in value]
    return value


def _kernel(portal: RunningPortal, settings: Settings) -> Iterator[str]:
    listed = portal.on("concentrator", "nft", "-j", "list", "table", "ip", "vpnportal").stdout
    found = json.loads(listed or '{"nftables": []}')["nftables"]
    maps = {item["map"]["name"]: item["map"].get("elem", []) for item in found if "map" in item}
    wanted = {
        "inbound": [[settings.internal, settings.customer]],
        "outbound": [[settings.customer, settings.internal]],
    }
    if maps != wanted:
        yield f"the translations are {maps}"
    if not any("rule" in item for item in found):
        yield "there are no rules"


def _pings(portal: RunningPortal, settings: Settings) -> Iterator[str]:
    if not _answers(portal, settings.internal, 0.3):
        yield f"{settings.internal} does not answer"
    if _answers(portal, other_than(settings).internal, 0.3):
        yield f"{other_than(settings).internal} still answers"


def _answers(portal: RunningPortal, target: str, seconds: float) -> bool:
    ping = ("ping", "-c", "1", "-W", str(seconds), target)
    return portal.on("server", *ping).returncode == 0
