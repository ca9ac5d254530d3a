"""Why a tunnel is down: from what charon says to what the admin should change, and at which end."""

from vpnportal.domain.diagnosis.diagnose import diagnose
from vpnportal.domain.diagnosis.evidence import Evidence
from vpnportal.domain.diagnosis.findings import Cause, Finding, to_the_other_end

__all__ = ["Cause", "Evidence", "Finding", "diagnose", "to_the_other_end"]
