"""Debian's `ip` and `ping`, for the few things that have no socket of their own here."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

from vpnportal.gateway.errors import GatewayError

SECONDS = 20
# Addresses that we added say so in their label, which must begin with the interface's name.
LOOPBACK_LABEL = "lo:vpnportal"
# https://docs.kernel.org/networking/xfrm_proc.html
ESP_COUNTERS = Path("/proc/net/xfrm_stat")
POLICY_DROPS = ("XfrmInTmplMismatch", "XfrmInNoPols", "XfrmInPolBlock")


def add_loopback_address(address: IPv4Address) -> None:
    """Give the gateway this address, on its loopback interface."""
    _run("ip", "address", "replace", f"{address}/32", "dev", "lo", "label", LOOPBACK_LABEL)


def remove_loopback_address(address: IPv4Address) -> None:
    """Take an anchor away again."""
    _run("ip", "address", "del", f"{address}/32", "dev", "lo")


def dropped_by_kernel_esp() -> int:
    """Packets that the kernel decrypted and whose tunnel does not lead where they were going."""
    with suppress(OSError, ValueError):
        rows = dict(line.split() for line in ESP_COUNTERS.read_text().splitlines())
        return sum(int(rows[name]) for name in POLICY_DROPS)
    return 0


def ping(target: IPv4Address, source: IPv4Address | None) -> bool:
    """Whether one of three echo requests, a second each, is answered."""
    origin = ("-I", str(source)) if source else ()
    done = subprocess.run(
        ("ping", "-n", "-q", "-c", "1", "-w", "3", *origin, str(target)),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode == 0


def _run(*command: str) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    except FileNotFoundError as error:
        raise GatewayError(f"The program {command[0]} is not installed here.") from error
    except subprocess.TimeoutExpired as error:
        raise GatewayError(f"{command[0]} did not end within {SECONDS} seconds.") from error
    except subprocess.CalledProcessError as error:
        raise GatewayError(f"{' '.join(command)} failed: {error.stderr.strip()}") from error
