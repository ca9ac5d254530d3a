"""The signer's own record of each gateway: its open token, and the serials of its certificate.

A token is kept as SHA-256, counts for an hour and for one use, and belongs to one name.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

TOKEN_BYTES = 32
TOKEN_LIFETIME = timedelta(hours=1)


@dataclass(slots=True)
class Record:
    """A gateway as the signer knows it. The times are POSIX seconds, the serials hexadecimal.

    `serials` are those with which a renewal is accepted: the current one, and the one before, for
    a gateway that did not get the answer.
    """

    name: str
    token_sha256: str = ""
    token_until: float = 0
    serials: list[str] = field(default_factory=list)
    certificate_until: float = 0

    def open(self, now: datetime) -> str:
        """Return a new token, which replaces an earlier one."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self.token_sha256 = _digest(token)
        self.token_until = (now + TOKEN_LIFETIME).timestamp()
        return token

    def accepts(self, token: str, now: datetime) -> bool:
        """Return True for the open token, in the same time for each wrong one."""
        is_equal = hmac.compare_digest(_digest(token), self.token_sha256)
        return is_equal and now.timestamp() < self.token_until

    def close(self) -> None:
        """End the open token."""
        self.token_sha256, self.token_until = "", 0


class Registry:
    """The records in a folder of the signer's own, one JSON file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> Record | None:
        """Return the record of a gateway, or None. `name` must be that of a concentrator."""
        try:
            text = self._file(name).read_text()
        except FileNotFoundError:
            return None
        return Record(**json.loads(text))

    def save(self, record: Record) -> None:
        """Write a record, as a whole or not at all."""
        file = self._file(record.name)
        new_file = file.with_suffix(".new")
        descriptor = os.open(new_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            json.dump(asdict(record), out)
            out.flush()
            os.fsync(out.fileno())
        new_file.rename(file)

    def remove(self, name: str) -> bool:
        """Remove a record, so that neither its token nor its certificate counts any more."""
        try:
            self._file(name).unlink()
        except FileNotFoundError:
            return False
        return True

    def all(self) -> Iterator[Record]:
        """Yield all records, in the order of their names."""
        for file in sorted(self._folder.glob("*.json")):
            yield Record(**json.loads(file.read_text()))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
