"""Faults at each step of an apply: afterwards the newest applied revision is live.

Each cell changes all settings of a tunnel at once, holds the apply at a step, injects the fault
there, and waits until database, charon, kernel and a ping agree with the newest applied revision.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from tests.running_portal import RunningPortal, wait_for
from tests.system.faults import damage, ground_truth, settings
from tests.system.faults.damage import Fault
from tests.system.faults.matrix import CELL
from tests.system.faults.person import Person
from tests.system.faults.probes import Probes
from tests.system.faults.scene import PATIENCE_SECONDS, Scene
from tests.system.faults.steps import COMMITTED, SENT, WORKERS, Holds

CELLS = {
    damage.KILL_WORKER: (SENT, *WORKERS),
    damage.KILL_CHARON: tuple(step for step in WORKERS if step != "maps changed"),
    damage.STOP_CHARON: ("started", "observed", "loaded", "terminated", "recorded", "initiated"),
    damage.KILL_REDIS: (COMMITTED, SENT, "started", "recorded", "initiated"),
    damage.STOP_REDIS: (COMMITTED, SENT, "started", "initiated"),
    damage.KILL_WEB: (COMMITTED, SENT),
    damage.KILL_MONITOR: (SENT, "loaded", "recorded"),
    damage.KILL_BEAT: (SENT, "recorded"),
    damage.KEEP_FLOWS: ("maps changed",),
    damage.NO_ESP: ("loaded",),
    damage.FULL_DISK: ("received", "loaded", "observed again"),
    damage.CLOCK_FORWARD: (SENT, "loaded"),
    damage.CLOCK_BACK: (SENT, "loaded"),
    damage.MESSAGES: (SENT, "loaded", "recorded"),
}


@contextmanager
def small_disk(folder) -> Iterator[None]:
    """Mount a file system at the folder; unmount it also if this process is killed."""
    folder.mkdir(parents=True)
    script = """
        trap 'umount --lazy "$1"; kill "$!" 2>/dev/null; exit' TERM
        mount -t tmpfs -o size=160m tmpfs "$1" && echo made
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
    """Yield a portal with the seam in its processes and the first settings applied."""
    portal = RunningPortal("faults")
    holds = Holds(portal)
    portal.environment |= holds.environment()
    holds.make()
    with small_disk(portal.state / "postgresql"):
        try:
            portal.start()
            portal.fill_in()
            settings.make_peer_accept_both(portal)
            portal.apply(FIRST)
            person = Person(*map(portal.printed, ("URL", "User name", "Password")))
            with closing(Probes(portal.prefix)) as probes:
                scene = Scene(portal, holds, person, probes, settings.FIRST, 1)
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
def test_after_a_fault_the_applied_revision_is_live(
    scene: Scene, record_property: Callable, fault: Fault, step: str
):
    scene.prepare()
    # Recorded before the result, so that a cell that fails is in the table too.
    record_property(CELL, (fault.name, step, 0.0, ""))

    scene.apply_up_to(step)
    fault.inject(scene)
    scene.release()
    try:
        fault.wait_for_effect(scene)
    finally:
        fault.undo(scene)
    seconds = scene.settle()
    record_property(CELL, (fault.name, step, seconds, "; ".join(scene.last_deviations)))

    assert ground_truth.draft(scene.portal) == scene.draft
    assert set(ground_truth.revisions(scene.portal).values()) == {"live", "replaced"}
    scene.apply_again()


@pytest.mark.parametrize("fault", [damage.KEEP_FLOWS, damage.KILL_WORKER], ids=lambda it: it.name)
def test_a_revision_is_not_live_before_the_flows_of_its_removed_translation_have_ended(
    scene: Scene, fault: Fault
):
    """A running ping keeps its flow, which would otherwise end by itself after 30 seconds."""
    scene.prepare()
    portal = scene.portal
    with pinging(portal, scene.applied.internal):
        scene.apply_up_to("maps changed")
        fault.inject(scene)
        scene.release()
        try:
            fault.wait_for_effect(scene)
            assert ground_truth.leftover_flows(portal, scene.applied)
            assert ground_truth.revisions(portal)[scene.number] == "applying"
        finally:
            fault.undo(scene)
        wait_for(lambda: ground_truth.revisions(portal)[scene.number] == "live", PATIENCE_SECONDS)
        assert not ground_truth.leftover_flows(portal, scene.applied)
    scene.settle()


