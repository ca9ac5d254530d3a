"""The doctor's runner, and its checks of files, disks, units and packages, with planted faults."""

from __future__ import annotations

import os
import time
from dataclasses import fields
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command

from tests.doctor import put_program
from tests.key_folder import use_keys
from vpnportal import encryption
from vpnportal.domain.gateway_config.desired import Secret
from vpnportal.domain.gateway_config.nat_elements import NatElement, NatElements, NatMap
from vpnportal.domain.planning.plan import Plan
from vpnportal.gateway.requirements import ipsec
from vpnportal.gateway.requirements.findings import Finding, Level, met, unmet
from vpnportal.management.commands import doctor as command
from vpnportal.management.doctor import all_checks, checks, configuration, gateway, machine
from vpnportal.management.doctor.checks import PORTAL, Check, Doctor
from vpnportal.management.finding_text import finding_text

POLICY = """charon-systemd:
  Installed: {installed}
  Candidate: {candidate}
  Version table:
strongswan-charon:
  Installed: (none)
  Candidate: 5.9.8-5+deb12u1
"""


@pytest.fixture(autouse=True)
def _keys(tmp_path, settings, monkeypatch):
    use_keys(settings, tmp_path / "keys")
    call_command("keys")
    monkeypatch.setattr(configuration, "CONFIGURATION", tmp_path / "etc")
    monkeypatch.setattr(checks, "connections", SimpleNamespace(close_all=lambda: None))


def run(check: Check, *others: Check) -> list[Finding]:
    return Doctor([check, *others]).findings(check.name)


def test_a_check_that_hangs_ends_at_its_limit_and_keeps_what_it_found():
    def hang():
        yield met("slow/first", "It is good.")
        time.sleep(60)

    began = time.monotonic()
    first, second = run(Check("slow", PORTAL, (hang,), seconds=0.2))

    assert time.monotonic() - began < 30
    assert first.text == "It is good."
    assert (second.level, second.text) == (Level.WARNING, "unknown: no answer within 0.2 s.")


def test_a_check_that_fails_is_unknown_and_its_message_is_not_shown():
    def fail():
        raise ValueError("rediss://portal:a-password@host")

    (finding,) = run(Check("broken", PORTAL, (fail,)))

    assert finding.level is Level.WARNING
    assert finding.text == "unknown: the check itself failed (ValueError)."


def test_a_check_is_not_done_if_it_needs_one_that_is_red_or_unknown():
    def fail():
        raise OSError("no route to host")

    needed = Check("needed", PORTAL, (fail,))
    (finding,) = run(
        Check("later", PORTAL, (lambda: [met("later", "Good.")],), ("needed",)), needed
    )

    assert finding.level is Level.WARNING
    assert finding.text == "unknown: it needs the check needed."
    assert finding.remedy == "First do what needed says."


def test_known_secrets_are_removed_from_every_finding(settings):
    settings.CELERY_BROKER_URL = "rediss://portal:canary%2Fpassword@localhost/0"
    key = settings.SEAL_KEY_FILE.read_text().strip()

    def tell():
        raise OSError(f"canary/password, canary%2Fpassword, {key} and {settings.SECRET_KEY}")

    (finding,) = run(Check("loud", PORTAL, (tell,)))

    assert finding.text == "unknown: …, …, … and …"


def test_a_name_of_a_unit_is_never_broken_into_two_lines():
    unit = "vpnportal-worker@hou02-vpn01.service"
    finding = unmet("applied_state", "It is not.", f"{'x' * 60} journalctl -u {unit}")

    lines = finding_text("red", finding).splitlines()

    assert any(unit in line for line in lines)
    assert max(map(len, lines)) <= 100


def test_every_check_has_a_name_of_its_own_for_each_machine_and_needs_existing_ones():
    for role in (checks.PORTAL, checks.GATEWAY, checks.EACH):
        chosen = all_checks.checks_of(role)
        names = [check.name for check in chosen]
        assert len(names) == len(set(names)) >= 14
        assert {need for check in chosen for need in check.need} <= set(names)


@pytest.mark.parametrize(
    ("role", "concentrator", "has_key", "machines"),
    [
        ("", "", True, {"portal"}),
        ("", "", False, {"portal"}),
        ("", "hou02-vpn01", False, {"gateway"}),
        ("", "hou02-vpn01", True, {"portal", "gateway"}),
        ("portal", "hou02-vpn01", True, {"portal"}),
        ("gateway", "", False, {"gateway"}),
    ],
)
def test_a_machine_is_known_by_its_settings(settings, role, concentrator, has_key, machines):
    settings.MACHINE, settings.CONCENTRATOR = role, concentrator
    settings.SECRET_KEY = "a" if has_key else ""

    assert command.machines_here() == machines


