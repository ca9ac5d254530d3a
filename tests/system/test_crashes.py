"""What a crash outside of an apply costs; those within one are in test_faults.py."""

from __future__ import annotations

import os
import signal

from tests.running_portal import wait_for


def test_killing_charon_costs_seconds_and_no_clicks(live):
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


def test_a_flushed_ruleset_is_found_and_repaired(live):
    live.on("concentrator", "nft", "flush", "ruleset")
    assert not live.ping()

    assert wait_for(live.ping, 70) < 70
