"""What the page shows of the last question to a peer: its answer, field by field, now and then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vpnportal.domain.tunnel.algorithms import IKE_VERSIONS
from vpnportal.models import Tunnel
from vpnportal.services.peer_probe import fits, is_open, learned_values, newest
from vpnportal.web.tunnel import choices
from vpnportal.web.tunnel.forms import label_of

_WORDS: dict[str, dict[Any, str]] = {
    "encryption": dict(choices.ENCRYPTION),
    "authentication": dict(choices.AUTHENTICATION),
    "group": dict(choices.GROUP),
    "pfs": {True: "on", False: "off"},
    "version": IKE_VERSIONS,
}


@dataclass(frozen=True, slots=True)
class LearnedField:
    """One field of the draft: what it holds now, and what the peer accepts."""

    label: str
    now: str
    accepted: str

    @property
    def differs(self) -> bool:
        return self.now != self.accepted


def peer_probe_context(tunnel: Tunnel) -> dict[str, Any]:
    """What `tunnel/_ask.html` shows beside the version of the draft; one query."""
    question = newest(tunnel)
    return {
        "question": question,
        "asking": is_open(question),
        "learnt": [
            LearnedField(
                label_of(field), _words(field, getattr(tunnel, field)), _words(field, value)
            )
            for field, value in (learned_values(question).items() if question else ())
        ],
        "fits": question is not None and fits(tunnel, question),
    }


def _words(field: str, value: Any) -> str:
    return _WORDS[field.rpartition("_")[2]].get(value, str(value))
