"""Run test files in kernels with ESP: `python -m tests.kernel_plane FILE… [-- pytest's arguments]`.

Boots guests with `bin/kernel run`. Each guest takes the next file from a folder that all share,
until none is left: long and short files spread by themselves. Files with a shared portal are taken
together. Prints a line for each file, the output of files with failures, and the totals. A
kernel that stops is started again for its files. Ends with 1 after a failure, and in CI after a
skipped test.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARE = Path("/mnt/share")
GUESTS, FILES_AT_ONCE = 2, 2
# For two portals, and for the files that all tests of a guest leave, which are in its memory, too.
# A guest with little of it left takes minutes for what takes seconds.
GUEST_MEBIBYTES = "4000"
# A file that takes longer has stopped. The slowest took 22 minutes on a machine under load.
FILE_SECONDS = 5400
# Begun first: at the end, one of them alone would keep the others' processors idle.
LONGEST = ("test_faults.py", "test_interruption.py", "test_upgrade.py", "test_diagnosis.py")
# A busy guest shows life within seconds.
SILENCE_SECONDS, MAX_RESTARTS = 120, 2
# A start of bin/run takes a minute, and several on a busy machine.
TEST_SECONDS = 600
# The mark of the files whose tests use one portal together.
SHARED_PORTAL = "mark.shared_portal"
KINDS = ("passed", "failed", "skipped")
# The section of pytest's output with the matrix of faults, up to the line of totals.
MATRIX = re.compile(r"^=+ faults at each step.*\n((?:.*\n)*?)(?==+ |\d+ (?:passed|failed))", re.M)


@dataclass(slots=True)
class Result:
    """The outcome of files: seconds, number of tests by kind, and the output of pytest.

    `files` are their names, separated by spaces.
    """

    files: str
    seconds: float = 0
    counts: Counter[str] = field(default_factory=Counter)
    output: str = ""
    status: int = 1

    @property
    def line(self) -> str:
        """The result as a line for people."""
        counts = ", ".join(f"{self.counts[kind]} {kind}" for kind in KINDS if self.counts[kind])
        *others, last = self.files.split()
        lines = [*others, f"{last:50} {counts or 'no result'} ({self.seconds:.0f} s)"]
        return "\n".join(lines)


def main() -> int:
    """Run the files of the command line in guests and return the exit status."""
    parser = argparse.ArgumentParser(prog="tests.kernel_plane")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--kernel", default="6.1")
    parser.add_argument("--reports", type=Path, help="a folder for the reports of pytest")
    parser.add_argument("--take", help=argparse.SUPPRESS)
    # Python ends with `finally` after an exit, but not after a signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    arguments, pytest_arguments = parser.parse_args(sys.argv[1:split]), sys.argv[split + 1 :]
    if arguments.take:
        return take_files(arguments.take, pytest_arguments)
    state = Path(os.environ.get("VPNPORTAL_STATE", ROOT / "var"))
    state.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kernel-", dir=state) as folder:
        status = run_files(arguments.files, arguments.kernel, pytest_arguments, Path(folder))
        if arguments.reports:
            shutil.rmtree(arguments.reports, ignore_errors=True)
            reports = shutil.ignore_patterns("*.log", "*.status")
            shutil.copytree(Path(folder) / "results", arguments.reports, ignore=reports)
        return status


def run_files(files: list[str], kernel: str, pytest_arguments: list[str], share: Path) -> int:
    """Run the files in guests, print the results, and return the exit status."""
    for name in ("queue", "taken", "results", "alive"):
        (share / name).mkdir()
    for number, together in enumerate(longest_first(files)):
        (share / "queue" / f"{number:03}").write_text(" ".join(together))
    allowed = os.sched_getaffinity(0)
    processors = cycle(random.sample([*allowed], len(allowed)))
    guests = [
        Guest(number, kernel, processor, share, pytest_arguments)
        for number, processor in zip(range(min(GUESTS, len(files))), processors, strict=False)
    ]
    results: dict[str, Result] = {}
    restarts = MAX_RESTARTS
    try:
        while True:
            print_results(share / "results", results)
            for guest in guests:
                if guest.has_stopped and (unfinished := guest.end()) and restarts:
                    restarts -= 1
                    print(f"A kernel has stopped. Started again: {unfinished}", flush=True)
                    guest.start()
            if not any(guest.is_running for guest in guests):
                break
            time.sleep(1)
    finally:
        for guest in guests:
            guest.end()
    print_results(share / "results", results)
    return print_totals(files, results)


class Guest:
    """A kernel that takes files, on one processor of the machine.

    User-mode Linux may stop without an end of its process. So the guest touches a file of `share`
    all the time.
    """

    def __init__(
        self, number: int, kernel: str, processor: int, share: Path, pytest_arguments: list[str]
    ) -> None:
        self._share, self._alive = share, share / "alive" / str(number)
        self._number = number
        run = (str(ROOT / "bin" / "kernel"), "run", "--kernel", kernel, "--share", str(share))
        memory = ("--memory", GUEST_MEBIBYTES)
        take = (sys.executable, "-m", "tests.kernel_plane", "--take", str(number), "--")
        self._command = (*run, *memory, "--processor", str(processor), *take, *pytest_arguments)
        self.start()

    def start(self) -> None:
        """Boot the kernel."""
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdin=subprocess.DEVNULL)
        self._seen_at, self._touched_at = time.monotonic(), 0.0

    @property
    def is_running(self) -> bool:
        """True until the kernel has ended."""
        return self._process.poll() is None

    @property
    def has_stopped(self) -> bool:
        """True if the kernel has ended, or gives no sign of life."""
        if not self.is_running:
            return True
        touched_at = self._alive.stat().st_mtime if self._alive.exists() else 0.0
        if touched_at != self._touched_at:
            self._seen_at, self._touched_at = time.monotonic(), touched_at
        return time.monotonic() - self._seen_at > SILENCE_SECONDS

    def end(self) -> str:
        """End the kernel; put the files back that it did not finish, and return their names."""
        self._process.terminate()
        self._process.wait()
        unfinished = []
        for taken in sorted((self._share / "taken").glob(f"*.{self._number}")):
            if not (self._share / "results" / f"{taken.stem}.status").exists():
                unfinished.append(taken.read_text())
                taken.rename(self._share / "queue" / taken.stem)
        return " ".join(unfinished)


def print_results(folder: Path, results: dict[str, Result]) -> None:
    """Print the results that are new, with the output of pytest after a failure."""
    for result in new_results(folder, results):
        print(result.line, flush=True)
        if matrix := MATRIX.search(result.output):
            print(matrix[0], end="", flush=True)
        if result.status:
            print(result.output, flush=True)


def longest_first(files: list[str]) -> list[list[str]]:
    """Return the files, the longest first, those with a shared portal together as one entry."""
    sharing = [file for file in files if SHARED_PORTAL in (ROOT / file).read_text()]
    entries = [sharing] if sharing else []
    entries += [[file] for file in files if file not in sharing]

    def place(entry: list[str]) -> tuple[int, int]:
        names = [Path(file).name for file in entry]
        rank = min(LONGEST.index(name) if name in LONGEST else len(LONGEST) for name in names)
        return rank, -sum((ROOT / file).stat().st_size for file in entry)

    return sorted(entries, key=place)


def new_results(folder: Path, results: dict[str, Result]) -> Iterator[Result]:
    """Yield the results that were written to the folder since the last call."""
    for done in sorted(folder.glob("*.status")):
        if done.stem in results:
            continue
        files, seconds, status = done.read_text().split("\n")
        counts = count_tests(folder / f"{done.stem}.xml")
        output = (folder / f"{done.stem}.log").read_text(errors="replace")
        results[done.stem] = Result(files, float(seconds), counts, output, int(status))
        yield results[done.stem]


def count_tests(report: Path) -> Counter[str]:
    """Return the number of tests by kind in a report of pytest; empty without a report."""
    counts: Counter[str] = Counter()
    if report.exists():
        for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314, pytest wrote it
            tags = {child.tag for child in case}
            failed = tags & {"failure", "error"}
            counts["failed" if failed else "skipped" if "skipped" in tags else "passed"] += 1
    return counts


def print_totals(files: list[str], results: dict[str, Result]) -> int:
    """Print what is missing and the totals; return the exit status."""
    missing = set(files) - {file for result in results.values() for file in result.files.split()}
    for file in sorted(missing):
        print(f"{file}: no result; its guest has ended")
    counts = sum((result.counts for result in results.values()), Counter())
    counts["failed"] += len(missing)
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    # pytest's 5: no test of the file was selected.
    bad = [result for result in results.values() if result.status not in (0, 5)]
    skipped = os.environ.get("CI") == "true" and counts["skipped"]
    return int(bool(missing or bad or skipped))


def take_files(guest: str, pytest_arguments: list[str]) -> int:
    """Run files from the shared queue in this guest until it is empty."""
    threading.Thread(target=_show_life, args=(SHARE / "alive" / guest,), daemon=True).start()
    takers = [
        threading.Thread(target=_take, args=(guest, number, pytest_arguments))
        for number in range(FILES_AT_ONCE)
    ]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    return 0


def _show_life(file: Path) -> None:
    file.touch()
    while True:
        # hostfs passes on explicit times only.
        os.utime(file, (time.time(), time.time()))
        time.sleep(1)


def _take(guest: str, number: int, pytest_arguments: list[str]) -> None:
    for entry in sorted((SHARE / "queue").iterdir()):
        taken = SHARE / "taken" / f"{entry.name}.{guest}"
        try:
            entry.rename(taken)
        except OSError:
            # Another guest has taken it.
            continue
        _run_files(taken.read_text(), SHARE / "results" / entry.name, number, pytest_arguments)


def _run_files(files: str, result: Path, number: int, pytest_arguments: list[str]) -> None:
    environment = {
        **os.environ,
        "VPNPORTAL_STATE": f"{os.environ.get('VPNPORTAL_STATE', ROOT / 'var')}/{number}",
        "VPNPORTAL_LAB": f"{os.environ.get('VPNPORTAL_LAB', 'vt')}{'ab'[number]}",
    }
    report = f"--junit-xml={result}.xml"
    command = [
        *(sys.executable, "-m", "pytest", "-q", f"--timeout={TEST_SECONDS}", report),
        *(*files.split(), *pytest_arguments),
    ]
    started_at = time.monotonic()
    with Path(f"{result}.log").open("w") as log:
        try:
            status = subprocess.run(
                command, env=environment, stdout=log, stderr=log, timeout=FILE_SECONDS
            ).returncode
        except subprocess.TimeoutExpired:
            status = 124
    text = f"{files}\n{time.monotonic() - started_at:.1f}\n{status}"
    Path(f"{result}.new").write_text(text)
    Path(f"{result}.new").rename(f"{result}.status")


if __name__ == "__main__":
    sys.exit(main())
