"""The diagnosis of a tunnel as the state box shows it.

Most of the text may come from the peer: the templates show it as text only, never as HTML.
"""

from __future__ import annotations

from dataclasses import dataclass

from vpnportal.domain.diagnosis import Cause, Finding, message_for_peer
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.models import DiagnosticLog, Tunnel
from vpnportal.services import TunnelState, findings_of
from vpnportal.web.tunnel.forms import label_of

# Causes that concern a tunnel that is up. All others come from earlier attempts.
WARNINGS_WHILE_UP = (Cause.NARROWED, Cause.ONE_WAY, Cause.FLAPPING, Cause.DUPLICATES)


@dataclass(frozen=True, slots=True)
class FindingView:
    """A finding, and a message for the peer's administrator; "" if the peer needs no change."""

    finding: Finding
    message_for_peer: str

    @property
    def label(self) -> str:
        """The panel's label of the draft field that the finding is about."""
        return label_of(self.finding.field)

    @property
    def href(self) -> str:
        """The link to the finding's field on the page, such as "#id_remote_peer"."""
        field = self.finding.field
        return f"#{field}" if field.endswith("_subnets") else f"#id_{field}"

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of the finding without the log lines, and the message for the peer."""
        finding = self.finding
        return (
            finding.text,
            finding.advice,
            finding.caution,
            finding.theirs,
            finding.ours,
            self.message_for_peer,
        )


def finding_views(tunnel: Tunnel, state: TunnelState) -> list[FindingView]:
    """Return the findings of the tunnel, the most decisive first.

    If the tunnel is up and needs no diagnosis, only WARNINGS_WHILE_UP causes are returned.
    """
    revision = state.latest if state.applying else state.live or state.latest
    findings = _findings(tunnel, state)
    if revision is None or not findings:
        return []
    spec = revision.opened
    return [FindingView(finding, message_for_peer(spec, finding)) for finding in findings]


def _findings(tunnel: Tunnel, state: TunnelState) -> list[Finding]:
    if state.needs_diagnosis:
        return list(findings_of(tunnel))
    if state.live is None or state.sa_status != SaStatus.UP.label:
        return []
    if not DiagnosticLog.objects.filter(tunnel=tunnel).exclude(anomalies={}).exists():
        return []
    return [finding for finding in findings_of(tunnel) if finding.cause in WARNINGS_WHILE_UP]
