"""Loopback addresses, ping and ESP counters of the kernel, through `ip`, `ping` and /proc."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

from vpnportal.gateway.errors import GatewayError

TIMEOUT_SECONDS = 20
# Marks the portal's own addresses. A label begins with the name of its interface (ip-address(8)).
LOOPBACK_LABEL = "lo:vpnportal"
# https://docs.kernel.org/networking/xfrm_proc.html
ESP_COUNTERS = Path("/proc/net/xfrm_stat")
POLICY_DROPS = ("XfrmInTmplMismatch", "XfrmInNoPols", "XfrmInPolBlock")


def add_loopback_address(address: IPv4Address) -> None:
    """Add an address to the loopback interface. Raises GatewayError if `ip` fails."""
    _run("ip", "address", "replace", f"{address}/32", "dev", "lo", "label", LOOPBACK_LABEL)


def remove_loopback_address(address: IPv4Address) -> None:
    """Remove an address from the loopback interface. Raises GatewayError if `ip` fails."""
    _run("ip", "address", "del", f"{address}/32", "dev", "lo")


def read_kernel_esp_drops() -> int:
    """Return the number of decrypted packets that no policy of their tunnel allows.

    Returns 0 if the kernel has no XFRM statistics.
    """
    with suppress(OSError, ValueError):
        rows = dict(line.split() for line in ESP_COUNTERS.read_text().splitlines())
        return sum(int(rows[name]) for name in POLICY_DROPS)
    return 0


def ping(target: IPv4Address, source: IPv4Address | None) -> bool:
    """Return True if the target answers an echo request within three seconds.

    `source` is an address of this gateway; with None the kernel chooses it.
    """
    origin = ("-I", str(source)) if source else ()
    process = subprocess.run(
        ("ping", "-n", "-q", "-c", "1", "-w", "3", *origin, str(target)),
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return process.returncode == 0


def _run(*command: str) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=True)
    except FileNotFoundError as error:
        raise GatewayError(f"The program {command[0]} is not installed here.") from error
    except subprocess.TimeoutExpired as error:
        raise GatewayError(f"{command[0]} did not finish within {TIMEOUT_SECONDS} s.") from error
    except subprocess.CalledProcessError as error:
        raise GatewayError(f"{' '.join(command)} failed: {error.stderr.strip()}") from error
