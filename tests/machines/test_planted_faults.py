"""`vpnportal doctor` on installed machines: each planted fault has its sentence, and then is green.

The faults of a round are planted, looked at and mended at once, because each look takes seconds.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.machines.installation import Installation
from tests.machines.machine import Machine
from tests.machines.planted import CLOCK, CLOCK_FILE, FIRST, SECOND, Fault, Finding
from tests.machines.planted_rounds import FAULTS, ROUNDS
from tests.running_portal import wait_for

# The order of planting: a stopped worker repairs nothing, and sends nothing to the portal.
ORDER = ("first", "second", "portal")
# Certificates of 0.0001 days end after 9 s. A worker has its first full converge soon after it.
PLANTED_SECONDS, MENDED_SECONDS = 40, 90
STATUS = {"green": 0, "yellow": 1, "red": 2}
DOCTOR = "vpnportal doctor --json --only {} && status=0 || status=$?; echo $status"


@dataclass(frozen=True, slots=True)
class Report:
    """The findings of `doctor` by name, and its exit status."""

    findings: dict[str, list[dict[str, str]]]
    status: int

    def has(self, finding: Finding) -> bool:
        """Return True if a finding is there, with its state and both sentences."""
        return any(
            (each["state"], finding.found in each["found"], finding.advice in each["advice"])
            == (finding.state, True, True)
            for each in self.findings.get(finding.name, ())
        )

    def is_green(self, finding: Finding) -> bool:
        """Return True if all findings of a name are green, and there is one."""
        found = self.findings.get(finding.name, ())
        return bool(found) and all(each["state"] == "green" for each in found)

    @property
    def worst(self) -> int:
        """The exit status that fits the findings."""
        return max(STATUS[each["state"]] for found in self.findings.values() for each in found)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The reports before a fault, with it, and after it was mended."""

    before: Report
    planted: Report
    mended: Report


def examine(machine: Machine, names: Iterable[str]) -> Report:
    """Run `doctor` with the checks of these findings."""
    checks = sorted({name.partition("/")[0] for name in names})
    *lines, status = machine.script(DOCTOR.format(" ".join(checks))).splitlines()
    findings: dict[str, list[dict[str, str]]] = {}
    for each in json.loads("\n".join(lines)):
        findings.setdefault(each["name"], []).append(each)
    return Report(findings, int(status))


class Round:
    """The faults of a round on the machines of an installation."""

    def __init__(self, machines: dict[str, Machine], faults: tuple[Fault, ...]) -> None:
        self._machines = machines
        self._faults = faults

    def play(self) -> dict[str, Outcome]:
        """Plant all faults, look, mend them, look again, and return the reports."""
        before = self._until(Report.is_green, MENDED_SECONDS)
        try:
            for on in ORDER:
                self._run(on, [fault.plant for fault in self._faults if fault.on == on])
            planted = self._until(Report.has, PLANTED_SECONDS)
        finally:
            for on in reversed(ORDER):
                mends = [fault.mend for fault in self._faults if fault.on == on]
                self._run(on, mends[::-1])
        statuses = {on: report.status for on, report in before.items()}
        mended = self._until(
            lambda report, finding: (
                report.is_green(finding) and report.status == statuses[finding.on]
            ),
            MENDED_SECONDS,
        )
        return {
            fault.name: Outcome(*(look[fault.finding.on] for look in (before, planted, mended)))
            for fault in self._faults
        }

    def _run(self, on: str, scripts: list[str]) -> None:
        if scripts:
            self._machines[on].script("\n".join(scripts))

    def _until(
        self, is_seen: Callable[[Report, Finding], bool], seconds: float
    ) -> dict[str, Report]:
        """Look at the machines of the round until all is seen, and return the last reports."""
        deadline = time.monotonic() + seconds
        findings = [fault.finding for fault in self._faults]
        on = sorted({finding.on for finding in findings})
        while True:
            with ThreadPoolExecutor() as pool:
                reports = dict(zip(on, pool.map(self._look, on), strict=True))
            missing = [each for each in findings if not is_seen(reports[each.on], each)]
            if not missing or time.monotonic() > deadline:
                return reports

    def _look(self, on: str) -> Report:
        names = [fault.finding.name for fault in self._faults if fault.finding.on == on]
        return examine(self._machines[on], names)


@pytest.fixture(scope="module")
def outcomes(installed: Installation, tmp_path_factory) -> dict[str, Outcome]:
    """Return the reports of `doctor` about each fault, by its name."""
    first, second = installed.gateways
    machines = {"portal": installed.portal, "first": first, "second": second}
    assert installed.apply() == "live"
    wait_for(lambda: installed.online() == {FIRST, SECOND}, 60)
    installed.portal.run("systemctl", "start", "vpnportal-backup.service")
    library = compiled(tmp_path_factory.mktemp("clock"))
    command = second.command("sh", "-c", f"cat >{CLOCK_FILE}")
    subprocess.run(command, input=library.read_bytes(), check=True)
    seen: dict[str, Outcome] = {}
    for faults in ROUNDS:
        began = time.monotonic()
        seen |= Round(machines, faults).play()
        print(f"{len(faults)} faults: {time.monotonic() - began:.0f} s")
    return seen


def compiled(folder: Path) -> Path:
    """Return the library that sets the clock of programs ahead."""
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(CLOCK)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return library


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found_with_what_to_do_and_green_after_it_was_mended(outcomes, fault):
    seen, finding = outcomes[fault.name], fault.finding

    assert seen.before.is_green(finding), seen.before.findings.get(finding.name)
    assert seen.planted.has(finding), seen.planted.findings.get(finding.name)
    assert seen.planted.status == seen.planted.worst >= STATUS[finding.state]
    assert seen.mended.is_green(finding), seen.mended.findings.get(finding.name)
    assert seen.mended.status == seen.mended.worst == seen.before.status


def test_a_ping_is_answered_after_all_faults_were_mended(outcomes, installed):
    wait_for(installed.ping, 60)
    assert installed.apply() == "live"
