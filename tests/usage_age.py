"""The age of the usage set's record, which a test cannot wait for."""

from __future__ import annotations

import subprocess

from vpnportal.gateway.netfilter.ruleset import RECORD_SECONDS

DAY_SECONDS = 86_400
START = "ip vpnportal used { 0.0.0.0 . 0.0.0.0"


def age_usage_record(days: int = 6) -> None:
    """Make the record in this network namespace so old, by default older than any idle flow."""
    lasting = RECORD_SECONDS // DAY_SECONDS
    started = f"{START} timeout {lasting}d expires {lasting - days}d }}"
    commands = f"delete element {START} }}\nadd element {started}\n"
    subprocess.run(["nft", "-f", "-"], input=commands, text=True, check=True)