@pytest.mark.parametrize(
    ("setting", "options", "text"),
    [
        (
            "portal",
            ["--only", "disks"],
            "There is no check disks for a portal. The checks are back",
        ),
        ("portal", ["--only", "requirements"], "no check requirements for a portal"),
        ("router", [], "VPNPORTAL_MACHINE must be portal or gateway"),
    ],
)
def test_a_wrong_use_says_what_would_be_right(settings, setting, options, text):
    settings.MACHINE = setting

    with pytest.raises(CommandError, match=text) as refused:
        call_command("doctor", *options)
    assert refused.value.returncode == 2


def key_fault(name: str, settings) -> None:
    file = settings.KEYS / name
    file.chmod(0o644)


def damaged_line(settings) -> None:
    settings.SEAL_KEY_FILE.write_text("no base64 line\n")
    encryption.forget_keys()


def other_owner(settings) -> None:
    os.chown(settings.FINGERPRINT_KEY_FILE, 4321, -1)


def open_folder(settings) -> None:
    settings.KEYS.chmod(0o777)


def lost_session_key(settings) -> None:
    settings.SECRET_KEY = ""


def lost_seal_key(settings) -> None:
    settings.SEAL_KEY_FILE.unlink()
    encryption.forget_keys()


def link(settings) -> None:
    file = settings.FINGERPRINT_KEY_FILE
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


def readable_passwords(settings) -> None:
    folder = configuration.CONFIGURATION
    folder.mkdir()
    (folder / "portal.env").write_text("VPNPORTAL_BROKER=rediss://x\n")
    (folder / "portal.env").chmod(0o644)


@pytest.mark.parametrize(
    ("plant", "name", "text"),
    [
        (lambda settings: key_fault("session.key", settings), "session.key", "the mode 0644"),
        (lambda settings: key_fault("seal.key", settings), "seal.key", "the mode 0644"),
        (damaged_line, "seal.key", "needs a base64 key of 32 bytes on each line"),
        (lost_seal_key, "seal.key", "There is no key file"),
        (lost_session_key, "session.key", "no user can sign in"),
        (other_owner, "fingerprint.key", "belongs to the user 4321, who can replace it"),
        (link, "fingerprint.key", "is no regular file"),
        (open_folder, "folder", "the mode 0777: others can replace its files"),
        (readable_passwords, "portal.env", "it has secrets, and only root may read it"),
    ],
)
def test_a_fault_of_a_key_file_is_red(settings, plant, name: str, text: str):
    if plant in (other_owner, readable_passwords) and os.geteuid():
        pytest.skip("only root gives files away")
    before = {finding.level for finding in configuration.portal_keys()}
    plant(settings)
    found = {finding.requirement: finding for finding in configuration.portal_keys()}

    wrong = found.pop(f"keys/{name}")
    assert before == {Level.OK} == {finding.level for finding in found.values()}
    assert (wrong.level, text in wrong.text) == (Level.ERROR, True), wrong
    assert wrong.remedy


@pytest.mark.parametrize(
    ("free", "free_inodes", "level"),
    [(50, 50, Level.OK), (9, 50, Level.WARNING), (50, 9, Level.WARNING), (2, 50, Level.ERROR)],
)
def test_a_full_disk_is_found(monkeypatch, settings, tmp_path, free, free_inodes, level):
    full = SimpleNamespace(
        f_bavail=free, f_blocks=100, f_frsize=10**9, f_favail=free_inodes, f_files=100
    )
    monkeypatch.setattr(machine.os, "statvfs", lambda path: full)
    settings.STATE = tmp_path / "not made yet"

    found = {finding.requirement: finding for finding in machine.portal_disks()}

    assert set(found) >= {"disk/state", "disk/log"}
    assert {finding.level for finding in found.values()} == {level}
    assert f"{free} % ({free}.0 GB) and {free_inodes} % of inodes free" in found["disk/log"].text


@pytest.mark.parametrize(
    ("files", "level", "text"),
    [
        (
            {"2026-12-01.tar": 5, "2026-11-30.tar": 29},
            Level.OK,
            "The newest is 2026-12-01.tar, 5 hours",
        ),
        (
            {"2026-12-01.tar": 49, "settings.tar": 1},
            Level.WARNING,
            "The newest is 2026-12-01.tar, 49 hours old",
        ),
        ({"2026-12-01.tar.new": 1}, Level.WARNING, "There is no backup in"),
        ({}, Level.WARNING, "There is no backup in"),
    ],
)
def test_the_age_of_the_newest_backup_is_found(settings, tmp_path, files, level, text):
    settings.BACKUPS = tmp_path / "backups"
    if files:
        settings.BACKUPS.mkdir()
    for name, hours in files.items():
        (settings.BACKUPS / name).touch()
        at = time.time() - hours * 3600
        os.utime(settings.BACKUPS / name, (at, at))

    (finding,) = machine.backup()

    assert (finding.level, text in finding.text) == (level, True), finding


