"""The upgrade of a running portal to this release, from the one that `release.toml` names.

The laboratory plays a real gateway: charon, nftables and the tunnels stay while the portal stops,
its state folder is upgraded, and the portal of this checkout starts on it.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from tests.running_portal import ROOT, wait_for
from tests.system.upgrade.declaration import parse
from tests.system.upgrade.machine import Flow, Machine
from tests.system.upgrade.release import Release, check_out
from tests.system.upgrade.scene import PATIENCE_SECONDS, SECOND, Observation, Scene

# The first test makes the whole upgrade. It took 150 seconds on a busy machine.
pytestmark = pytest.mark.timeout(1500)
DECLARED = parse((ROOT / "release.toml").read_text())
PROCESSES = ("beat", "honcho", "redis", "watch", "web", "worker")
CONVERGED = r"Task vpnportal\.tasks\.converge\[\S+\] succeeded"
# Up to the line of the exception.
TRACEBACK = r"^Traceback[\s\S]*?^\w.*$"


@dataclass(frozen=True)
class Upgrade:
    """A finished upgrade, and what charon and the portal logged meanwhile.

    `lost_pings` are times. `began_at` has the time at which a connection was negotiated again.
    """

    scene: Scene
    before: Observation
    after: Observation
    lost_pings: dict[Flow, list[float]]
    began_at: dict[str, float]
    commands: list[str]
    negotiations: Counter[str]
    tracebacks: list[str]


@pytest.fixture(scope="module")
def upgrade() -> Iterator[Upgrade]:
    if os.geteuid() != 0:
        pytest.skip("The laboratory needs root, which alone may make network namespaces.")
    with Machine("u").cleaned_up() as machine:
        old = Release(check_out(DECLARED.upgrades_from, machine.state / "release"), machine)
        old.set_up()
        old.make_laboratory()
        old.start()
        scene = Scene(old)
        scene.build()
        yield carry_out(old, Release(ROOT, machine), scene)


def carry_out(old: Release, new: Release, scene: Scene) -> Upgrade:
    """Upgrade as docs/operations.md tells it, up to the end of the trial that runs meanwhile."""
    before, charon = scene.observe(old), scene.machine.charon_log()
    with scene.machine.listening() as began_at, scene.machine.pinging(scene.flows) as lost_pings:
        old.stop()
        scene.machine.open_charon_to_gateway()
        new.set_up()
        logs = {name: scene.machine.log(name) for name in PROCESSES}
        new.start()
        wait_for(lambda: logs["worker"].find(CONVERGED), PATIENCE_SECONDS)
        scene.end_trials()
        with suppress(AssertionError):
            wait_for(lambda: not scene.trials(), PATIENCE_SECONDS)
        after = scene.observe(new)
    return Upgrade(
        scene,
        before,
        after,
        lost_pings,
        began_at,
        charon.commands(),
        charon.negotiations(),
        [traceback for log in logs.values() for traceback in log.find(TRACEBACK)],
    )


def test_no_tunnel_loses_more_pings_than_the_release_declares(upgrade, record_property):
    lost = {flow: len(times) for flow, times in upgrade.lost_pings.items()}
    record_property("lost pings", [(*flow, number) for flow, number in lost.items()])

    assert lost.keys() == set(upgrade.scene.flows)
    assert max(lost.values()) <= DECLARED.max_lost_pings, lost


def test_no_ping_is_lost_before_a_tunnel_is_negotiated_again(upgrade):
    early = {
        flow: before
        for flow, times in upgrade.lost_pings.items()
        if (before := [at for at in times if at < upgrade.began_at.get(flow.connection, math.inf)])
    }

    assert early == {}


def test_what_runs_stays_or_is_negotiated_once_where_the_release_declares_it(upgrade):
    before, after = upgrade.before.security_associations, upgrade.after.security_associations

    assert after.keys() == before.keys() == {"ctx1", "ctx2"}
    assert DECLARED.renegotiation or after == before
    assert max(upgrade.negotiations.values(), default=0) <= DECLARED.max_negotiations


def test_the_first_converge_has_nothing_to_do(upgrade):
    # Nor have the later ones, of which one keeps the revision that was on trial.
    assert DECLARED.renegotiation or upgrade.commands == []
    assert DECLARED.renegotiation or upgrade.after.kernel == upgrade.before.kernel


def test_a_trial_that_began_before_the_upgrade_ends_after_it(upgrade):
    assert upgrade.before.trials == [(SECOND, 2)]
    assert upgrade.scene.outcomes(SECOND) == ["replaced", "live"]


def test_every_sealed_row_opens_and_says_what_it_said(upgrade):
    before, after = upgrade.before.opened, upgrade.after.opened

    assert [name for name in before if not kept(before[name], after.get(name))] == []


def test_a_script_reads_what_it_read(upgrade):
    assert upgrade.after.read == upgrade.before.read


def test_every_page_answers(upgrade):
    before, after = upgrade.before.pages, upgrade.after.pages

    assert {page for page in before if not re.search(r"\?|/static/", page)} <= after.keys()
    assert broken(after) <= broken(before)


def test_no_process_of_the_portal_fails(upgrade):
    assert upgrade.tracebacks == []


def test_what_was_begun_before_the_upgrade_can_be_ended_after_it(upgrade):
    upgrade.scene.undo()
    upgrade.scene.connect()

    assert len(upgrade.scene.read()[0]["addressTranslations"]) == 2
    wait_for(upgrade.scene.disconnected_answers, PATIENCE_SECONDS)


def kept(before: Any, after: Any) -> bool:
    """Return True if `after` says all that `before` said; a new release may say more."""
    if isinstance(before, dict):
        return all(name in after and kept(before[name], after[name]) for name in before)
    if isinstance(before, list):
        return len(before) == len(after) and all(map(kept, before, after))
    return bool(before == after)


def broken(pages: dict[str, int]) -> set[str]:
    """Return the addresses that were not answered with a page or a redirection to one."""
    return {page for page, status in pages.items() if status >= 400}
