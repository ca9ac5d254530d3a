"""JSON of a specification, as revisions store it. The text contains the preshared key."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network

from vpnportal.domain.tunnel.spec import PhaseOne, PhaseTwo, Starts, Translation, TunnelSpec

# Only rotations need these fields. Without one, a text is as the release before wrote it.
ROTATION_FIELDS = ("next_key", "lineage")


def serialize(spec: TunnelSpec) -> str:
    """Return canonical JSON: equal specifications have equal texts."""
    return json.dumps(spec, default=_plain, sort_keys=True, separators=(",", ":"))


def _plain(value: object) -> object:
    """Return a value for JSON. `asdict` does the same, and copies each address in parts."""
    if is_dataclass(value):
        names = [field.name for field in fields(value)]
        if isinstance(value, TunnelSpec):
            names = [name for name in names if name not in ROTATION_FIELDS or getattr(value, name)]
        return {name: getattr(value, name) for name in names}
    return str(value)


def spec_digest(spec: TunnelSpec, key: bytes) -> str:
    """Return 32 hexadecimal digits of the HMAC-SHA256 of a specification under `key`.

    Two specifications of a tunnel have equal digests exactly if `diff_specs` returns no changes.
    An HMAC is used because the specification contains the preshared key. A rotation is no change
    of the draft: it has the next key from the beginning on.
    """
    sorted_spec = replace(
        spec,
        preshared_key=spec.newest_key,
        next_key="",
        lineage="",
        hosted_subnets=tuple(sorted(spec.hosted_subnets)),
        remote_subnets=tuple(sorted(spec.remote_subnets)),
        static_nat_subnets=tuple(sorted(spec.static_nat_subnets)),
        translations=tuple(sorted(spec.translations, key=lambda row: row.internal)),
    )
    return hmac.new(key, serialize(sorted_spec).encode(), hashlib.sha256).hexdigest()[:32]


def deserialize(text: str) -> TunnelSpec:
    """Return the specification in the text; fields that an older text lacks get their defaults."""
    raw = json.loads(text)
    return TunnelSpec(
        tunnel_id=raw["tunnel_id"],
        hosted_peer=IPv4Address(raw["hosted_peer"]),
        remote_peer=IPv4Address(raw["remote_peer"]) if raw["remote_peer"] else None,
        preshared_key=raw["preshared_key"],
        ike_version=raw["ike_version"],
        phase_one=PhaseOne(**raw["phase_one"]),
        phase_two=PhaseTwo(**raw["phase_two"]),
        hosted_subnets=_networks(raw["hosted_subnets"]),
        remote_subnets=_networks(raw["remote_subnets"]),
        static_nat_subnets=_networks(raw["static_nat_subnets"]),
        translations=tuple(
            Translation(_address(row["internal"]), _address(row["customer"]), row["name"])
            for row in raw["translations"]
        ),
        one_child_per_pair=raw.get("one_child_per_pair", False),
        dpd_seconds=raw.get("dpd_seconds", 15),
        starts=Starts(raw.get("starts", Starts.EITHER)),
        translated_only=raw.get("translated_only", False),
        next_key=raw.get("next_key", ""),
        lineage=raw.get("lineage", ""),
    )


def _address(text: str) -> IPv4Address:
    """Return the address in `text`, unchecked for speed: a revision can have 10,000 addresses."""
    prefix, _, last = text.rpartition(".")
    return IPv4Address(_first_three_bytes(prefix) << 8 | int(last))


# Addresses of the same subnet share their first three bytes.
@lru_cache
def _first_three_bytes(text: str) -> int:
    first, second, third = text.split(".")
    return int(first) << 16 | int(second) << 8 | int(third)


def _networks(texts: list[str]) -> tuple[IPv4Network, ...]:
    return tuple(IPv4Network(text) for text in texts)
