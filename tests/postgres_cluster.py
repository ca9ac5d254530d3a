"""A PostgreSQL cluster of the tests' own, which ends with the process that started it.

As a command, `python tests/postgres_cluster.py` makes a cluster in a new temporary folder, prints
the URL of its database and serves until its standard input closes. That also happens to a process
that is killed, so neither the server nor the folder stays. As root, the server runs as the user
`postgres`, because PostgreSQL refuses to run as root.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Nothing of a cluster has to survive a crash. A deadlock is found sooner than after a second.
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "deadlock_timeout": "200ms",
    "log_min_messages": "fatal",
}
START_SECONDS = 60
USER = "postgres"


class PostgresCluster:
    """A running cluster. `url` is that of a database, which a test may make, at its socket."""

    def __init__(self) -> None:
        # Its own session: Ctrl-C must not end the server before the tests have finished.
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._server.stdout
        self.url = self._server.stdout.readline().strip()
        if not self.url:
            raise RuntimeError("PostgreSQL did not start.")

    def stop(self) -> None:
        """End the server and remove its folder."""
        self._server.communicate()


def programs() -> Path | None:
    """Return the folder of the newest PostgreSQL of Debian, or of another on the PATH, or None."""
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    versions = {
        int(folder.parent.name): folder for folder in folders if (folder / "initdb").exists()
    }
    if versions:
        return versions[max(versions)]
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


def serve() -> int:
    """Make a cluster, print its URL and wait for the end of the standard input."""
    folder = Path(tempfile.mkdtemp(prefix="vpnportal-postgres-"))
    try:
        return _serve(folder)
    finally:
        shutil.rmtree(folder)


def _serve(folder: Path) -> int:
    bin_folder = programs()
    if bin_folder is None:
        sys.stderr.write("There is no PostgreSQL: bin/prepare --tests installs it.\n")
        return 1
    if os.geteuid() == 0:
        shutil.chown(folder, USER, USER)
    made = _run_as_server(
        *(bin_folder / "initdb", "--pgdata", folder / "data", "--username", USER),
        *("--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
    )
    output, _ = made.communicate()
    if made.returncode:
        sys.stderr.buffer.write(output)
        return 1
    options = [f"--{name}={value}" for name, value in SETTINGS.items()]
    server = _run_as_server(bin_folder / "postgres", "-D", folder / "data", "-k", folder, *options)
    try:
        if not _wait_for_socket(server, folder):
            sys.stderr.buffer.write(server.communicate()[0])
            return 1
        sys.stdout.write(f"postgresql://{USER}@/vpnportal?host={folder}\n")
        sys.stdout.flush()
        sys.stdin.read()
        return 0
    finally:
        # SIGQUIT is the immediate shutdown, without a checkpoint.
        server.send_signal(signal.SIGQUIT)
        server.wait()


def _run_as_server(*words: str | Path) -> subprocess.Popen[bytes]:
    """Start a program of PostgreSQL, which ends if this process is killed."""
    user = ("--reuid", USER, "--regid", USER, "--clear-groups") if os.geteuid() == 0 else ()
    return subprocess.Popen(
        ["setpriv", *user, "--pdeathsig", "QUIT", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
    )


def _wait_for_socket(server: subprocess.Popen[bytes], folder: Path) -> bool:
    """Return True once the server accepts connections, False if it ended."""
    deadline = time.monotonic() + START_SECONDS
    pid_file = folder / "data" / "postmaster.pid"
    while server.poll() is None and time.monotonic() < deadline:
        # The server writes its state to the last line of the file.
        if pid_file.exists() and pid_file.read_text().rstrip().endswith("ready"):
            return True
        time.sleep(0.02)
    return False


if __name__ == "__main__":
    sys.exit(serve())
