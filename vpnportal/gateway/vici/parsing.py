"""vici's replies as domain values: connections and SAs from the sections of a message."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from sys import intern
from typing import Any

from vpnportal.domain.gateway_config.desired import LoadedChild, LoadedConnection
from vpnportal.domain.planning.observed import ChildSa, IkeSa
from vpnportal.domain.tunnel.algorithms import Suite
from vpnportal.gateway.errors import GatewayError

# Units of the time spans that charon prints.
UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


def parse_connection(body: dict[str, Any]) -> LoadedConnection:
    """Return the connection of an entry of `list-conns`."""
    local, remote = body.get("local-1", {}), body.get("remote-1", {})
    return LoadedConnection(
        body.get("version", ""),
        (
            *body.get("local_addrs", ()),
            *body.get("remote_addrs", ()),
            local.get("id", ""),
            remote.get("id", ""),
        ),
        local.get("aaa_id", ""),
        body.get("rekey_time", ""),
        tuple(
            LoadedChild(
                name,
                tuple(child.get("local-ts", ())),
                tuple(child.get("remote-ts", ())),
                child.get("rekey_time", ""),
                child.get("dpd_action", ""),
            )
            for name, child in sorted(body.get("children", {}).items())
        ),
        body.get("unique", ""),
    )


def parse_ike_sa(connection: str, body: dict[str, Any]) -> IkeSa:
    """Return the IKE_SA of an entry of `list-sas`, with its CHILD_SAs."""
    return IkeSa(
        connection=connection,
        unique_id=body["uniqueid"],
        state=intern(body["state"]),
        children=tuple(_parse_child_sa(child) for child in body.get("child-sas", {}).values()),
        tasks=_shared_tasks(*body.get("tasks-queued", ()), *body.get("tasks-active", ())),
        local_host=body.get("local-host", ""),
        remote_host=body.get("remote-host", ""),
        initiator=body.get("initiator") == "yes",
        suite=parse_suite(body),
        version=int(body.get("version", 2)),
    )


def _parse_child_sa(body: dict[str, Any]) -> ChildSa:
    return ChildSa(
        name=body["name"],
        unique_id=body["uniqueid"],
        state=intern(body["state"]),
        suite=parse_suite(body),
        local_ts=tuple(body.get("local-ts", ())),
        remote_ts=tuple(body.get("remote-ts", ())),
        packets_in=int(body.get("packets-in", 0)),
        packets_out=int(body.get("packets-out", 0)),
        installed_seconds=int(body.get("install-time", 0)),
        spi_in=int(body.get("spi-in", "0"), 16),
        spi_out=int(body.get("spi-out", "0"), 16),
        mark=int(body.get("mark-in", "0"), 16),
    )


def parse_suite(body: Mapping[str, Any]) -> Suite:
    """Return the negotiated algorithms of the section of an IKE_SA or a CHILD_SA."""
    encryption, bits = body.get("encr-alg", ""), body.get("encr-keysize", "")
    return _shared_suite(
        f"{encryption}-{bits}" if bits and encryption.startswith("AES") else encryption,
        body.get("integ-alg", ""),
        body.get("prf-alg", ""),
        body.get("dh-group", ""),
    )


# 10,000 SAs use few suites and few sets of tasks: equal ones are one object in memory.
@lru_cache
def _shared_suite(*algorithms: str) -> Suite:
    return Suite(*algorithms)


@lru_cache
def _shared_tasks(*tasks: str) -> frozenset[str]:
    return frozenset(tasks)


def parse_duration(text: str) -> float:
    """Return the seconds of a time span as charon prints it, such as "119 seconds" or "2 days".

    Raises GatewayError for other text.
    """
    number, _, unit = text.partition(" ")
    seconds = UNIT_SECONDS.get(unit.removesuffix("s"))
    if seconds is None or not number.isdecimal():
        raise GatewayError(f"charon gives an unknown time span: {text!r}.")
    return float(int(number) * seconds)


def decode(value: Any) -> Any:
    """Return a reply of the vici library with text instead of bytes.

    Invalid UTF-8 is replaced: identities that a peer chose can contain any bytes.
    """
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, dict):
        return {key: decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return value
