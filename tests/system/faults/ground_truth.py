"""The state of database, charon and kernel, read without the code of the portal."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import vici

from tests import portal_database
from tests.running_portal import RunningPortal
from tests.system.faults.probes import Probes
from tests.system.faults.settings import Settings, other_than

HOSTED = "10.2.0.0/24"


def rows(portal: RunningPortal, query: str) -> list[dict[str, Any]]:
    """Return the rows of a query to the portal's database."""
    return portal_database.rows(portal.state, query)


def revisions(portal: RunningPortal) -> dict[int, str]:
    """Return the outcome of each revision of the tunnel, by number."""
    query = "SELECT number, outcome FROM vpnportal_revision WHERE tunnel_id = 1"
    return {row["number"]: row["outcome"] for row in rows(portal, query)}


def draft(portal: RunningPortal) -> dict[str, Any]:
    """Return every saved field of the draft."""
    tunnel = rows(portal, "SELECT * FROM vpnportal_tunnel WHERE id = 1")[0]
    fields = {key: tunnel[key] for key in tunnel if not key.startswith("sa_status")}
    return {
        **fields,
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


def sa_status(portal: RunningPortal) -> str:
    """Return the SA status that the pages show."""
    return rows(portal, "SELECT sa_status FROM vpnportal_tunnel WHERE id = 1")[0]["sa_status"]


def subnets(portal: RunningPortal) -> dict[str, int]:
    """Return the ids of the customer subnets, by network."""
    query = "SELECT id, network FROM vpnportal_subnet WHERE kind = 'customer'"
    return {row["network"]: row["id"] for row in rows(portal, query)}


def deviations(portal: RunningPortal, probes: Probes, settings: Settings, live: int) -> list[str]:
    """Return each difference of the first source that differs from the newest applied revision."""
    sources = (
        lambda: _outcomes(portal, live),
        lambda: _charon(portal, settings),
        lambda: _kernel(portal, probes, settings),
        lambda: _pings(probes, settings),
        lambda: _flows(portal, settings),
    )
    try:
        return next((found for source in sources if (found := list(source()))), [])
    except (OSError, vici.exception.SessionException, ValueError) as error:
        return [f"{type(error).__name__}: {error}"]


def _outcomes(portal: RunningPortal, live: int) -> Iterator[str]:
    outcomes = revisions(portal)
    live_numbers = [number for number in outcomes if outcomes[number] == "live"]
    if live_numbers != [live]:
        yield f"live are {sorted(live_numbers)}, not {live}"
    if unfinished := [number for number in outcomes if outcomes[number] in ("queued", "applying")]:
        yield f"unfinished are {unfinished}"


def _charon(portal: RunningPortal, settings: Settings) -> Iterator[str]:
    """Yield each difference of charon's connections, IKE_SAs and secrets.

    Right are a child for each subnet, an IKE_SA with exactly these children, and a secret.
    """
    connections, ike_sas, secrets = _list_charon(portal)
    selectors = sorted((HOSTED, network) for network in settings.subnets)
    loaded = {
        name: sorted(map(_selectors, connection["children"].values()))
        for name, connection in connections.items()
    }
    if loaded != {"ctx1": selectors}:
        yield f"loaded is {loaded}"
    # The name of a secret is the first part of the names of the children that use it.
    names = {name for connection in connections.values() for name in connection["children"]}
    if set(secrets) != {name.rpartition("-")[0] for name in names}:
        yield f"the secrets are {secrets}"
    running = [(name, sa["state"], sa.get("encr-keysize")) for name, sa in ike_sas]
    if running != [("ctx1", "ESTABLISHED", settings.bits)]:
        yield f"running are {running}"
    yield from _child_sas(ike_sas, settings, names)


def _child_sas(
    ike_sas: list[tuple[str, dict[str, Any]]], settings: Settings, names: set[str]
) -> Iterator[str]:
    child_sas = [child for _, sa in ike_sas for child in sa.get("child-sas", {}).values()]
    expected = sorted(("INSTALLED", settings.bits, HOSTED, net) for net in settings.subnets)
    if sorted(map(_state_and_selectors, child_sas)) != expected:
        yield f"the children are {sorted(map(_state_and_selectors, child_sas))}"
    if {child["name"] for child in child_sas} != names:
        yield f"the children's names are {[child['name'] for child in child_sas]}"
    lives = [int(child.get("life-time", 0)) for child in child_sas]
    if not all(settings.keylife - 600 < life <= settings.keylife for life in lives):
        yield f"the children live for {lives} seconds"


def _selectors(child: dict[str, Any]) -> tuple[str, str]:
    return ",".join(child.get("local-ts", ())), ",".join(child.get("remote-ts", ()))


def _state_and_selectors(child: dict[str, Any]) -> tuple[str, ...]:
    return child["state"], child.get("encr-keysize", ""), *_selectors(child)


def _list_charon(
    portal: RunningPortal,
) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]], list[str]]:
    """Return connections by name, IKE_SAs with their connections' names, and ids of secrets."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        connection.connect(str(portal.state / "lab" / "concentrator" / "charon.vici"))
        session = vici.Session(connection)
        connections = {
            name: body for item in _text(list(session.list_conns())) for name, body in item.items()
        }
        ike_sas = [sa for item in _text(list(session.list_sas())) for sa in item.items()]
        return connections, ike_sas, _text(session.get_shared()).get("keys", [])


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {key: _text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_text(item) for item in value]
    return value


def _kernel(portal: RunningPortal, probes: Probes, settings: Settings) -> Iterator[str]:
    items = probes.table("vpnportal")
    maps = {item["map"]["name"]: item["map"].get("elem", []) for item in items if "map" in item}
    (tunnel,) = rows(portal, "SELECT mark FROM vpnportal_tunnel WHERE id = 1")
    mark = tunnel["mark"]
    expected = {
        "inbound": [[settings.internal, settings.customer]],
        "outbound_by_mark": [[{"concat": [mark, settings.customer]}, settings.internal]],
        "tunnel_of": [[settings.internal, mark]],
        "networks": [[_prefix(network), mark] for network in sorted(settings.subnets)],
        "zone_of": [[mark, mark]],
    }
    if wrong := {name: maps.get(name) for name in expected if maps.get(name) != expected[name]}:
        yield f"the maps are {wrong}"
    if not any("rule" in item for item in items):
        yield "there are no rules"


def _prefix(network: str) -> dict[str, Any]:
    address, length = network.split("/")
    return {"prefix": {"addr": address, "len": int(length)}}


def leftover_flows(portal: RunningPortal, settings: Settings) -> list[str]:
    """Return the lines of `conntrack` for flows of the internal address of the other settings."""
    address = other_than(settings).internal
    listed = portal.on("concentrator", "conntrack", "-L", "--any-nat").stdout
    return [line for line in listed.splitlines() if f"={address} " in line]


def _flows(portal: RunningPortal, settings: Settings) -> Iterator[str]:
    if leftover_flows(portal, settings):
        yield f"flows of {other_than(settings).internal} are left"


def _pings(probes: Probes, settings: Settings) -> Iterator[str]:
    old, new = other_than(settings).internal, settings.internal
    answering = probes.answering(silent=old, speaking=new)
    if new not in answering:
        yield f"{new} does not answer"
    if old in answering:
        yield f"{old} still answers"
