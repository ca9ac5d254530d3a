"""The last peer probe on a tunnel's page: its result beside the present value of each field.

A module of its own, because `page` imports it and the views in `peer_probe` import `page`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vpnportal.domain.tunnel.algorithms import IKE_VERSIONS
from vpnportal.models import PeerProbe, Tunnel
from vpnportal.services import is_probe_open, is_probe_usable, learned_values, newest_probe
from vpnportal.web.tunnel import choices
from vpnportal.web.tunnel.forms import label_of

_VALUE_LABELS: dict[str, dict[Any, str]] = {
    "encryption": dict(choices.ENCRYPTION),
    "authentication": dict(choices.AUTHENTICATION),
    "group": dict(choices.GROUP),
    "pfs": {True: "on", False: "off"},
    "version": IKE_VERSIONS,
}


@dataclass(frozen=True, slots=True)
class LearnedField:
    """One field of the draft: its present value, and the value that the peer accepts."""

    label: str
    present: str
    accepted: str

    @property
    def differs(self) -> bool:
        return self.present != self.accepted


@dataclass(frozen=True, slots=True)
class PeerProbeSection:
    """The content of `tunnel/sections/peer_probe.html`.

    `can_use_values` says that the result is about the Remote Peer Address of the draft.
    `version` is the version of the draft that the section was made from.
    """

    probe: PeerProbe | None
    is_running: bool
    learned_fields: list[LearnedField]
    can_use_values: bool
    version: str
    refusal: str = ""
    is_saved: bool = False


def peer_probe_section(
    tunnel: Tunnel, version: str, *, refusal: str = "", is_saved: bool = False
) -> PeerProbeSection:
    """Return the section about the newest probe; one query."""
    probe = newest_probe(tunnel)
    return PeerProbeSection(
        probe=probe,
        is_running=is_probe_open(probe),
        learned_fields=[
            LearnedField(
                label_of(field),
                _value_label(field, getattr(tunnel, field)),
                _value_label(field, value),
            )
            for field, value in (learned_values(probe).items() if probe else ())
        ],
        can_use_values=probe is not None and is_probe_usable(tunnel, probe),
        version=version,
        refusal=refusal,
        is_saved=is_saved,
    )


def _value_label(field: str, value: Any) -> str:
    return _VALUE_LABELS[field.rpartition("_")[2]].get(value, str(value))
