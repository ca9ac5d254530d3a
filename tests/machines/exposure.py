"""The exposure of the units of the portal, as `systemd-analyze security` counts it."""

from __future__ import annotations

import re

from tests.machines.machine import Machine

# From 0 to 10.
MAX_EXPOSURE = {
    **{f"vpnportal-{name}.service": 1.5 for name in ("web", "beat", "tasks", "upgrade", "backup")},
    "vpnportal-enrolment.service": 1.5,
    # It is root, because it writes files of root's.
    "vpnportal-certificates.service": 2.5,
    **{f"vpnportal-{name}@.service": 1.7 for name in ("worker", "monitor", "routes")},
}


def exposures(portal: Machine, gateway: Machine) -> dict[str, float]:
    """Return the exposure of each unit."""
    found = {}
    for machine in (portal, gateway):
        listed = machine.run("systemd-analyze", "security", "--no-pager")
        for line in listed.splitlines():
            if line.startswith("vpnportal-"):
                unit, exposure = line.split()[:2]
                found[re.sub("@.*", "@.service", unit)] = float(exposure)
    # The list has no unit that has ended.
    for name in ("upgrade", "backup", "enrolment", "certificates"):
        unit = f"vpnportal-{name}.service"
        analysed = portal.run("systemd-analyze", "security", "--no-pager", unit)
        level = re.search(r"exposure level for \S+: ([\d.]+)", analysed)
        assert level, analysed
        found[unit] = float(level[1])
    return found
