"""The files that processes of root open, and the folders where another user could change them."""

from __future__ import annotations

import re
import signal
import stat
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.running_portal import wait_for

CALLS = "openat,openat2,open,creat,clone,clone3,fork,vfork,setuid,setreuid,setresuid"
# Kernel file systems, in which no user can put a link.
KERNEL = ("/proc/", "/sys/", "/dev/")


def writable_folder(path: str) -> Path | None:
    """Return the first folder above a path that a user other than root can write, or None."""
    for folder in reversed(Path(path).parents):
        with suppress(OSError):
            status = folder.stat()
            by_group = status.st_mode & stat.S_IWGRP and status.st_gid != 0
            if status.st_uid != 0 or by_group or status.st_mode & stat.S_IWOTH:
                return folder
    return None


def exchangeable(paths: Iterable[str]) -> dict[str, str]:
    """Return the paths that another user could lead elsewhere, each with the folder."""
    named = (path for path in paths if path.startswith("/") and not path.startswith(KERNEL))
    found = {path: writable_folder(path) for path in named}
    return {path: str(folder) for path, folder in found.items() if folder}


def open_files(pid: int) -> list[str]:
    """Return the paths that the descriptors of a process lead to."""
    paths = []
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                paths.append(str(entry.readlink()))
    return paths


@contextmanager
def opened_as_root(pids: Iterable[int], folder: Path) -> Iterator[list[str]]:
    """Trace processes of root, and those that they start, during the block.

    The list has the paths that they opened as root, after the block.
    """
    roots = list(pids)
    attach = [f"--attach={pid}" for pid in roots]
    command = ["strace", "-ff", "-y", "-qq", f"--trace={CALLS}", f"--output={folder}/t", *attach]
    opened: list[str] = []
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as strace:
        wait_for(lambda: all(_is_traced(pid) for pid in roots), 10)
        try:
            yield opened
        finally:
            strace.send_signal(signal.SIGINT)
    for pid in roots:
        opened += _read(folder, pid, 0)


def _is_traced(pid: int) -> bool:
    return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()


def _read(folder: Path, pid: int, user: int) -> Iterator[str]:
    """Yield the paths that a process, which began as this user, and its children opened as root."""
    file = folder / f"t.{pid}"
    if not file.exists():
        return
    for line in file.read_text(errors="replace").splitlines():
        name, _, rest = line.partition("(")
        result = rest.rpartition(" = ")[2]
        if name.startswith("set") and result == "0":
            users = [int(number) for number in re.findall(r"-?\d+", rest.partition(")")[0])]
            user = next((number for number in reversed(users[:2]) if number >= 0), user)
        elif name in ("clone", "clone3", "fork", "vfork") and result.isdigit():
            yield from _read(folder, int(result), user)
        elif user == 0 and (match := re.fullmatch(r"\d+<(.*)>", result)):
            yield match[1]