def shown(state: str, pid: str = "self") -> str:
    return f"printf 'LoadState=loaded\\nActiveState={state}\\nMainPID={pid}\\n'"


@pytest.mark.parametrize(
    ("script", "capabilities", "level", "text"),
    [
        (shown("active"), "", Level.OK, "It is active."),
        (shown("failed"), "", Level.ERROR, "It is failed."),
        (shown("active"), "It lacks one.", Level.ERROR, "It lacks one."),
        ("echo LoadState=not-found", "", Level.WARNING, "unknown: systemd has no such unit here."),
        (
            "echo no bus >&2; exit 1",
            "",
            Level.WARNING,
            "unknown: systemctl does not answer: no bus",
        ),
    ],
)
def test_a_unit_that_does_not_run_or_may_do_too_much_is_found(
    monkeypatch, settings, tmp_path, script, capabilities, level, text
):
    put_program(tmp_path / "bin", "systemctl", script, monkeypatch)
    monkeypatch.setattr(machine, "SYSTEMD", tmp_path)
    monkeypatch.setattr(machine, "_wrong_capabilities", lambda pid: capabilities)
    settings.CONCENTRATOR = "hou02-vpn01"

    worker, *others = machine.gateway_units()

    assert worker.requirement == "units/vpnportal-worker@hou02-vpn01"
    assert (worker.level, worker.text) == (level, text)
    assert [finding.requirement for finding in others][-1] == "units/strongswan"


@pytest.mark.parametrize(
    ("effective", "bounding", "text"),
    [
        (0x3000, 0x3000, ""),
        (0x1000, 0x3000, "Its process lacks CAP_NET_ADMIN or CAP_NET_RAW."),
        (0x3000, 0x3001, "Its process has more capabilities than"),
    ],
)
def test_a_gateways_process_has_two_capabilities(monkeypatch, effective, bounding, text):
    status = f"Name:\tpython\nCapEff:\t{effective:016x}\nCapBnd:\t{bounding:016x}\n"
    monkeypatch.setattr(Path, "read_text", lambda path: status)

    assert machine._wrong_capabilities("1").startswith(text)
    assert bool(machine._wrong_capabilities("1")) == bool(text)


def test_a_machine_without_systemd_has_units_of_unknown_state(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "SYSTEMD", tmp_path / "none")

    (finding,) = machine.portal_units()

    assert finding.level is Level.WARNING
    assert finding.text == "unknown: this machine is not run by systemd."


@pytest.mark.parametrize(
    ("installed", "candidate", "running", "level", "text"),
    [
        ("5.9.8-5+deb12u1", "5.9.8-5+deb12u1", "5.9.8", Level.OK, "charon 5.9.8 runs, from charon"),
        ("5.9.8-5", "5.9.8-5+deb12u1", "5.9.8", Level.WARNING, "and Debian has 5.9.8-5+deb12u1."),
        ("6.0.1-6", "6.0.1-6", "5.9.8", Level.WARNING, "charon 5.9.8 runs, and the package"),
        ("6.0.1-6", "6.0.1-6", "", Level.WARNING, "unknown: charon does not answer."),
        ("(none)", "6.0.1-6", "6.0.1", Level.WARNING, "unknown: charon is not from a package"),
    ],
)
def test_an_old_charon_is_found(monkeypatch, tmp_path, installed, candidate, running, level, text):
    policy = POLICY.format(installed=installed, candidate=candidate)
    put_program(tmp_path / "bin", "apt-cache", f"cat <<'END'\n{policy}END", monkeypatch)
    charon = ipsec.Charon(version=running)
    monkeypatch.setattr(ipsec.Charon, "read", classmethod(lambda cls, socket: charon))

    (finding,) = gateway.charon_version()

    assert (finding.level, text in finding.text) == (level, True), finding


def test_without_apt_the_newest_charon_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    (finding,) = gateway.charon_version()

    assert finding.level is Level.WARNING
    assert finding.text == "unknown: apt-cache is absent or does not answer."


def test_a_plan_is_told_in_words_and_without_a_secret():
    assert gateway.VERBS.keys() == {step.name for step in fields(Plan)}
    element = NatElement(NatMap.INBOUND, 0x0A01FF5C, 0xC0A80A0F)
    source = SimpleNamespace(preshared_key="canary")
    plan = Plan(
        write_rules=True,
        tunnel_route_over="public",
        add_addresses=(IPv4Address("10.2.0.1"),),
        load_secrets=(Secret("ctx1-0000", "ctx1", (), source),),
        unload_connections=("ctx2",),
        add_elements=NatElements.from_elements([element]),
    )

    steps = list(gateway.steps_of(plan))

    assert steps == [
        "write the rules",
        "add the route into tunnels over public",
        "add the address 10.2.0.1",
        "load the preshared key of ctx1",
        "unload the connection ctx2",
        "add the translation 10.1.255.92 to 192.168.10.15",
    ]
