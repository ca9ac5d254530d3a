"""The attacks of `test_privileges.py` on a process that opens the attacker's SQLite file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.running_portal import ROOT
from tests.system.privileges import sqlite_attack

# On the one processor of a guest, two folders rarely change places while SQLite opens a file.
pytestmark = pytest.mark.own_kernel


@pytest.mark.parametrize("kind", ["create", "delete", "overwrite"])
def test_s1_the_attacks_succeed_against_a_process_that_opens_the_file(tmp_path, kind):
    """Otherwise a portal that survives them would prove nothing."""
    (tmp_path / "db").mkdir()
    (tmp_path / "root").mkdir()
    database, victim = tmp_path / "db" / "portal.sqlite3", tmp_path / "root" / "victim"
    victim.write_bytes(b"root's own\n" * 1000)
    if kind == "create":
        victim.unlink()

    getattr(sqlite_attack, kind)(database, victim)

    def changed() -> bool:
        if kind == "overwrite":
            return victim.read_bytes().startswith(sqlite_attack.MARK)
        return victim.exists() == (kind == "create")

    def open_database() -> bool:
        with suppress(sqlite3.Error), closing(sqlite3.connect(database)) as opened:
            opened.execute("PRAGMA journal_mode=WAL")
            opened.execute("SELECT * FROM sqlite_master").fetchall()
        return changed()

    if kind == "overwrite":
        _exchange_until(database, open_database)
    else:
        open_database()
    assert changed()


def _exchange_until(database: Path, condition: Callable[[], bool]) -> None:
    """Let the folders change places in another process until the condition is true."""
    code = (
        "import sys; from pathlib import Path;"
        "from tests.system.privileges.sqlite_attack import exchange;"
        "exchange(Path(sys.argv[1]), until=lambda: False)"
    )
    deadline = time.monotonic() + 60
    with subprocess.Popen([sys.executable, "-c", code, str(database)], cwd=ROOT) as racer:
        try:
            while not condition():
                assert time.monotonic() < deadline
        finally:
            racer.kill()