@contextmanager
def pinging(portal: RunningPortal, address: str) -> Iterator[None]:
    """Ping an address from the server ten times a second."""
    netns = ("ip", "netns", "exec", f"{portal.prefix}-server")
    ping = subprocess.Popen([*netns, "ping", "-q", "-i", "0.1", address], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        ping.kill()
        ping.wait()


def test_traffic_resumes_when_esp_passes_again(scene: Scene):
    """The SAs do not depend on the path of ESP, and stay: IKE goes on."""
    scene.prepare()
    damage.NO_ESP.inject(scene)
    try:
        assert scene.deviations() == [f"{scene.applied.internal} does not answer"]
    finally:
        damage.NO_ESP.undo(scene)

    scene.settle()


def test_an_apply_fails_and_is_rolled_back_if_charon_does_not_answer(scene: Scene):
    """The test stops charon after the new connection is loaded, until the apply has failed."""
    scene.prepare()
    before, number = scene.applied, scene.number
    scene.apply_up_to("loaded")
    damage.STOP_CHARON.inject(scene)
    scene.release()
    try:
        wait_for(
            lambda: ground_truth.revisions(scene.portal)[number + 1] == "failed", PATIENCE_SECONDS
        )
    finally:
        damage.STOP_CHARON.undo(scene)

    scene.applied, scene.number = before, number
    scene.settle()
    assert ground_truth.draft(scene.portal) == scene.draft

    scene.number += 1
    scene.applied = settings.other_than(before)
    scene.apply_again()
    scene.settle()


def test_on_a_full_disk_no_edit_is_saved_in_part(scene: Scene):
    scene.prepare()
    before, revisions = ground_truth.draft(scene.portal), ground_truth.revisions(scene.portal)
    damage.FULL_DISK.inject(scene)
    try:
        saved = {name: str(before[name]) for name in before if name.startswith("phase_two_")}
        initial = {f"initial-{name}": value for name, value in saved.items()}
        form = {"fieldset": "phase_two", **saved, **initial, "phase_two_keylife": "4444"}
        edited = scene.person.post("/tunnels/1/edit/", form)
        applied = scene.person.post("/tunnels/1/apply/", {})
    finally:
        damage.FULL_DISK.undo(scene)

    assert (edited.status, applied.status) == (503, 503)
    assert (ground_truth.draft(scene.portal), ground_truth.revisions(scene.portal)) == (
        before,
        revisions,
    )
    scene.apply_again()
    scene.settle()


def test_a_clock_that_is_set_back_hides_no_outage(scene: Scene):
    """An observation from before the clock change must not count as newer than a current one."""
    scene.prepare()
    peer = scene.portal.process("charon", host="peer")
    os.kill(peer, signal.SIGSTOP)
    try:
        damage.CLOCK_BACK.inject(scene)
        uri = f"unix://{scene.portal.state}/lab/concentrator/charon.vici"
        terminate = ("swanctl", "--terminate", "--ike", "ctx1", "--force", "--timeout", "1")
        scene.portal.run(*terminate, "--uri", uri)
        wait_for(
            lambda: ground_truth.sa_status(scene.portal) not in ("up", "older"), PATIENCE_SECONDS
        )
    finally:
        os.kill(peer, signal.SIGCONT)
    wait_for(lambda: ground_truth.sa_status(scene.portal) == "up", 30)
    scene.settle()

    damage.CLOCK_BACK.undo(scene)
    scene.apply_again()
    scene.settle()
