"""Diagnosis of tunnels: from charon's log and SAs to the setting to change, and on which device."""

from vpnportal.domain.diagnosis.diagnose import diagnose
from vpnportal.domain.diagnosis.evidence import Evidence
from vpnportal.domain.diagnosis.findings import Cause, Finding, message_for_peer

__all__ = ["Cause", "Evidence", "Finding", "diagnose", "message_for_peer"]
