"""The data plane of this machine: kernel ESP, or userland ESP in charon."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

from lab.namespaces import LaboratoryError, namespace_of, run


@dataclass(frozen=True, slots=True)
class DataPlane:
    """A data plane: its label for people, charon's plugins, and text for strongswan.conf.

    `settings` are sections of plugins. A concentrator also has the `concentrator_settings`.
    """

    label: str
    plugins: str
    settings: str
    concentrator_settings: str = ""


# On a concentrator, tunnels with equal remote networks would share a route of charon. The worker
# makes one route into all tunnels.
KERNEL = DataPlane("kernel ESP", "kernel-netlink", "", "install_routes = no")
# The marks keep IKE packets out of the TUN device, from which charon would encrypt them again. They
# are none of the portal's, which are 16 bits long.
USERLAND = DataPlane(
    "userland ESP in UDP",
    "kernel-libipsec kernel-netlink",
    "kernel-netlink {\n fwmark = !0x420000\n }\n socket-default {\n fwmark = 0x420000\n }",
)


def probe(prefix: str, host: str) -> DataPlane:
    """Return the data plane, found by adding and removing an ESP state in a host's namespace.

    With VPNPORTAL_LAB_ESP=userland it is userland ESP on every kernel.
    """
    if os.environ.get("VPNPORTAL_LAB_ESP") == "userland":
        return USERLAND
    add, delete = esp_state_commands(["ip", "-n", namespace_of(prefix, host)])
    try:
        run(add)
    except LaboratoryError:
        return USERLAND
    run(delete)
    return KERNEL


def kernel_has_esp() -> bool:
    """Return True if this machine's kernel encrypts; a new network namespace is tried."""
    add, _ = esp_state_commands(["ip"])
    command = ["unshare", "--net", *add]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def esp_state_commands(ip: list[str]) -> tuple[list[str], list[str]]:
    """Return the commands that add and delete an ESP state; a kernel without ESP refuses."""
    states = [*ip, "xfrm", "state"]
    state = ["src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp", "spi", "0xc0de"]
    cipher = ["enc", "cbc(aes)", f"0x{'0' * 64}", "auth", "hmac(sha256)", f"0x{'0' * 64}"]
    return [*states, "add", *state, "mode", "tunnel", *cipher], [*states, "delete", *state]
