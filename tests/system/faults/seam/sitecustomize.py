"""Fault seam: holds a process of the portal under test at a named step of an apply.

Python imports this module at the start of each process, through PYTHONPATH. The test writes the
name of a step into the file `armed`. The first process at that step writes its process id into the
file `here` and waits until `armed` is removed. Each process adds the seconds in the file `clock` to
the time of day. While the file `keep flows` exists, each deletion of flows fails. Without
VPNPORTAL_HOLDS the module does nothing.

The steps are bound by the names of modules and methods. A process does not start if a module of
BINDINGS does not exist. A worker writes a file `unbound NAME` for each module of BINDINGS and
removes the file when it has bound that module; Holds.require_bindings in ../steps.py checks them.
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
# The tasks worker has no part in an apply.
if "-Q" in sys.orig_argv and "portal" in sys.orig_argv:
    ROLE = ""
CHECKOUT = Path(__file__).resolve().parents[4]


class _Apply:
    """Progress of this process's apply; the steps count only during an apply."""

    under_way = translated = False


def reach(step: str) -> None:
    """Hold this process if the test has armed the step and holds no other process."""
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
    """Return the error of the clock in seconds."""
    return int(_read("clock") or 0)


class _Kind(type):
    """Metaclass that accepts datetimes made by C code as instances."""

    def __instancecheck__(cls, instance) -> bool:
        return isinstance(instance, _datetime)


class Shifted(_datetime, metaclass=_Kind):
    """A datetime class whose clock has the error of the file `clock`."""

    @classmethod
    def now(cls, tz=None):
        return _datetime.now(tz) + datetime.timedelta(seconds=_shift())

    @classmethod
    def utcnow(cls):
        return _datetime.utcnow() + datetime.timedelta(seconds=_shift())


def set_clock_by_file() -> None:
    """Shift the time of day, but not the monotonic clock, as `date --set` does."""
    time.time = lambda: _time() + _shift()
    time.time_ns = lambda: _time_ns() + _shift() * 1_000_000_000
    datetime.datetime = Shifted


def around(holder, name: str, *, before=None, after=None) -> None:
    """Call `before` and `after` around each call, with its arguments.

    Raises AttributeError if the holder has no such name.
    """
    if not hasattr(holder, name):
        raise AttributeError(f"The fault seam binds {holder}.{name}, which does not exist.")
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
    """Return a hook that holds a process of this role at the step, during an apply."""

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

    around(module, "mark_applying", before=received, after=at("started"))
    around(module, "mark_live", after=recorded)


def bind_session(module) -> None:
    original, secret = module.CharonSession.load, module.pipelined_load.Secret

    def load(self, items):
        """Yield each reply when it is read: that of a secret, then that of its connection."""
        for item, refusal in original(self, items):
            at("secret loaded" if isinstance(item, secret) else "loaded")()
            yield item, refusal

    module.CharonSession.load = load
    # An old SA is terminated when its successor is up, possibly in a later converge.
    around(
        module.CharonSession, "terminate", after=lambda *_: ROLE == "worker" and reach("terminated")
    )
    around(module.CharonSession, "initiate", after=at("initiated"))


def bind_driver(module) -> None:
    def observed(*_) -> None:
        at("observed again" if _Apply.translated else "observed")()

    def translated(*_) -> None:
        _Apply.translated = True
        at("translated")()

    around(module.GatewayDriver, "observe", after=observed)
    around(module.GatewayDriver, "_translate", after=translated)


def bind_conntrack(module) -> None:
    from vpnportal.gateway.errors import GatewayError

    def before(*_) -> None:
        at("maps changed")()
        if Path(FOLDER, "keep flows").exists():
            raise GatewayError("conntrack does not answer.")

    around(module.Conntrack, "delete_flows", before=before)


def bind_reconcile(module) -> None:
    def over(*_) -> None:
        _Apply.under_way = False

    around(module, "converge", after=over)


BINDINGS = {
    "vpnportal.tasks": bind_tasks,
    "vpnportal.reconciler.revision_outcomes": bind_outcomes,
    "vpnportal.gateway.vici.session": bind_session,
    "vpnportal.gateway.driver": bind_driver,
    "vpnportal.gateway.netfilter.conntrack": bind_conntrack,
    "vpnportal.reconciler.reconcile": bind_reconcile,
}


def unbound(name: str) -> Path:
    return Path(FOLDER, f"unbound {name}")


def check_modules() -> None:
    """Stop the process if a module of BINDINGS does not exist."""
    for name in BINDINGS:
        if not CHECKOUT.joinpath(*name.split(".")).with_suffix(".py").exists():
            # site.py prints an Exception and starts the process all the same, but not SystemExit.
            raise SystemExit(f"The fault seam binds the module {name}, which does not exist.")
    if ROLE == "worker":
        for name in BINDINGS:
            unbound(name).touch()


class Finder:
    """Import finder that binds the steps in a module of BINDINGS after its import."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in BINDINGS:
            return None
        spec = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def exec_module(module) -> None:
            execute(module)
            BINDINGS[name](module)
            if ROLE == "worker":
                unbound(name).unlink(missing_ok=True)

        spec.loader.exec_module = exec_module
        return spec


if FOLDER and ROLE:
    set_clock_by_file()
if FOLDER:
    check_modules()
    sys.meta_path.insert(0, Finder)
