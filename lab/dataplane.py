"""Which of the two ways to carry ESP this machine has: the kernel's, or charon's own."""

from __future__ import annotations

from dataclasses import dataclass

from lab.namespaces import LaboratoryError, of, run


@dataclass(frozen=True, slots=True)
class DataPlane:
    """What strongswan.conf has to say for one way of carrying ESP."""

    words: str
    plugins: str
    settings: str


KERNEL = DataPlane("ESP by the kernel", "kernel-netlink", "")
# The marks keep IKE's own packets out of the tunnel that charon reads from /dev/net/tun.
USERLAND = DataPlane(
    "ESP by charon itself, in UDP (this kernel has none)",
    "kernel-libipsec kernel-netlink",
    "kernel-netlink {\n fwmark = !0x42\n }\n socket-default {\n fwmark = 0x42\n }",
)


def probe(prefix: str, host: str) -> DataPlane:
    """Adds one ESP state in the namespace of a host and takes it away again."""
    states = ["ip", "-n", of(prefix, host), "xfrm", "state"]
    state = ["src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp", "spi", "0xc0de"]
    cipher = ["enc", "cbc(aes)", f"0x{'0' * 64}", "auth", "hmac(sha256)", f"0x{'0' * 64}"]
    try:
        run([*states, "add", *state, "mode", "tunnel", *cipher])
    except LaboratoryError:
        return USERLAND
    run([*states, "delete", *state])
    return KERNEL
