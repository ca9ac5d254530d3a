"""Files of root in /etc: written as a whole, with their owner and mode from the beginning.

All folders are root's, so no other user can put a link into them.
"""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECRET, PUBLIC = 0o600, 0o644


def write(file: Path, content: bytes, mode: int, owner: str = "root") -> bool:
    """Write a file unless it has this content, mode and owner. Return True after a change."""
    if _is_right(file, content, mode, owner):
        return False
    new_file = file.with_name(f".{file.name}.new")
    new_file.unlink(missing_ok=True)
    descriptor = os.open(new_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        if os.geteuid() == 0:
            user = pwd.getpwnam(owner)
            os.fchown(out.fileno(), user.pw_uid, user.pw_gid)
        os.fchmod(out.fileno(), mode)
        os.fsync(out.fileno())
    new_file.rename(file)
    return True


def _is_right(file: Path, content: bytes, mode: int, owner: str) -> bool:
    try:
        status = file.lstat()
        is_same = file.read_bytes() == content
    except FileNotFoundError:
        return False
    is_owner = os.geteuid() != 0 or status.st_uid == pwd.getpwnam(owner).pw_uid
    return is_same and is_owner and status.st_mode & 0o7777 == mode


def has_user(name: str) -> bool:
    """Return True if the system has a user. Without root, it counts as having all."""
    try:
        return os.geteuid() != 0 or bool(pwd.getpwnam(name))
    except KeyError:
        return False


def make_folder(folder: Path, group: str, mode: int) -> None:
    """Make a folder of root's with a group, unless it exists."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(folder, 0, grp.getgrnam(group).gr_gid)
    folder.chmod(mode)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait until no other process is in such a block with the folder (flock(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_settings(file: Path) -> dict[str, str]:
    """Return the variables of a file that systemd reads as EnvironmentFile; none without it."""
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if line.strip() and line[0] not in "#;")
    return {name.strip(): value.strip() for name, _, value in pairs}


def write_settings(file: Path, values: dict[str, str]) -> bool:
    """Write variables to a file that only root can read. Return True after a change."""
    text = "".join(f"{name}={value}\n" for name, value in values.items())
    return write(file, text.encode(), SECRET)
