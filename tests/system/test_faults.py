"""Whatever dies, stalls or fills up at whatever step of an apply: what was applied stands.

Each cell changes everything of a tunnel at once, holds the apply at a step, strikes there, and
waits until database, charon, kernel and a ping agree with the newest applied revision alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.running_portal import RunningPortal, wait_for
from tests.system.faults import damage, ground_truth, settings
from tests.system.faults.damage import Fault
from tests.system.faults.matrix import CELL
from tests.system.faults.person import Person
from tests.system.faults.scene import Scene
from tests.system.faults.steps import COMMITTED, SENT, WORKERS, Holds

CELLS = {
    damage.KILL_WORKER: (SENT, *WORKERS),
    damage.KILL_CHARON: WORKERS,
    damage.STOP_CHARON: ("started", "observed", "loaded", "terminated", "recorded", "initiated"),
    damage.KILL_REDIS: (COMMITTED, SENT, "started", "recorded", "initiated"),
    damage.STOP_REDIS: (COMMITTED, SENT, "started", "initiated"),
    damage.KILL_WEB: (COMMITTED, SENT),
    damage.KILL_MONITOR: (SENT, "loaded", "recorded"),
    damage.KILL_BEAT: (SENT, "recorded"),
    damage.NO_TUN: ("loaded",),
    damage.FULL_DISK: ("received", "loaded", "observed again"),
    damage.CLOCK_FORWARD: (SENT, "loaded"),
    damage.CLOCK_BACK: (SENT, "loaded"),
    damage.MESSAGES: (SENT, "loaded", "recorded"),
}


@contextmanager
def small_disk(folder) -> Iterator[None]:
    """A file system of its own, which is gone also when this process is killed."""
    folder.mkdir(parents=True)
    script = """
        trap 'umount --lazy "$1"; kill "$!" 2>/dev/null; exit' TERM
        mount -t tmpfs -o size=24m tmpfs "$1" && echo made
        sleep infinity & wait
    """
    holder = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", "sh", "-c", script, "sh", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout and holder.stdout.readline() == "made\n"
        yield
    finally:
        holder.terminate()
        holder.wait()


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """A portal with the seam in its processes, the first settings applied and answering."""
    portal = RunningPortal("faults")
    holds = Holds(portal)
    portal.environment |= holds.environment()
    holds.make()
    with small_disk(portal.state / "db"):
        try:
            portal.start()
            portal.fill_in()
            settings.teach_peer(portal)
            portal.apply(FIRST)
            person = Person(*map(portal.printed, ("URL", "User name", "Password")))
            scene = Scene(portal, holds, person, settings.ONE, 1)
            scene.settle()
            holds.require_bindings()
            yield scene
        finally:
            holds.release()
            portal.stop()


FIRST = """
internal, customer = IPv4Address("10.1.255.92"), IPv4Address("192.168.10.15")
rows = [services.TranslationRow(internal, customer, "host of AES256")]
services.set_translations(tunnel, rows, user)
"""


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        pytest.param(fault, step, id=f"{fault.name} at {step}")
        for fault, steps in CELLS.items()
        for step in steps
    ],
)
def test_what_was_applied_stands(scene: Scene, record_property: Callable, fault: Fault, step: str):
    scene.begin()
    # Said of each cell until it is done, so that one that fails is in the table, too.
    record_property(CELL, (fault.name, step, 0.0, ""))

    scene.apply_up_to(step)
    fault.strike(scene)
    scene.go_on()
    try:
        fault.met(scene)
    finally:
        fault.undo(scene)
    seconds = scene.settle()
    record_property(CELL, (fault.name, step, seconds, "; ".join(scene.last_wrong)))

    assert ground_truth.draft(scene.portal) == scene.typed
    assert set(ground_truth.revisions(scene.portal).values()) == {"live", "replaced"}
    scene.apply_again()


def test_traffic_comes_back_with_the_tun_device(scene: Scene):
    """The routes into it are gone with it; the associations, which know nothing of that, stay."""
    scene.begin()
    damage.NO_TUN.strike(scene)
    try:
        assert scene.wrong() == [f"{scene.wanted.internal} does not answer"]
    finally:
        damage.NO_TUN.undo(scene)

    scene.settle()


def test_an_apply_that_charon_never_answers_failed_and_what_was_there_is_back(scene: Scene):
    """Stopped when the new connection was loaded already, until the worker gave it up."""
    scene.begin()
    before, number = scene.wanted, scene.number
    scene.apply_up_to("loaded")
    damage.STOP_CHARON.strike(scene)
    scene.go_on()
    try:
        wait_for(lambda: ground_truth.revisions(scene.portal)[number + 1] == "failed", 60)
    finally:
        damage.STOP_CHARON.undo(scene)

    scene.wanted, scene.number = before, number
    scene.settle()
    assert ground_truth.draft(scene.portal) == scene.typed

    scene.number += 1
    scene.wanted = settings.other_than(before)
    scene.apply_again()
    scene.settle()


def test_a_full_disk_is_a_sentence_on_the_page_and_no_half_an_edit(scene: Scene):
    scene.begin()
    before, revisions = ground_truth.draft(scene.portal), ground_truth.revisions(scene.portal)
    damage.FULL_DISK.strike(scene)
    try:
        kept = {name: str(before[name]) for name in before if name.startswith("phase_two_")}
        initial = {f"initial-{name}": value for name, value in kept.items()}
        typed = {"fieldset": "phase_two", **kept, **initial, "phase_two_keylife": "4444"}
        edited = scene.person.post("/tunnels/1/edit/", typed)
        applied = scene.person.post("/tunnels/1/apply/", {})
    finally:
        damage.FULL_DISK.undo(scene)

    assert (edited.status, applied.status) == (422, 422)
    assert all("cannot write to its database" in one.text for one in (edited, applied))
    assert 'value="4444"' in edited.text
    assert (ground_truth.draft(scene.portal), ground_truth.revisions(scene.portal)) == (
        before,
        revisions,
    )
    scene.apply_again()
    scene.settle()


def test_a_clock_that_was_set_back_hides_no_outage(scene: Scene):
    """What was seen at a later hour must not count as newer than what is seen now."""
    scene.begin()
    peer = scene.portal.process("charon", host="peer")
    os.kill(peer, signal.SIGSTOP)
    try:
        damage.CLOCK_BACK.strike(scene)
        vici = f"unix://{scene.portal.state}/lab/concentrator/charon.vici"
        end = ("swanctl", "--terminate", "--ike", "ctx1", "--force", "--timeout", "1")
        scene.portal.run(*end, "--uri", vici)
        wait_for(lambda: ground_truth.association(scene.portal) not in ("up", "older"), 20)
    finally:
        os.kill(peer, signal.SIGCONT)
    wait_for(lambda: ground_truth.association(scene.portal) == "up", 30)
    scene.settle()

    damage.CLOCK_BACK.undo(scene)
    scene.apply_again()
    scene.settle()
