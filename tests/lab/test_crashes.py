"""After any crash the concentrator comes back to the last applied revision, without a click."""

from __future__ import annotations

import os
import signal

import pytest

from tests.lab.conftest import translate
from tests.product import Product, wait_for


def outcome(product: Product) -> dict:
    return product.do(
        """
latest = tunnel.latest()
say({"outcome": latest.outcome, "number": latest.number,
     "live": tunnel.revisions.filter(outcome="live").count(),
     "taken": sum("Taken up" in step["text"] for step in latest.steps)})
"""
    )


def test_killing_charon_costs_seconds_and_no_clicks(live):
    live.do('services.edit(tunnel, "phase_one_encryption", "DES")')
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
        live.do('services.edit(tunnel, "phase_one_encryption", "AES256")')


@pytest.mark.parametrize("victim", ["worker", "watch", "beat", "redis-server"])
def test_an_apply_during_a_crash_ends_live_once(live, victim):
    before = outcome(live)["number"]
    other = translate(name=f"after {victim}")

    process = live.process(victim)
    os.kill(process, signal.SIGSTOP)
    live.do(other + "services.apply(Tunnel.objects.get(pk=tunnel.pk), user)")
    os.kill(process, signal.SIGKILL)

    wait_for(lambda: outcome(live)["outcome"] == "live", 30)
    after = outcome(live)
    assert (after["number"], after["live"], after["taken"]) == (before + 1, 1, 1)
    assert live.ping()


def test_a_worker_killed_in_the_middle_of_an_apply_leaves_one_live_revision(live):
    """charon is stopped, so that the worker is sure to be in the middle when it is killed."""
    before = outcome(live)["number"]
    charon = live.process("charon", host="concentrator")
    os.kill(charon, signal.SIGSTOP)
    try:
        live.do(
            'services.edit(tunnel, "phase_two_keylife", 3700)\n'
            "services.apply(Tunnel.objects.get(pk=tunnel.pk), user)"
        )
        wait_for(lambda: outcome(live)["outcome"] == "applying", 10)
        os.kill(live.process("worker"), signal.SIGKILL)
    finally:
        os.kill(charon, signal.SIGCONT)

    wait_for(lambda: outcome(live)["outcome"] == "live", 30)
    after = outcome(live)
    assert (after["number"], after["live"], after["taken"]) == (before + 1, 1, 1)
    wait_for(live.ping, 10)


def test_a_flushed_ruleset_is_found_and_repaired(live):
    live.on("concentrator", "nft", "flush", "ruleset")
    assert not live.ping()

    assert wait_for(live.ping, 70) < 70
