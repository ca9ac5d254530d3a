"""Why a tunnel is not as it should be: what its diagnosis found, as the page shows it.

Nearly all of it is text that a stranger's device may have chosen: it is shown as text only.
"""

from __future__ import annotations

from dataclasses import dataclass

from vpnportal.domain.diagnosis import Cause, Finding, message_for_peer
from vpnportal.models import DiagnosticLog, Tunnel
from vpnportal.services import TunnelState
from vpnportal.services.diagnosis import findings_of
from vpnportal.web.tunnel.forms import label_of

# Seen of tunnels that are up. What charon said of attempts is about those that are not.
WHILE_UP = (Cause.NARROWED, Cause.ONE_WAY, Cause.FLAPPING, Cause.DUPLICATES)


@dataclass(frozen=True, slots=True)
class FindingView:
    """One finding, and `to_tell` the admin of the other end, if that end must change something."""

    finding: Finding
    message_for_peer: str

    @property
    def label(self) -> str:
        """The panel's words for the draft's field that it is about."""
        return label_of(self.finding.field)

    @property
    def href(self) -> str:
        """Where that field is on the page."""
        field = self.finding.field
        return f"#{field}" if field.endswith("_subnets") else f"#id_{field}"

    @property
    def words(self) -> tuple[str, ...]:
        """What it says, without charon's lines."""
        found = self.finding
        return (found.text, found.advice, found.theirs, found.ours, self.message_for_peer)


def finding_views(tunnel: Tunnel, state: TunnelState) -> list[FindingView]:
    """The most decisive first; none while all is well, or nothing is known."""
    asked_of = state.latest if state.applying else state.live or state.latest
    found = _found(tunnel, state)
    if asked_of is None or not found:
        return []
    spec = asked_of.opened
    return [FindingView(one, message_for_peer(spec, one)) for one in found]


def _found(tunnel: Tunnel, state: TunnelState) -> list[Finding]:
    if state.needs_diagnosis:
        return list(findings_of(tunnel))
    odd = DiagnosticLog.objects.filter(tunnel=tunnel).exclude(anomalies={})
    if state.live is None or state.sa_status != Tunnel.SaStatus.UP.label or not odd.exists():
        return []
    return [one for one in findings_of(tunnel) if one.cause in WHILE_UP]
