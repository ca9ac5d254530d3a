"""Packages of this checkout's last commit, and of a release after it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.machines.debian import DEBIAN
from tests.running_portal import ROOT

# A field that a later release adds, so that the upgrade has a migration.
MIGRATION = """\
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("vpnportal", {previous!r})]
    operations = [
        migrations.AddField("tunnel", "later", models.TextField(default="", db_default="")),
    ]
"""


def clone(folder: Path) -> Path:
    """Return a clone of this checkout's last commit in a new folder."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    return folder


def build(checkout: Path, out: Path, debian: int = DEBIAN, **environment: str) -> list[Path]:
    """Build the packages of a checkout's last commit in `out`, and return their files."""
    done = subprocess.run(
        [str(checkout / "bin" / "package"), "--debian", str(debian), "--out", str(out)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Path(line) for line in done.stdout.splitlines()]


def make_next_release(
    checkout: Path,
    version: str = "99.0.0",
    migration: tuple[str, str] = ("9999_later", MIGRATION),
    **declared: str,
) -> None:
    """Commit a later version with a migration to a clone.

    `migration` is a name and a text. `declared` are other lines of release.toml.
    """
    release = checkout / "release.toml"
    text = release.read_text()
    for name, value in {"version": version, **declared}.items():
        text = re.sub(rf'^{name} = ".*"$', f'{name} = "{value}"', text, flags=re.MULTILINE)
    release.write_text(text)
    migrations = checkout / "vpnportal" / "migrations"
    previous = max(file.stem for file in migrations.glob("[0-9]*.py"))
    name, code = migration
    (migrations / f"{name}.py").write_text(code.format(previous=previous))
    author = ["-c", "user.name=test", "-c", "user.email=test@example.net"]
    subprocess.run(["git", "-C", str(checkout), "add", "--all"], check=True)
    commit = ["git", "-C", str(checkout), *author, "commit", "--quiet", "-m", "A later release"]
    subprocess.run(commit, check=True)
