"""Upgrades of an installation and both ways back, by the commands of the guides."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.machines import install_guide, packages
from tests.machines.installation import Installation, run_steps
from tests.machines.machine import Machine
from tests.machines.packages import clone, make_next_release
from tests.running_portal import wait_for

LATER, REFUSING = "100.0.0", "101.0.0"
# Each kind of operation of the rule for migrations.
MIGRATION = """\
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("vpnportal", {previous!r})]
    operations = [
        migrations.AddField("account", "later", models.TextField(db_default="")),
        migrations.AddField("tunnel", "later_number", models.IntegerField(db_default=7)),
        migrations.AddField("revision", "later", models.TextField(null=True)),
        migrations.CreateModel(
            "Later",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("tunnel", models.ForeignKey("vpnportal.tunnel", models.CASCADE)),
            ],
        ),
    ]
"""
SPI = re.compile(r"^\s+(?:in|out)\s+([0-9a-f]{8})", re.MULTILINE)


def later_release(folder: Path) -> Path:
    """Return a clone with the release LATER, after those of the other tests."""
    checkout = clone(folder)
    make_next_release(checkout)
    make_next_release(checkout, LATER, ("9999_later_kinds", MIGRATION))
    return checkout


def refusing_release(folder: Path) -> Path:
    """Return a clone with the release REFUSING after LATER, to which no earlier one can return."""
    checkout = later_release(folder)
    another = packages.MIGRATION.replace('"later"', '"refusing"')
    make_next_release(checkout, REFUSING, ("9999_refusing", another), way_back=REFUSING)
    return checkout


def packages_of(machine: Machine, folder: Path) -> list[Path]:
    """Copy the packages in /root of a machine to a new folder, and return the files."""
    folder.mkdir()
    files = []
    for name in machine.script("ls /root/*.deb").split():
        file = folder / Path(name).name
        with file.open("wb") as out:
            subprocess.run(machine.command("cat", name), stdout=out, check=True)
        files.append(file)
    return files


def upgrade(installation: Installation, files: Sequence[Path]) -> None:
    """Upgrade the portal, then the gateways."""
    installation.bring(files)
    for machine in (installation.portal, *installation.gateways):
        run_steps(machine, install_guide.steps("Upgrades", "upgrade"))


def commands(chapter: str, machine: str) -> list[str]:
    """Return the commands of docs/operations.md for a machine."""
    found = install_guide.steps(chapter, machine, install_guide.OPERATIONS)
    assert found, (chapter, machine)
    return found


def version_of(machine: Machine) -> str:
    """Return the version of the packages of a machine, without the suffix of its Debian."""
    names = ["vpnportal"] + ["vpnportal-gateway"] * (machine.name != "portal")
    shown = machine.run("dpkg-query", "--show", "--showformat", "${Version} ", *names).split()
    (version,) = {each.partition("+")[0] for each in shown}
    return version


def charon(gateway: Machine) -> tuple[str, set[str]]:
    """Return the process id of charon, and the SPIs of its CHILD_SAs."""
    sas = gateway.run("swanctl", "--list-sas")
    return gateway.run("pidof", "charon-systemd").strip(), set(SPI.findall(sas))


def wait_until_all_are_online(installation: Installation) -> None:
    """Wait until the portal's pages show each gateway as online."""
    names = {gateway.name for gateway in installation.gateways}
    wait_for(lambda: installation.online() == names, 60)


def doctor(machine: Machine) -> dict[str, tuple[str, str]]:
    """Return the state of each check, and what it found, unless all is green."""
    found = json.loads(machine.run("vpnportal", "doctor", "--json", check=False))
    assert len(found) > 10
    return {
        each["name"]: (each["state"], each["found"]) for each in found if each["state"] != "green"
    }


def broken(machine: Machine) -> dict[str, tuple[str, str]]:
    """Return what doctor shows red, or could not find out."""
    return {
        name: (state, text)
        for name, (state, text) in doctor(machine).items()
        if state == "red" or text.startswith("unknown: ")
    }
