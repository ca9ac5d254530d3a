"""Why a laboratory cannot be made on this machine, or in this folder, in words."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from lab.strongswan_conf import CHARON

# What has to be there, and the Debian package it comes in.
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
# The longest path that fits into a Unix socket's address, see unix(7).
LONGEST_SOCKET = 107


def missing_on_machine() -> str | None:
    """What it lacks: root, packages, or what root may do (in many containers it may not)."""
    if os.geteuid() != 0:
        return "The laboratory needs root, which alone may make network namespaces."
    if missing := _missing_packages():
        return f"The laboratory needs these Debian packages: {', '.join(missing)}."
    attempt = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True)
    if attempt.returncode:
        return "The laboratory needs namespaces, and this machine does not let root make them."
    try:
        os.close(os.open(TUN_DEVICE, os.O_RDWR))
    except OSError as error:
        return f"The laboratory needs {TUN_DEVICE}, which cannot be opened: {error.strerror}."
    return None


def _missing_packages() -> list[str]:
    programs = {package for name, package in PROGRAMS.items() if not shutil.which(name)}
    plugins = {
        package for name, package in PLUGINS.items() if not Path(PLUGIN.format(name)).exists()
    }
    return sorted(programs | plugins)


def name_objection(prefix: str) -> str | None:
    """What is wrong with how the namespaces would be called."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", prefix):
        return f"A laboratory cannot be called {prefix!r}: use up to 40 letters, digits and dashes."
    return None


def folder_objection(folder: Path, socket: Path) -> str | None:
    """What is wrong with where its files would lie."""
    if len(os.fsencode(socket)) > LONGEST_SOCKET:
        return (
            f"The folder {folder} has too long a name:"
            f" the path of a Unix socket in it would pass {LONGEST_SOCKET} bytes."
        )
    # Each charon sees an empty /run.
    if folder.resolve().is_relative_to("/run"):
        return f"The laboratory's folder {folder} may not lie in /run."
    return None
