"""Crashes outside of an apply; test_faults.py has those during an apply."""

from __future__ import annotations

import os
import signal

import pytest

from tests.running_portal import wait_for
from tests.system.test_stale_sas import list_sas

pytestmark = pytest.mark.shared_portal


def test_the_applied_tunnel_is_up_seconds_after_charon_was_killed(live):
    live.do('services.edit(tunnel, "phase_one_encryption", "DES", user)')
    try:
        os.kill(live.process("charon", host="concentrator"), signal.SIGKILL)
        # Kernel ESP carries the tunnel meanwhile, so charon's list tells when the tunnel is up.
        wait_for(lambda: "INSTALLED" in list_sas(live), 15)

        wait_for(live.ping, 5)
        listed = list_sas(live)
        assert "AES_CBC-256" in listed
        assert "DES" not in listed
    finally:
        live.do('services.edit(tunnel, "phase_one_encryption", "AES256", user)')


def test_the_worker_restores_a_flushed_ruleset(live):
    live.on("concentrator", "nft", "flush", "ruleset")
    assert not live.ping()

    assert wait_for(live.ping, 70) < 70
