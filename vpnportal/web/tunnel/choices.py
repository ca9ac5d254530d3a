"""The options of the panel's lists, from the one table of algorithms, with their strength.

What a concentrator's charon cannot do is in the list with the reason, and cannot be chosen.
"""

from __future__ import annotations

from typing import Any

from django import forms

from vpnportal.domain.tunnel.algorithms import (
    AUTHENTICATIONS,
    ENCRYPTIONS,
    GROUPS,
    IKE_VERSIONS,
    Authentication,
    Encryption,
    Group,
)
from vpnportal.domain.tunnel.charon_capabilities import CharonCapabilities
from vpnportal.domain.tunnel.spec_diff import STARTS

LACKING = "this concentrator's charon cannot do it"
IKEV1_LEAVES = "probably not built into this concentrator's strongSwan"


def _named(entry: Encryption | Authentication) -> str:
    return f"{entry.name} — {entry.strength}" + (f": {entry.why}" if entry.why else "")


def _group(group: Group) -> str:
    if group.number == 0:
        return f"0 — {group.words}"
    return f"group {group.number} — {group.words}, {group.strength}"


ENCRYPTION = [(e.name, _named(e)) for e in ENCRYPTIONS.values()]
AUTHENTICATION = [(a.name, _named(a)) for a in AUTHENTICATIONS.values()]
GROUP = [(g.number, _group(g)) for g in GROUPS.values()]
IKE_VERSION = [(0, IKE_VERSIONS[0]), (1, f"{IKE_VERSIONS[1]} only"), (2, f"{IKE_VERSIONS[2]} only")]
STARTING = [(one.value, words) for one, words in STARTS.items()]


class Options(forms.Select):
    """A list of which some options cannot be chosen, unless one is what the draft has."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lacking: frozenset[Any] = frozenset()

    def create_option(
        self, name: str, value: Any, label: Any, selected: Any, *args: Any, **options: Any
    ) -> dict[str, Any]:
        lacks = value in self.lacking
        text = f"{label} — {LACKING}" if lacks else label
        option = super().create_option(name, value, text, selected, *args, **options)
        if lacks and not selected:
            option["attrs"]["disabled"] = True
        return option


def lacking(field: str, can: CharonCapabilities) -> frozenset[Any]:
    """The values of a list that a charon cannot do, as far as is known."""
    phase, kind = (1 if field.startswith("phase_one") else 2), field.rpartition("_")[2]
    if kind == "encryption":
        return frozenset(e.name for e in ENCRYPTIONS.values() if not can.encrypts(e, phase))
    if kind == "authentication":
        return frozenset(
            a.name for a in AUTHENTICATIONS.values() if not can.authenticates(a, phase)
        )
    return frozenset(g.number for g in GROUPS.values() if not can.agrees(g))


def ike_versions(can: CharonCapabilities) -> list[tuple[int, str]]:
    """The versions, with what the running strongSwan means for IKEv1."""
    return [
        (number, f"{words} — {IKEV1_LEAVES}" if number == 1 and can.may_lack_ikev1 else words)
        for number, words in IKE_VERSION
    ]
