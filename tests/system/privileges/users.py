"""Commands as the users of a running portal."""

from __future__ import annotations

import subprocess

from tests.running_portal import ROOT, RunningPortal

AS_PORTAL, AT_CONCENTRATOR = (str(ROOT / "bin" / name) for name in ("as-portal", "at-concentrator"))


def on_gateway(
    portal: RunningPortal, *command: str, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as the user of worker and monitor, in the concentrator's namespace."""
    environment = portal.environment | {"VPNPORTAL_NAMESPACE": f"{portal.prefix}-concentrator"}
    return subprocess.run(
        [AT_CONCENTRATOR, *command],
        env=environment,
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
    )


def as_portal(portal: RunningPortal, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the user of the web process."""
    return portal.run(AS_PORTAL, *command)
