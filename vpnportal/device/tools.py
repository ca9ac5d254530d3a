"""Debian's `ip` and `conntrack`, for the few things that have no socket of their own here."""

from __future__ import annotations

import re
import subprocess
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

from vpnportal.device import netlink
from vpnportal.device.errors import DeviceError
from vpnportal.domain.elements import Elements, Map, dotted

SECONDS = 20
# Addresses that we added say so in their label, which must begin with the interface's name.
ANCHOR_LABEL = "lo:vpnportal"
# https://docs.kernel.org/networking/xfrm_proc.html
ESP_COUNTERS = Path("/proc/net/xfrm_stat")
POLICY_DROPS = ("XfrmInTmplMismatch", "XfrmInNoPols", "XfrmInPolBlock")
# Looking for very many addresses takes longer than asking `conntrack` for all flows.
ONE_BY_ONE = 50
_FLOW = re.compile(r"src=(\S+) dst=(\S+)")


def add_anchor(address: IPv4Address) -> None:
    """Give the gateway this address, on its loopback interface."""
    _run("ip", "address", "replace", f"{address}/32", "dev", "lo", "label", ANCHOR_LABEL)


def remove_anchor(address: IPv4Address) -> None:
    """Take an anchor away again."""
    _run("ip", "address", "del", f"{address}/32", "dev", "lo")


def end_flows(link: netlink.Link, removed: Elements) -> None:
    """Delete the conntrack entries of translations that are gone.

    One dump says which of them have flows at all: a deletion walks the whole table.
    """
    keys = removed.all_keys()
    if not keys or (len(keys) <= ONE_BY_ONE and not netlink.any_flow_names(link, keys)):
        return
    by_destination = {dotted(key) for key in removed.keys(Map.INBOUND)}
    by_source = {dotted(key) for key in removed.keys(Map.OUTBOUND)}
    commands = set()
    for source, destination in _FLOW.findall(_run("conntrack", "-L", "--any-nat")):
        if destination in by_destination:
            commands.add(f"-D -d {destination}")
        if source in by_source:
            commands.add(f"-D -s {source}")
    if commands:
        _run("conntrack", "-R", "-", text="\n".join(sorted(commands)) + "\n")


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


def _run(*command: str, text: str = "") -> str:
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=SECONDS, check=True
        )
    except FileNotFoundError as error:
        raise DeviceError(f"The program {command[0]} is not installed here.") from error
    except subprocess.TimeoutExpired as error:
        raise DeviceError(f"{command[0]} did not end within {SECONDS} seconds.") from error
    except subprocess.CalledProcessError as error:
        raise DeviceError(f"{' '.join(command)} failed: {error.stderr.strip()}") from error
    return done.stdout
