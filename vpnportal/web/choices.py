"""The options of the panel's lists, from the one table of algorithms, with their strength."""

from __future__ import annotations

from vpnportal.domain.algorithms import (
    AUTHENTICATIONS,
    ENCRYPTIONS,
    GROUPS,
    IKE_VERSIONS,
    Authentication,
    Encryption,
    Group,
    Strength,
)


def _named(entry: Encryption | Authentication) -> str:
    good = entry.strength == Strength.GOOD
    return entry.name if good else f"{entry.name} — {entry.strength}"


def _group(group: Group) -> str:
    if group.number == 0:
        return f"0 — {group.words}"
    good = group.strength == Strength.GOOD
    words = group.words if good else f"{group.words}, {group.strength}"
    return f"group {group.number} — {words}"


ENCRYPTION = [(e.name, _named(e)) for e in ENCRYPTIONS.values()]
AUTHENTICATION = [(a.name, _named(a)) for a in AUTHENTICATIONS.values()]
GROUP = [(g.number, _group(g)) for g in GROUPS.values()]
IKE_VERSION = list(IKE_VERSIONS.items())
