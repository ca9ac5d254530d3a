"""Crashes outside of an apply; test_faults.py has those during an apply."""

from __future__ import annotations

import os
import signal

import pytest

from tests.running_portal import wait_for

# Not tried on kernel ESP yet.
pytestmark = pytest.mark.own_kernel


def test_the_applied_tunnel_is_up_seconds_after_charon_was_killed(live):
    live.do('services.edit(tunnel, "phase_one_encryption", "DES", user)')
    try:
        os.kill(live.process("charon", host="concentrator"), signal.SIGKILL)
        wait_for(lambda: not live.ping(), 5)

        assert wait_for(live.ping, 15) < 15
        listed = live.run(
            "swanctl", "--list-sas", "--uri", f"unix://{live.state}/lab/concentrator/charon.vici"
        ).stdout
        assert "AES_CBC-256" in listed
        assert "DES" not in listed
    finally:
        live.do('services.edit(tunnel, "phase_one_encryption", "AES256", user)')


def test_the_worker_restores_a_flushed_ruleset(live):
    live.on("concentrator", "nft", "flush", "ruleset")
    assert not live.ping()

    assert wait_for(live.ping, 70) < 70
