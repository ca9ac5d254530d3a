"""Options of the panel's lists, from the table of algorithms, with their strengths.

A list also has the algorithms that the concentrator's charon lacks: disabled, with the reason.
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
from vpnportal.domain.tunnel.spec import Starts

UNSUPPORTED = "this concentrator's charon cannot do it"
MAY_LACK_IKEV1 = "probably not built into this concentrator's strongSwan"


def _algorithm_label(entry: Encryption | Authentication) -> str:
    return f"{entry.name} — {entry.strength}" + (f": {entry.why}" if entry.why else "")


def _group_label(group: Group) -> str:
    if group.number == 0:
        return f"0 — {group.words}"
    return f"group {group.number} — {group.words}, {group.strength}"


ENCRYPTION = [(entry.name, _algorithm_label(entry)) for entry in ENCRYPTIONS.values()]
AUTHENTICATION = [(entry.name, _algorithm_label(entry)) for entry in AUTHENTICATIONS.values()]
GROUP = [(group.number, _group_label(group)) for group in GROUPS.values()]
IKE_VERSION = [(0, IKE_VERSIONS[0]), (1, f"{IKE_VERSIONS[1]} only"), (2, f"{IKE_VERSIONS[2]} only")]
INITIATION = [(starts.value, starts.label) for starts in Starts]


class AlgorithmSelect(forms.Select):
    """A select widget that disables unsupported options, except the selected option."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.unsupported: frozenset[Any] = frozenset()

    def create_option(
        self, name: str, value: Any, label: Any, selected: Any, *args: Any, **options: Any
    ) -> dict[str, Any]:
        is_unsupported = value in self.unsupported
        text = f"{label} — {UNSUPPORTED}" if is_unsupported else label
        option = super().create_option(name, value, text, selected, *args, **options)
        if is_unsupported and not selected:
            option["attrs"]["disabled"] = True
        return option


def unsupported_values(field: str, capabilities: CharonCapabilities) -> frozenset[Any]:
    """Return the option values of a Phase One or Two field that charon is known to lack."""
    phase, kind = (1 if field.startswith("phase_one") else 2), field.rpartition("_")[2]
    if kind == "encryption":
        return frozenset(
            entry.name
            for entry in ENCRYPTIONS.values()
            if not capabilities.has_encryption(entry, phase)
        )
    if kind == "authentication":
        return frozenset(
            entry.name
            for entry in AUTHENTICATIONS.values()
            if not capabilities.has_authentication(entry, phase)
        )
    return frozenset(group.number for group in GROUPS.values() if not capabilities.has_group(group))


def ike_versions(capabilities: CharonCapabilities) -> list[tuple[int, str]]:
    """Return the IKE versions, with a note if charon may lack IKEv1."""
    return [
        (
            number,
            f"{label} — {MAY_LACK_IKEV1}" if number == 1 and capabilities.may_lack_ikev1 else label,
        )
        for number, label in IKE_VERSION
    ]
