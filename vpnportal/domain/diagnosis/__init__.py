"""Why a tunnel is down: from what charon says to what the admin should change, and at which end."""

from vpnportal.domain.diagnosis.diagnose import diagnose
from vpnportal.domain.diagnosis.evidence import Evidence
from vpnportal.domain.diagnosis.findings import Cause, Finding, message_for_peer

__all__ = ["Cause", "Evidence", "Finding", "diagnose", "message_for_peer"]
