"""`bin/release` builds nothing from a commit that cannot be released, and says what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.running_portal import ROOT

CHANGELOG, RELEASE, REQUIREMENTS = "CHANGELOG.md", "release.toml", "requirements.txt"
ADVISORIES = "packaging/advisories.py"
AUTHOR = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")


class Checkout:
    """A clone of the project, in which a test commits a fault."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.advisories = folder.parent / "advisories"
        self.advise("some-other-package", fixed="1.0")
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        (folder / ".venv").symlink_to(ROOT / ".venv")
        # Also what is not committed yet.
        for name in ("bin/release", ADVISORIES, CHANGELOG, RELEASE, REQUIREMENTS):
            (folder / name).write_text((ROOT / name).read_text())
        self.commit()

    def git(self, *words: str) -> str:
        command = ["git", *AUTHOR, *words]
        return subprocess.run(
            command, cwd=self.folder, check=True, capture_output=True, text=True
        ).stdout

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "A change")

    def advise(self, package: str, **last: str) -> None:
        """Put an advisory of OSV into the local database; `last` is the end of its range."""
        self.advisories.mkdir(exist_ok=True)
        events = [{"introduced": "0"}, last]
        affected = {
            "package": {"ecosystem": "PyPI", "name": package},
            "ranges": [{"type": "ECOSYSTEM", "events": events}],
        }
        advisory = {"id": f"PYSEC-{package}", "modified": "2026-11-30", "affected": [affected]}
        (self.advisories / f"{package}.json").write_text(json.dumps(advisory))

    def replace(self, name: str, old: str, new: str) -> None:
        file = self.folder / name
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new, 1))
        self.commit()

    def release(self) -> list[str]:
        """Return what bin/release says about faults and their remedies."""
        done = subprocess.run(
            ["bin/release", "--advisories", str(self.advisories)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1, done.stdout + done.stderr
        assert "Nothing was built." in done.stdout
        lines = done.stdout.splitlines()
        return [
            f"{line.removeprefix('BAD').strip()} {remedy.strip()}"
            for line, remedy in pairwise(lines)
            if line.startswith("BAD")
        ]


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path / "checkout")


def current_version() -> str:
    return (ROOT / RELEASE).read_text().partition('version = "')[2].partition('"')[0]


def test_a_change_without_a_commit_is_not_released(checkout):
    (checkout.folder / "README.md").write_text("changed")

    assert checkout.release() == [
        "The checkout has changes that no commit has. "
        "Commit them, or remove them: only a commit is released."
    ]


def test_a_version_is_released_once_and_upwards(checkout):
    version = current_version()
    checkout.git("tag", f"v{version}")
    assert f"The tag v{version} exists." in checkout.release()[0]

    checkout.git("tag", "v99.0.0")
    checkout.replace(RELEASE, f'"{version}"', '"98.0.0"')
    assert checkout.release()[0].startswith("98.0.0 is older than v99.0.0.")


def test_the_changelog_and_the_upgrade_tell_of_this_version(checkout):
    checkout.git("tag", f"v{current_version()}")
    checkout.replace(RELEASE, f'"{current_version()}"', '"98.0.0"')
    (changelog, upgrade) = checkout.release()
    assert changelog.endswith("Write what is new in a chapter '## 98.0.0' above it.")
    assert upgrade.startswith(
        f"upgrades_from in release.toml is not the release before, v{current_version()}."
    )

    checkout.replace(CHANGELOG, "# Changelog\n", "# Changelog\n\n## 98.0.0\n")
    assert checkout.release()[0].startswith("CHANGELOG.md says nothing about 98.0.0.")


def test_a_loose_requirement_and_a_missing_migration_are_found(checkout):
    checkout.replace(REQUIREMENTS, "redis==", "redis>=")
    checkout.replace("vpnportal/models/accounts.py", "max_length=80, uniq", "max_length=81, uniq")

    # Only pinned requirements can be audited.
    migration, requirement, _ = checkout.release()

    assert migration.startswith("The models have changes without a migration")
    assert requirement.startswith("Not pinned with a comment: redis>=")


def test_a_requirement_with_a_known_fault_is_not_released(checkout):
    checkout.advise("redis", fixed="99.0")
    checkout.advise("gunicorn", fixed="0.1")

    (found,) = checkout.release()

    assert "Found 1 known vulnerability in 1 package" in found
    assert "PYSEC-redis 99.0" in " ".join(found.split())


def test_a_database_without_advisories_is_no_answer(tmp_path):
    command = [sys.executable, ROOT / ADVISORIES, "--database", tmp_path, ROOT / REQUIREMENTS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.startswith(f"{tmp_path} has no advisory for PyPI.")
