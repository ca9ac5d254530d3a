"""Python reads this when a process of a product under test starts: it can be held at a step.

The test writes the name of a step into the file `armed`. The first process that gets there writes
its id into `here`, and goes no further until `armed` is gone. A number of seconds in `clock` is
added to what these processes take for the time of day. Without the folder, nothing happens at all.
"""

from __future__ import annotations

import datetime
import os
import sys
import time
from importlib.machinery import PathFinder
from pathlib import Path

FOLDER = os.environ.get("VPNPORTAL_HOLDS", "")
ROLES = {"gunicorn": "portal", "worker": "worker", "watch": "watch", "beat": "beat"}
ROLE = next((ROLES[word] for word in sys.orig_argv if word in ROLES), "")


class _Apply:
    """Which apply this process has under way: only then does it come past a step of one."""

    under_way = translated = False


def reach(step: str) -> None:
    """Goes on at once unless the test wants to have somebody here."""
    armed = _read("armed")
    if armed.rpartition(" ")[0] != step:
        return
    here, mine = Path(FOLDER, "here"), Path(FOLDER, f"here.{os.getpid()}")
    mine.write_text(str(os.getpid()))
    try:
        os.link(mine, here)
    except FileExistsError:
        return
    finally:
        mine.unlink()
    while _read("armed") == armed:
        _sleep(0.005)


def _read(name: str) -> str:
    try:
        return Path(FOLDER, name).read_text()
    except OSError:
        return ""


_sleep, _time, _time_ns, _datetime = time.sleep, time.time, time.time_ns, datetime.datetime


def _shift() -> int:
    """How many seconds the clock is wrong by."""
    return int(_read("clock") or 0)


class _Kind(type):
    """What C code made is a datetime too."""

    def __instancecheck__(cls, instance) -> bool:
        return isinstance(instance, _datetime)


class Shifted(_datetime, metaclass=_Kind):
    """Everything of a datetime, by a clock that can be set wrong."""

    @classmethod
    def now(cls, tz=None):
        return _datetime.now(tz) + datetime.timedelta(seconds=_shift())

    @classmethod
    def utcnow(cls):
        return _datetime.utcnow() + datetime.timedelta(seconds=_shift())


def set_clock_by_file() -> None:
    """The time of day, never the monotonic clock: as when somebody sets a machine's clock."""
    time.time = lambda: _time() + _shift()
    time.time_ns = lambda: _time_ns() + _shift() * 1_000_000_000
    datetime.datetime = Shifted


def around(holder, name: str, *, before=None, after=None) -> None:
    """Calls `before` and `after` with the arguments of each call; the name has to be there."""
    if not hasattr(holder, name):
        raise AttributeError(f"{holder} has no {name} any more: the fault matrix is bound to it.")
    original = getattr(holder, name)

    def wrapped(*arguments, **named):
        if before:
            before(*arguments)
        result = original(*arguments, **named)
        if after:
            after(*arguments)
        return result

    setattr(holder, name, wrapped)


def at(step: str, role: str = "worker"):
    """A hold at this step, for processes of this role that have an apply under way."""

    def hold(*_) -> None:
        if role == ROLE and (_Apply.under_way or role != "worker"):
            reach(step)

    return hold


def bind_tasks(module) -> None:
    around(module.converge, "apply_async", before=at("committed", "portal"))


def bind_outcomes(module) -> None:
    def received(revisions, *_) -> None:
        if any(revision.outcome == "queued" for revision in revisions):
            _Apply.under_way, _Apply.translated = True, False
            at("received")()

    def recorded(revisions, *_) -> None:
        if list(revisions):
            at("recorded")()

    around(module, "begin", before=received, after=at("taken up"))
    around(module, "finish", after=recorded)


def bind_charon(module) -> None:
    original = module.Charon.load

    def load(self, several):
        """The answers one by one, as they are taken: a secret's, then its connection's."""
        for one, refusal in original(self, several):
            at("remembered" if hasattr(one, "owners") else "loaded")()
            yield one, refusal

    module.Charon.load = load
    # What carries traffic ends once its successor is up, perhaps by another look than this one.
    around(module.Charon, "terminate", after=lambda *_: ROLE == "worker" and reach("ended"))
    around(module.Charon, "initiate", after=at("initiated"))


def bind_concentrator(module) -> None:
    def looked(*_) -> None:
        at("looked again" if _Apply.translated else "observed")()

    def translated(*_) -> None:
        _Apply.translated = True
        at("translated")()

    around(module.Concentrator, "glance", after=looked)
    around(module.Concentrator, "_translate", after=translated)


def bind_reconcile(module) -> None:
    def over(*_) -> None:
        _Apply.under_way = False

    around(module, "converge", after=over)


BINDINGS = {
    "vpnportal.tasks": bind_tasks,
    "vpnportal.reconciler.revision_outcomes": bind_outcomes,
    "vpnportal.gateway.vici.session": bind_charon,
    "vpnportal.gateway.driver": bind_concentrator,
    "vpnportal.reconciler.reconcile": bind_reconcile,
}


class Finder:
    """Finds these modules as ever, and binds the steps in them once they are loaded."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in BINDINGS:
            return None
        spec = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def exec_module(module) -> None:
            execute(module)
            BINDINGS[name](module)

        spec.loader.exec_module = exec_module
        return spec


if FOLDER and ROLE:
    set_clock_by_file()
if FOLDER:
    sys.meta_path.insert(0, Finder)
