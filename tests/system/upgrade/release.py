"""A release of the portal on a machine: checked out, set up, started and stopped."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path

from tests.running_portal import ROOT, wait_for
from tests.system.upgrade.machine import CONCENTRATOR, Machine

REQUIREMENTS = "requirements.txt"
# The first page alone takes more than ten seconds in a guest on a busy machine.
START_SECONDS = 180


def check_out(commit: str, folder: Path) -> Path:
    """Write a commit of this clone into the folder, with a virtual environment, and return it.

    Raises AssertionError if the clone does not have the commit.
    """
    git = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT)]
    found = subprocess.run([*git, "cat-file", "-e", f"{commit}^{{commit}}"], capture_output=True)
    assert found.returncode == 0, (
        f"This clone lacks {commit}, which release.toml names as the release to upgrade from:"
        " fetch the whole history with `git fetch --unshallow --tags`."
    )
    folder.mkdir(parents=True)
    archive = subprocess.run([*git, "archive", commit], stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    _link_environment(folder)
    return folder


def _link_environment(folder: Path) -> None:
    """Give the release this checkout's .venv by links, which its bin/prepare takes for its own.

    If the release needs packages that this checkout does not pin, bin/prepare installs them into a
    copy by hard links: pip removes a file before it writes another one in its place, so the
    original stays as it is.
    """
    original, copy = (ROOT / ".venv").resolve(), folder / ".venv"
    stamp = copy / "prepared"
    pinned = {*_packages(ROOT / REQUIREMENTS), *_packages(ROOT / "requirements-dev.txt")}
    if _packages(folder / REQUIREMENTS) <= pinned:
        # A layer in memory, as in a guest of bin/kernel, would copy each file to make a hard link.
        copy.mkdir()
        for part in ("bin", "include", "lib", "lib64", "pyvenv.cfg"):
            (copy / part).symlink_to(original / part)
        checksums = _run_in(folder, "sha256sum", REQUIREMENTS).splitlines()
    else:
        subprocess.run(["cp", "--archive", "--link", str(original), str(copy)], check=True)
        checksums = stamp.read_text().splitlines()[1:]
        stamp.unlink()
    stamp.write_text("\n".join([str(folder), *checksums]) + "\n")


def _packages(file: Path) -> set[str]:
    """Return the packages that a file of requirements pins, without the comments."""
    lines = file.read_text().splitlines()
    return set(filter(None, (line.partition("#")[0].strip() for line in lines)))


def _run_in(folder: Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout


class Release:
    """The portal of one checkout. The laboratory does not stop with it."""

    def __init__(self, checkout: Path, machine: Machine) -> None:
        self.checkout, self.machine = checkout, machine

    def set_up(self) -> None:
        """Prepare the state folder as bin/run does: keys, migrations, digests, static files."""
        self._run("bin/prepare")
        if (self.checkout / "bin" / "database").exists():
            self._start_database()
            keys = ("manage.py", "keys", "--concentrators", CONCENTRATOR)
            self._run(".venv/bin/python", *keys)
            self._take_over_sqlite()
        else:
            self.manage("keys")
        password = ("--password-file", str(self.machine.password_file))
        commands = self.checkout / "vpnportal" / "management" / "commands"
        # The name in the release before.
        name = "setup" if (commands / "setup.py").exists() else "prepare_database"
        self.manage(name, *password, "--concentrators", CONCENTRATOR)

    def _start_database(self) -> None:
        self._run("bin/database", "make")
        self._database = self._start("bin/keep", "database", "bin/database", "serve")
        self._run("bin/database", "wait")

    def _take_over_sqlite(self) -> None:
        file = self.machine.state / "db" / "portal.sqlite3"
        if file.exists():
            self._run(
                *("env", f"VPNPORTAL_DATABASE={file}", "bin/as-portal"),
                *(".venv/bin/python", "manage.py", "migrate", "--verbosity", "0"),
            )
            self.manage("migrate", "--verbosity", "0")
            self.manage("copy", "--from", str(file))
            file.rename(file.with_suffix(".copied"))

    def make_laboratory(self) -> None:
        self._run(".venv/bin/python", "manage.py", "lab", "up")

    def manage(self, *arguments: str) -> str:
        """Return the output of a management command, run as the portal's user."""
        return self._run("bin/as-portal", ".venv/bin/python", "manage.py", *arguments)

    def start(self) -> None:
        """Start the processes of the Procfile as bin/run does; return when the pages answer."""
        honcho = (".venv/bin/python", "-m", "honcho", "--app-root", ".", "start", "--no-colour")
        self._honcho = self._start(*honcho)
        wait_for(self._answers, START_SECONDS)

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command that ends with this process."""
        with (self.machine.state / "log" / "honcho.log").open("a") as log:
            return subprocess.Popen(
                ["setsid", "setpriv", "--pdeathsig", "TERM", *command],
                cwd=self.checkout,
                env=self.machine.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        """Stop these processes and no other, so not the database."""
        self._honcho.terminate()
        self._honcho.wait(timeout=60)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.machine.url, timeout=10).close()  # noqa: S310 our own
        except OSError:
            return False
        return True

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.checkout,
            env=self.machine.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
