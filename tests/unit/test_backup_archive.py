"""The file of a backup: a truncated, changed or foreign file is refused, whatever its sizes say."""

from __future__ import annotations

import os
import tarfile
from io import BytesIO

import pytest

from vpnportal.management.database_backup.archive import (
    BackupError,
    Manifest,
    read_archive,
    sha256_of,
    write_archive,
)


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> bytes:
    """Return a backup of random bytes."""
    folder = tmp_path_factory.mktemp("sample")
    (folder / "dump").write_bytes(os.urandom(90_000))
    out = BytesIO()
    write_archive(
        out,
        Manifest(
            "1.0.0",
            "2026-01-01T00:00:00+00:00",
            "sqlite",
            "3",
            {"auth": "0001"},
            {"t": 1},
            90_000,
            sha256_of(folder / "dump"),
        ),
        folder / "dump",
    )
    return out.getvalue()


def cut(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


def cut_in_the_manifest(content: bytes) -> bytes:
    return content[:700]


def flip(at: int):
    def damage(content: bytes) -> bytes:
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    damage.__name__ = f"flip_{at}"
    return damage


def flip_in_the_dump(content: bytes) -> bytes:
    return flip(len(content) * 2 // 3)(content)


def members(content: bytes) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(fileobj=BytesIO(content)) as archive:
        return [(member, archive.extractfile(member).read()) for member in archive]


def tar_of(found: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for member, content in found:
            archive.addfile(member, BytesIO(content))
    return out.getvalue()


def with_a_third_member(content: bytes) -> bytes:
    return tar_of([*members(content), (tarfile.TarInfo("more"), b"")])


def with_a_foreign_member_first(content: bytes) -> bytes:
    return tar_of([(tarfile.TarInfo("../../etc/passwd"), b""), *members(content)])


def with_a_link_as_its_dump(content: bytes) -> bytes:
    manifest, (dump, _) = members(content)
    dump.type, dump.linkname, dump.size = tarfile.SYMTYPE, "/etc/shadow", 0
    return tar_of([manifest, (dump, b"")])


def with_a_huge_manifest(content: bytes) -> bytes:
    (manifest, _), dump = members(content)
    manifest.size = 2 << 20
    return tar_of([(manifest, b" " * manifest.size), dump])


def with_a_huge_extended_header(content: bytes) -> bytes:
    """Begin with a header that `tarfile` would read into memory."""
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 1 << 40
    return header.tobuf(tarfile.GNU_FORMAT) + content


def with_another_time(content: bytes) -> bytes:
    return content.replace(b"2026-01-01T", b"2026-01-02T")


def text(_: bytes) -> bytes:
    return b"no backup" * 999


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut, "ends too early"),
        (cut_in_the_manifest, "ends too early"),
        (flip(10), "no backup of a portal, or it is damaged"),
        (flip(700), "manifest.json in the backup is damaged"),
        (with_another_time, "manifest.json in the backup is damaged"),
        (flip_in_the_dump, "its SHA-256 differs"),
        (with_a_third_member, "more members than"),
        (with_a_foreign_member_first, "has the member '../../etc/passwd' in place of manifest"),
        (with_a_link_as_its_dump, "no regular file"),
        (with_a_huge_manifest, "is larger than"),
        (with_a_huge_extended_header, "no regular file"),
        (text, "no backup of a portal"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused_by_its_bytes(sample, tmp_path, damage, words):
    (tmp_path / "damaged").write_bytes(damage(sample))

    with (tmp_path / "damaged").open("rb") as stream, pytest.raises(BackupError) as error:
        read_archive(stream, tmp_path / "dump")
    assert words in str(error.value)
