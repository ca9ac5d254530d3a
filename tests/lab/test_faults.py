"""Whatever dies, stalls or fills up at whatever step of an apply: what was applied stands.

Each cell changes everything of a tunnel at once, holds the apply at a step, strikes there, and
waits until database, charon, kernel and a ping agree with the newest applied revision alone.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.faults import damage, settings, truth
from tests.lab.faults.damage import Fault
from tests.lab.faults.matrix import Matrix
from tests.lab.faults.person import Person
from tests.lab.faults.scene import Scene
from tests.lab.faults.steps import COMMITTED, SENT, WORKERS, Holds
from tests.product import Product

CELLS = {
    damage.KILL_WORKER: (SENT, *WORKERS),
    damage.KILL_CHARON: WORKERS,
    damage.STOP_CHARON: ("taken up", "observed", "loaded", "ended", "recorded", "initiated"),
    damage.KILL_REDIS: (COMMITTED, SENT, "taken up", "recorded", "initiated"),
    damage.STOP_REDIS: (COMMITTED, SENT, "taken up", "initiated"),
    damage.KILL_PORTAL: (COMMITTED, SENT),
    damage.KILL_WATCH: (SENT, "loaded", "recorded"),
    damage.KILL_BEAT: (SENT, "recorded"),
    damage.NO_TUN: ("loaded", "recorded"),
    damage.FULL_DISK: ("received", "loaded", "looked again"),
    damage.CLOCK_FORWARD: (SENT, "loaded"),
    damage.CLOCK_BACK: (SENT, "loaded"),
    damage.MESSAGES: (SENT, "loaded", "recorded"),
}


@pytest.fixture(scope="module")
def matrix(request: pytest.FixtureRequest) -> Matrix:
    table = Matrix()
    request.config.pluginmanager.register(table)
    return table


@contextmanager
def small_disk(folder) -> Iterator[None]:
    """A file system of its own, which is gone also when this process is killed."""
    folder.mkdir(parents=True)
    script = (
        'trap "umount --lazy $1; exit" TERM; mount -t tmpfs -o size=24m tmpfs "$1" && echo made; '
        "sleep infinity & wait"
    )
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
    """A product with the seam in its processes, the first settings applied and answering."""
    product = Product("faults")
    holds = Holds(product)
    product.environment |= holds.environment()
    holds.make()
    with small_disk(product.state / "db"):
        try:
            product.start()
            product.fill_in()
            settings.teach_peer(product)
            product.apply(FIRST)
            scene = Scene(product, holds, Person(product), settings.ONE, 1)
            scene.settle()
            yield scene
        finally:
            holds.release()
            product.stop()


FIRST = """
rows = [services.Row(IPv4Address("10.1.255.92"), IPv4Address("192.168.10.15"), "host of AES256")]
services.set_translations(tunnel, rows)
"""


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        pytest.param(fault, step, id=f"{fault.name} at {step}")
        for fault, steps in CELLS.items()
        for step in steps
    ],
)
def test_what_was_applied_stands(scene: Scene, matrix: Matrix, fault: Fault, step: str):
    scene.begin()
    matrix.note(fault.name, step, "FAILED")

    scene.apply_up_to(step)
    fault.strike(scene)
    scene.go_on()
    try:
        fault.met(scene)
    finally:
        fault.undo(scene)
    seconds = scene.settle()

    assert truth.draft(scene.product) == scene.typed
    assert set(truth.revisions(scene.product).values()) == {"live", "replaced"}
    matrix.note(fault.name, step, f"{seconds:.1f}")
