"""Labels of tunnel states, and their CSS classes and URL values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.models import Revision

Outcome = Revision.Outcome


class StateLabel(StrEnum):
    """The labels of tunnel states, the most urgent first."""

    FAILED = Outcome.FAILED.label
    ROLLED_BACK = Outcome.WITHDRAWN.label
    DOWN = SaStatus.DOWN.label
    # Down, and only the peer may initiate.
    WAITING_FOR_PEER = "Waiting for peer"
    DEGRADED = SaStatus.PARTIAL.label
    OLD_SETTINGS = SaStatus.OLDER.label
    CONNECTING = SaStatus.CONNECTING.label
    # The concentrator is offline.
    UNKNOWN = "Unknown"
    QUEUED = Outcome.QUEUED.label
    APPLYING = Outcome.APPLYING.label
    DISCONNECTING = "Disconnecting"
    DISCONNECTED = "Disconnected"
    UP = SaStatus.UP.label
    NEVER_APPLIED = "Never applied"
    BEING_DELETED = "Being deleted"
    DELETED = "Deleted"


# The place of each label, as in `TunnelSummary.rank`. After a change of the labels, `migrate`
# writes all summaries again.
STATE_RANKS: Mapping[str, int] = MappingProxyType(
    {label: rank for rank, label in enumerate(StateLabel)}
)

# CSS classes and values in URLs by label. Bookmarks outlive a new text of a label.
STATE_SLUGS: Mapping[str, str] = MappingProxyType(
    {
        StateLabel.FAILED: "failed",
        StateLabel.ROLLED_BACK: "taken-back",
        StateLabel.DOWN: "down",
        StateLabel.WAITING_FOR_PEER: "waits-for-the-other-end",
        StateLabel.DEGRADED: "partly-up",
        StateLabel.OLD_SETTINGS: "up-with-older-settings",
        StateLabel.CONNECTING: "connecting",
        StateLabel.UNKNOWN: "unknown",
        StateLabel.QUEUED: "queued",
        StateLabel.APPLYING: "applying",
        StateLabel.DISCONNECTING: "disconnecting",
        StateLabel.DISCONNECTED: "disconnected",
        StateLabel.UP: "up",
        StateLabel.NEVER_APPLIED: "never-applied",
        StateLabel.BEING_DELETED: "being-cancelled",
        StateLabel.DELETED: "cancelled",
        # Outcomes of revisions that are no state of a tunnel.
        Outcome.LIVE.label: "live",
        Outcome.REPLACED.label: "replaced",
        Outcome.FALLBACK.label: "kept-in-reserve",
    }
)
