"""Ask for known faults of the pinned requirements, of OSV's service or of a local copy of its data.

advisories.py [--database PATH] REQUIREMENTS…

Without --database, pip-audit asks https://api.osv.dev. PATH is a folder with OSV's JSON files, or
OSV's archive `PyPI/all.zip`, for places without a network: a server on loopback answers the queries
of pip-audit from it. Exit status: 0 without a hit, 1 with hits, 2 if nothing could be asked.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

Advisory = dict[str, Any]
MAX_QUERY_BYTES = 1 << 16
NOTHING_ASKED = 2


class NoDatabase(Exception):
    """The database has no advisories, or cannot be read."""


class Database:
    """OSV's advisories for PyPI, by the canonical name of the package.

    Raises NoDatabase for a path without any: an empty database would find nothing in silence.
    """

    def __init__(self, path: Path) -> None:
        self._advisories: dict[str, list[Advisory]] = defaultdict(list)
        self.newest = ""
        try:
            for text in _texts(path):
                self._add(json.loads(text))
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise NoDatabase(f"{path} cannot be read: {error}") from None
        if not self._advisories:
            raise NoDatabase(f"{path} has no advisory for PyPI. Unpack OSV's PyPI/all.zip there.")

    def _add(self, advisory: Advisory) -> None:
        packages = (affected.get("package", {}) for affected in advisory.get("affected", []))
        names = {canonicalize_name(p["name"]) for p in packages if p.get("ecosystem") == "PyPI"}
        for name in names:
            self._advisories[name].append(advisory)
            self.newest = max(self.newest, str(advisory.get("modified", "")))

    def of(self, name: str, version: str) -> list[Advisory]:
        """Return the advisories that count for a version of a package."""
        canonical = canonicalize_name(name)
        return [a for a in self._advisories.get(canonical, ()) if _counts(a, canonical, version)]


def _texts(path: Path) -> Iterator[str | bytes]:
    if path.is_dir():
        yield from (file.read_bytes() for file in sorted(path.rglob("*.json")))
        return
    with zipfile.ZipFile(path) as archive:
        yield from (archive.read(name) for name in archive.namelist() if name.endswith(".json"))


def _counts(advisory: Advisory, name: str, version: str) -> bool:
    for affected in advisory.get("affected", []):
        package = affected.get("package", {})
        if package.get("ecosystem") != "PyPI" or canonicalize_name(package["name"]) != name:
            continue
        ranges = [r for r in affected.get("ranges", []) if r.get("type") == "ECOSYSTEM"]
        if version in affected.get("versions", []):
            return True
        with suppress(InvalidVersion):
            if any(_is_in(each.get("events", []), Version(version)) for each in ranges):
                return True
    return False


def _is_in(events: Iterable[dict[str, str]], version: Version) -> bool:
    """Return True if a range of OSV contains the version.

    https://ossf.github.io/osv-schema/#affectedrangesevents-fields
    """
    is_affected = False
    for event in sorted(events, key=lambda event: _at(next(iter(event.values())))):
        ((kind, text),) = event.items()
        if kind == "introduced" and version >= _at(text):
            is_affected = True
        elif (kind == "fixed" and version >= _at(text)) or (
            kind == "last_affected" and version > _at(text)
        ):
            is_affected = False
    return is_affected


def _at(text: str) -> Version:
    return Version("0.dev0" if text == "0" else text)


@contextmanager
def served(database: Database) -> Iterator[str]:
    """Answer queries of OSV's API during the block; provide the URL, on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = min(int(self.headers.get("Content-Length", 0)), MAX_QUERY_BYTES)
            query = json.loads(self.rfile.read(length))
            found = database.of(query["package"]["name"], query["version"])
            body = json.dumps({"vulns": found} if found else {}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet: pip-audit prints the results."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            server.shutdown()


def audit(requirements: Iterable[str], url: str = "") -> int:
    """Run pip-audit with OSV's service, or with another at a URL; return its exit status."""
    command = [sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv", "--strict"]
    command += ["--disable-pip", "--no-deps", "--progress-spinner", "off"]
    command += [f"--requirement={file}" for file in requirements]
    if url:
        command.append(f"--osv-url={url}")
    environment = {**os.environ, "NO_PROXY": "127.0.0.1"} if url else None
    return subprocess.run(command, env=environment, check=False).returncode


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Known faults of the pinned requirements.")
    parser.add_argument("--database", type=Path, help="folder or zip archive of OSV's JSON files")
    parser.add_argument("requirements", nargs="+")
    options = parser.parse_args()
    if options.database is None:
        return audit(options.requirements)
    try:
        database = Database(options.database)
    except NoDatabase as error:
        print(error, file=sys.stderr)
        return NOTHING_ASKED
    print(f"The newest advisory of {options.database} is of {database.newest[:10] or 'no day'}.")
    with served(database) as url:
        return audit(options.requirements, url)


if __name__ == "__main__":
    sys.exit(main())
