"""The doctor in a laboratory: green beside a running worker, red if a translation is missing."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.running_portal import PYTHON, RunningPortal, wait_for
from tests.system.privileges.users import as_portal, on_gateway

pytestmark = pytest.mark.shared_portal

# Yellow in a laboratory: it has no systemd and no backup, and may have an older charon.
EXPECTED = {"units", "backup", "charon_version"}
AT_GATEWAY = ("env", "VPNPORTAL_CONCENTRATOR=hou02-vpn01", PYTHON, "manage.py", "doctor", "--json")
REMOVAL = ("nft", "delete", "element", "ip", "vpnportal", "inbound", "{ 10.1.255.92 }")


def by_state(output: str) -> dict[str, dict[str, str]]:
    """Return the texts by name, by state."""
    findings: dict[str, dict[str, str]] = {"green": {}, "yellow": {}, "red": {}}
    for finding in json.loads(output):
        if finding["name"].startswith("disk"):
            # That of the machine that runs the tests.
            continue
        findings[finding["state"]][finding["name"]] = finding["found"]
    return findings


def test_the_users_of_both_machines_see_a_healthy_laboratory(live: RunningPortal):
    portal = as_portal(live, PYTHON, "manage.py", "doctor", "--json")
    gateway = on_gateway(live, *AT_GATEWAY)

    for done, names in ((portal, {"seals", "queues/hou02-vpn01"}), (gateway, {"applied_state"})):
        found = by_state(done.stdout)
        assert found["red"] == {}, done.stdout
        assert found["yellow"].keys() <= EXPECTED, found["yellow"]
        assert names <= found["green"].keys()
        assert done.returncode == 1
        assert live.device_key() not in done.stdout + done.stderr


def test_a_translation_that_is_gone_is_named_and_not_repaired_by_looking(live: RunningPortal):
    worker = live.process("worker", "concentrator")
    os.kill(worker, signal.SIGSTOP)
    try:
        assert live.on("concentrator", *REMOVAL).returncode == 0
        done = on_gateway(live, *AT_GATEWAY, "--only", "applied_state")
        pings = live.ping()
    finally:
        os.kill(worker, signal.SIGCONT)

    (text,) = by_state(done.stdout)["red"].values()
    assert "A converge would add the translation 10.1.255.92 to " in text
    assert (done.returncode, pings) == (2, False)
    wait_for(live.ping, 65)
