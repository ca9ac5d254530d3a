"""vici's replies as the domain's values: bytes become text, sections become associations."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from sys import intern
from typing import Any

from vpnportal.domain.gateway_config.desired import LoadedChild, LoadedConnection
from vpnportal.domain.planning.observed import ChildSa, IkeSa
from vpnportal.domain.tunnel.algorithms import Suite


def loaded_connection(body: dict[str, Any]) -> LoadedConnection:
    """An entry of `list-conns`."""
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
    )


def ike_sa(connection: str, body: dict[str, Any]) -> IkeSa:
    """An entry of `list-sas`."""
    return IkeSa(
        connection=connection,
        unique_id=body["uniqueid"],
        state=intern(body["state"]),
        children=tuple(_child_sa(child) for child in body.get("child-sas", {}).values()),
        tasks=_tasks(*body.get("tasks-queued", ()), *body.get("tasks-active", ())),
        remote_host=body.get("remote-host", ""),
        initiator=body.get("initiator") == "yes",
        suite=suite(body),
    )


def _child_sa(body: dict[str, Any]) -> ChildSa:
    return ChildSa(
        name=body["name"],
        unique_id=body["uniqueid"],
        state=intern(body["state"]),
        suite=suite(body),
        local_ts=tuple(body.get("local-ts", ())),
        remote_ts=tuple(body.get("remote-ts", ())),
        packets_in=int(body.get("packets-in", 0)),
        packets_out=int(body.get("packets-out", 0)),
        installed_seconds=int(body.get("install-time", 0)),
    )


def suite(body: Mapping[str, Any]) -> Suite:
    """The algorithms of an IKE_SA or a CHILD_SA."""
    encryption, bits = body.get("encr-alg", ""), body.get("encr-keysize", "")
    return _named(
        f"{encryption}-{bits}" if bits and encryption.startswith("AES") else encryption,
        body.get("integ-alg", ""),
        body.get("prf-alg", ""),
        body.get("dh-group", ""),
    )


# Ten thousand associations have few algorithms, and few things to do, between them.
@lru_cache
def _named(*algorithms: str) -> Suite:
    return Suite(*algorithms)


@lru_cache
def _tasks(*words: str) -> frozenset[str]:
    return frozenset(words)


def text(value: Any) -> Any:
    """A vici reply with its bytes decoded; what a peer put in names may be no UTF-8."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, dict):
        return {key: text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [text(item) for item in value]
    return value
