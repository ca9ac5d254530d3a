"""TCP through a translation, storage of the preshared key, and packets outside every tunnel."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.running_portal import RunningPortal, read, wait_for
from tests.system.packet_capture import capture
from tests.system.test_path_mtu import tunnel_mtu

pytestmark = pytest.mark.shared_portal

BYTES, IP_AND_TCP_BYTES = 2_000_000, 40
# 1500 bytes less ESP in UDP with the largest cipher block and hash, less IP and TCP headers.
USERLAND_MSS = 1340
SEND = f"""
import socket
with socket.create_server(("192.168.10.15", 8080)) as server:
    connection, address = server.accept()
    connection.sendall(bytes({BYTES}))
    connection.close()
"""
RECEIVE = """
import socket
with socket.create_connection(("10.1.255.92", 8080), timeout=10) as connection:
    count = 0
    while part := connection.recv(65536):
        count += len(part)
print(count)
"""


def test_a_large_transfer_fits_through_the_tunnel(live: RunningPortal):
    """The gateway clamps segments, because a full-sized segment in ESP exceeds the path MTU."""
    on_customer = ["ip", "netns", "exec", f"{live.prefix}-customer"]
    sender = subprocess.Popen([*on_customer, "python3", "-c", SEND])
    wait_for(lambda: ":8080" in live.on("customer", "ss", "-ltn").stdout, 30)

    with (
        capture(live, "customer", "private") as at_customer,
        capture(live, "server", "hosted") as at_server,
    ):
        received = live.on("server", "python3", "-c", RECEIVE)

    assert sender.wait(30) == 0
    assert received.stdout.strip() == str(BYTES)
    # Kernel ESP knows the path; test_path_mtu.py tries other paths.
    largest = tunnel_mtu(1500) - IP_AND_TCP_BYTES if live.kernel_esp else USERLAND_MSS
    sizes = segment_size(at_customer, "Flags [S],"), segment_size(at_server, "Flags [S.],")
    assert sizes == (largest, largest)


def segment_size(packets: list[str], flags: str) -> int:
    """Return the maximum segment size, in bytes, of the first packet with these flags."""
    (size, *_) = (re.findall(r"\bmss (\d+)", line) for line in packets if flags in line)
    return int(size[0])


def test_only_the_device_has_the_preshared_key_in_a_file_and_no_command_line_has_it(
    live: RunningPortal,
):
    key = live.device_key().encode()
    device = live.state / "lab" / "peer"

    files = [
        file for file in live.state.rglob("*") if file.is_file() and device not in file.parents
    ]
    files_with_key = [str(file) for file in files if key in file.read_bytes()]
    commands_with_key = [
        str(line) for line in Path("/proc").glob("[0-9]*/cmdline") if key in read(line)
    ]

    assert any(file.suffix == ".log" for file in files)
    assert any(live.state / "redis" in file.parents for file in files)
    assert (files_with_key, commands_with_key) == ([], [])


def test_packets_of_a_server_outside_every_tunnel_are_dropped_and_counted(live: RunningPortal):
    before = dropped_packets(live)

    with capture(live, "peer", "public") as packets:
        assert not live.ping("198.51.100.7")

    assert not [line for line in packets if "198.51.100.7" in line]
    assert dropped_packets(live) == before + 1


COUNTER = "outside_tunnels"


def dropped_packets(portal: RunningPortal) -> int:
    listed = portal.on("concentrator", "nft", "list", "counter", "ip", "vpnportal", COUNTER)
    return int(re.findall(r"packets (\d+)", listed.stdout)[0])
