"""The root file system of a machine, made once by mmdebstrap: Debian, and an archive of packages.

The archive is what a machine's apt installs from, because machines of tests have no network. It has
the packages on which ours depend, and those of docs/install.md. None of them is installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

CACHE = Path(os.environ.get("VPNPORTAL_CACHE", "/var/cache/vpnportal"))
# The Debian of the machines, and of their packages: 12 or 13.
DEBIAN = int(os.environ.get("VPNPORTAL_MACHINES_DEBIAN", "12"))
UNUSED_SECONDS = 30 * 24 * 3600
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
NAMES = {12: "bookworm", 13: "trixie"}
# A small server as Debian's installer leaves it.
SYSTEM = (
    *("systemd-sysv", "dbus", "ifupdown", "iproute2", "iputils-ping", "procps"),
    *("ca-certificates", "curl"),
)
ARCHIVE = (
    *("postgresql", "redis-server", "nginx", "openssl"),
    *("python3", "libpq5", "libnftables1", "nftables"),
    *("charon-systemd", "strongswan-swanctl"),
    *("libstrongswan-standard-plugins", "libstrongswan-extra-plugins", "libcharon-extra-plugins"),
)
FOLDER = "/srv/archive"
HOOKS = (
    # On this machine, with the package lists of the new system.
    'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get --quiet --yes --download-only'
    f" --no-install-recommends install {' '.join(ARCHIVE)}",
    f'mkdir "$1{FOLDER}" && mv "$1"/var/cache/apt/archives/*.deb "$1{FOLDER}"',
    f'cd "$1{FOLDER}" && dpkg-scanpackages --multiversion . >Packages',
    f'echo "deb [trusted=yes] file:{FOLDER} ./" >"$1/etc/apt/sources.list"',
)


def root_file_system(debian: int) -> Path:
    """Return the folder with a Debian 12 or 13; make it if the cache has none of these packages."""
    sources = _sources(NAMES[debian])
    recipe = "\n".join((*SYSTEM, *HOOKS, *sources))
    name = f"machine-{debian}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    folder = CACHE / name
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "machines.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _remove_unused()
            new_folder = folder.with_suffix(".new")
            shutil.rmtree(new_folder, ignore_errors=True)
            _make(NAMES[debian], sources, new_folder)
            new_folder.rename(folder)
    os.utime(folder)
    return folder


def archive_of_upgrade(debian: int) -> Path:
    """Return the folder of an archive from which the Debian before can be upgraded to `debian`.

    It has each package of a machine with Debian `debian - 1`, and those that these need.
    """
    sources = _sources(NAMES[debian])
    installed = re.findall(
        r"^Package: (\S+)$",
        (root_file_system(debian - 1) / "var/lib/dpkg/status").read_text(),
        re.MULTILINE,
    )
    wanted = "\n".join(sorted({*installed, *SYSTEM, *ARCHIVE}))
    digest = hashlib.sha256("\n".join((wanted, *sources)).encode()).hexdigest()[:12]
    folder = CACHE / f"machine-{debian}-upgrade-{digest}"
    with (CACHE / "machines.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            new_folder = folder.with_suffix(".new")
            shutil.rmtree(new_folder, ignore_errors=True)
            _download(wanted.split(), sources, new_folder)
            new_folder.rename(folder)
    os.utime(folder)
    return folder


def _download(wanted: list[str], sources: list[str], folder: Path) -> None:
    """Fill a new folder with packages, as for a machine on which nothing is installed."""
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text("\n".join(sources) + "\n")
    options = {
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::State::Status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr[-3000:]}"
        return done.stdout

    run("apt-get", *words, "update")
    known = set(run("apt-cache", *words, "pkgnames").split())
    install = ("--yes", "--download-only", "--no-install-recommends", "install")
    run("apt-get", *words, *install, *(name for name in wanted if name in known))
    for package in (folder / "cache/archives").glob("*.deb"):
        package.rename(folder / package.name)
    for name in ("lists", "cache"):
        shutil.rmtree(folder / name)
    (folder / "Packages").write_text(run("dpkg-scanpackages", "--multiversion", "."))


def _make(name: str, sources: list[str], folder: Path) -> None:
    hooks = [f"--customize-hook={hook}" for hook in HOOKS]
    packages = f"--include={','.join(SYSTEM)}"
    build = ["mmdebstrap", "--variant=minbase", "--format=directory", packages, *hooks, name]
    # In namespaces of its own, so that neither its processes nor its mounts can stay behind.
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = ["setpriv", "--pdeathsig", "KILL", *unshare, *build, str(folder), *sources]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{shlex.join(build)}: {done.stderr[-3000:]}")


def _sources(name: str) -> list[str]:
    """Return the lines of a sources.list from which this machine gets Debian `name`."""
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    addresses = [target.rstrip("/") for target in targets]

    def source(archive: str, suite: str) -> str:
        address = next((item for item in addresses if item.endswith("/" + archive)), "")
        assert address, f"This machine has no package source that ends with /{archive}."
        return f"deb [signed-by={KEYRING}] {address} {suite} main"

    return [
        source("debian", name),
        source("debian", f"{name}-updates"),
        source("debian-security", f"{name}-security"),
    ]


def _remove_unused() -> None:
    """Remove the file systems that no test used for a month."""
    for folder in CACHE.glob("machine-*"):
        if time.time() - folder.stat().st_mtime > UNUSED_SECONDS:
            shutil.rmtree(folder)
