"""Prerequisites of a laboratory: each function returns a sentence for an unmet one, or None."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from lab.routing_daemons import BIRD
from lab.strongswan_conf import CHARON, CONCENTRATOR_GROUP, CONCENTRATOR_USER

# Each program or plugin, and its Debian package.
PROGRAMS = {
    "ip": "iproute2",
    "setpriv": "util-linux",
    "swanctl": "strongswan-swanctl",
    "nft": "nftables",
    CHARON: "strongswan-charon",
}
PLUGINS = {
    "openssl": "libstrongswan-standard-plugins",
    "gcrypt": "libstrongswan-extra-plugins",
    "kernel-libipsec": "libcharon-extra-plugins",
}
PLUGIN = "/usr/lib/ipsec/plugins/libstrongswan-{}.so"
TUN_DEVICE = "/dev/net/tun"
# Limit of a path in a Unix socket's address, see unix(7).
MAX_SOCKET_PATH_BYTES = 107


def missing_on_machine(router: bool = False) -> str | None:
    """Return a sentence if root, a package, a user, namespaces or the TUN device is missing.

    Otherwise None. In many containers root may not make namespaces. A router needs BIRD.
    """
    if os.geteuid() != 0:
        return "The laboratory needs root: only root can make network namespaces."
    if missing := _missing_packages({**PROGRAMS, BIRD: "bird2"} if router else PROGRAMS):
        return f"The laboratory needs these Debian packages: {', '.join(missing)}."
    try:
        pwd.getpwnam(CONCENTRATOR_USER), grp.getgrnam(CONCENTRATOR_GROUP)
    except KeyError:
        return "The laboratory needs the system users that bin/prepare makes."
    attempt = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True)
    if attempt.returncode:
        return "The laboratory needs namespaces, which root may not make on this machine."
    try:
        os.close(os.open(TUN_DEVICE, os.O_RDWR))
    except OSError as error:
        return f"The laboratory needs {TUN_DEVICE}, which cannot be opened: {error.strerror}."
    return None


def _missing_packages(programs: Mapping[str, str]) -> list[str]:
    missing = {package for name, package in programs.items() if not shutil.which(name)}
    plugins = {
        package for name, package in PLUGINS.items() if not Path(PLUGIN.format(name)).exists()
    }
    return sorted(missing | plugins)


def name_objection(prefix: str) -> str | None:
    """Return a sentence if the prefix is unsuitable for names of namespaces, or None."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", prefix):
        return (
            f"The name {prefix!r} is invalid: use up to 40 letters, digits, dashes and underscores."
        )
    return None


def folder_objection(folder: Path, socket: Path) -> str | None:
    """Return a sentence if the folder, or a socket's path in it, is unsuitable, or None."""
    if len(os.fsencode(socket)) > MAX_SOCKET_PATH_BYTES:
        return (
            f"The name of the folder {folder} is too long:"
            f" the path of a Unix socket in it would exceed {MAX_SOCKET_PATH_BYTES} bytes."
        )
    # Each charon has an empty /run of its own.
    if folder.resolve().is_relative_to("/run"):
        return f"The laboratory's folder {folder} must not be in /run."
    return None
