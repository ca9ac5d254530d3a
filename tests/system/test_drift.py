"""Changes of the concentrator by other programs are repaired within a minute and recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.running_portal import RunningPortal, wait_for

pytestmark = pytest.mark.shared_portal

FOREIGN = """
connections {
    office { remote_addrs = 198.51.100.9
        local { auth = psk }
        remote { auth = psk } }
    ctx1 { version = 2
        remote_addrs = 203.0.113.2
        proposals = des-md5-modp768
        local { auth = psk }
        remote { auth = psk }
        children { weak { remote_ts = 0.0.0.0/0 } } }
}
"""


def swanctl(portal: RunningPortal, *command: str) -> str:
    uri = f"unix://{portal.state}/lab/concentrator/charon.vici"
    return portal.run("swanctl", *command, "--uri", uri).stdout


def repairs(portal: RunningPortal) -> list[str]:
    return portal.do('say(list(DriftRepair.objects.values_list("text", flat=True)))')


def test_the_worker_repairs_foreign_changes_within_a_minute_and_records_them(live, tmp_path):
    file: Path = tmp_path / "swanctl.conf"
    file.write_text(FOREIGN)
    swanctl(live, "--load-conns", "--file", str(file))
    swanctl(live, "--terminate", "--ike", "ctx1", "--force")
    wait_for(live.ping, 65)
    conns = swanctl(live, "--list-conns")
    assert "weak" not in conns
    assert "office" in conns, "the worker does not touch foreign connections"

    removal = ("delete", "element", "ip", "vpnportal", "inbound", "{ 10.1.255.92 }")
    assert live.on("concentrator", "nft", *removal).returncode == 0
    assert not live.ping()
    assert wait_for(live.ping, 65) < 65

    # Only the full converge of each minute observes foreign connections.
    wait_for(
        lambda: live.do("say(Concentrator.objects.get().foreign_connections)") == ["office"], 65
    )
    expected = {"Loaded the connection ctx1", "Changed the address translations (1)"}
    assert expected <= set(repairs(live))
    swanctl(live, "--load-conns", "--file", "/dev/null")
