"""The packages of bin/package: the same bytes from the same commit, and no error of lintian."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.machines.debian import CACHE
from tests.machines.packages import build, clone


@pytest.fixture(scope="module")
def packages(system: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the packages of this commit, built in a folder of their own."""
    folder = tmp_path_factory.mktemp("packages")
    return build(clone(folder / "checkout"), folder / "out")


def test_the_same_commit_gives_the_same_bytes_in_another_folder(packages, tmp_path):
    # The wheels are those of pip's index. The virtual environment and its modules are made again.
    cache = tmp_path / "cache"
    for wheels in CACHE.glob("python/wheels-*"):
        shutil.copytree(wheels, cache / "python" / wheels.name)

    again = build(
        clone(tmp_path / "a longer path" / "checkout"),
        tmp_path / "again",
        VPNPORTAL_CACHE=str(cache),
        TZ="Asia/Tokyo",
    )

    assert [package.name for package in packages] == [package.name for package in again]
    for package, other in zip(packages, again, strict=True):
        assert package.read_bytes() == other.read_bytes(), package.name


def test_lintian_finds_no_error(packages):
    done = subprocess.run(
        ["lintian", "--fail-on", "error", "--allow-root", *map(str, packages)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
