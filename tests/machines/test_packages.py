"""The packages of bin/package: the same bytes from the same commit, and no error of lintian."""

from __future__ import annotations

import subprocess

from tests.machines.packages import build, clone


def test_the_same_commit_gives_the_same_bytes_in_another_folder(tmp_path):
    first = build(clone(tmp_path / "checkout"), tmp_path / "one")

    second = build(clone(tmp_path / "a longer" / "path"), tmp_path / "two")

    assert [package.name for package in first] == [package.name for package in second]
    for package, again in zip(first, second, strict=True):
        assert package.read_bytes() == again.read_bytes(), package.name


def test_lintian_finds_no_error(tmp_path):
    packages = build(clone(tmp_path / "checkout"), tmp_path)

    done = subprocess.run(
        ["lintian", "--fail-on", "error", "--allow-root", *map(str, packages)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
