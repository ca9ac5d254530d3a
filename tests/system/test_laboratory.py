"""The laboratory itself: its hosts and daemons, their supervision and their removal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.laboratory import Laboratory
from lab.namespaces import LaboratoryError, existing, inside, namespace_of, processes
from lab.topology import BLOCKS, NAMES, hosts
from tests.running_portal import laboratory_prefix, wait_for

PREFIX = laboratory_prefix("x")
CONNECTION = """
connections {
    test {
        version = 1
        local_addrs = 203.0.113.1
        remote_addrs = 203.0.113.2
        proposals = aes256-sha256-modp1536
        local {
            auth = psk
        }
        remote {
            auth = psk
        }
        children {
            test {
                local_ts = 10.2.0.0/24
                remote_ts = 192.168.10.0/24
                esp_proposals = aes256-sha256-modp1536
            }
        }
    }
}
secrets {
    ike-test {
        secret = "@KEY@"
    }
}
"""


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    laboratory = Laboratory(PREFIX, tmp_path_factory.mktemp("lab"))
    if refusal := laboratory.refusal():
        pytest.skip(refusal)
    laboratory.up()
    yield laboratory
    laboratory.down()


def on(laboratory: Laboratory, host: str, *command: str) -> subprocess.CompletedProcess[str]:
    argv = inside(laboratory.prefix, host, list(command))
    return subprocess.run(argv, capture_output=True, text=True)


def reaches(laboratory: Laboratory, host: str, address: str) -> bool:
    return on(laboratory, host, "ping", "-c", "1", "-W", "2", address).returncode == 0


def process_ids(laboratory: Laboratory, host: str, program: str) -> list[int]:
    commands = {pid: Path(f"/proc/{pid}/comm") for pid in processes(laboratory.prefix, host)}
    return [pid for pid, comm in commands.items() if comm.read_text().strip() == program]


def swanctl(socket: Path, *arguments: str) -> str:
    command = ["swanctl", *arguments, "--uri", f"unix://{socket}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def root_namespace() -> list[str]:
    """Return the interfaces and routes outside the laboratory's namespaces."""
    links = subprocess.run(["ip", "-oneline", "link"], capture_output=True, text=True, check=True)
    routes = subprocess.run(
        ["ip", "route", "show", "table", "all"], capture_output=True, text=True, check=True
    )
    names = [line.split(":")[1].strip() for line in links.stdout.splitlines()]
    return names + routes.stdout.splitlines()


@pytest.mark.parametrize(
    ("host", "neighbour"),
    [
        ("server", "10.2.0.1"),
        ("concentrator", "10.2.0.10"),
        ("concentrator", "10.3.0.10"),
        ("concentrator", "203.0.113.2"),
        ("peer", "203.0.113.1"),
        ("peer", "192.168.10.15"),
        ("peer", "192.168.20.15"),
        ("customer", "192.168.10.1"),
        ("customer", "192.168.20.1"),
    ],
)
def test_hosts_reach_their_neighbours(laboratory, host, neighbour):
    assert reaches(laboratory, host, neighbour)


def test_only_the_gateways_forward(laboratory):
    forwards = {
        host: on(laboratory, host, "cat", "/proc/sys/net/ipv4/ip_forward").stdout.strip()
        for host in NAMES
    }

    assert forwards == {"server": "0", "concentrator": "1", "peer": "1", "customer": "0"}


def test_the_concentrator_has_no_address_in_the_second_hosted_subnet(laboratory):
    listed = on(laboratory, "concentrator", "ip", "-oneline", "-4", "address").stdout
    addresses = set(re.findall(r"inet (\S+)", listed))

    block = {f"{address}/32" for address in BLOCKS[0].hosts()}
    assert addresses == {"127.0.0.1/8", "10.2.0.1/24", "203.0.113.1/24", *block}


def test_the_customers_device_accepts_a_matching_proposal_and_carries_packets(laboratory, tmp_path):
    socket = laboratory.concentrator.socket
    shipped = (laboratory.peer.folder / "swanctl.conf").read_text()
    key = re.search(r'secret = "(\w+)"', shipped)[1]
    file = tmp_path / "connection.conf"
    file.write_text(CONNECTION.replace("@KEY@", key))
    assert not reaches(laboratory, "server", "192.168.10.15")

    swanctl(socket, "--load-all", "--noprompt", "--file", str(file))
    swanctl(socket, "--initiate", "--child", "test", "--timeout", "10")

    # In IKEv1 the responder installs its SA after the initiator.
    wait_for(lambda: reaches(laboratory, "server", "192.168.10.15"), 10)
    assert reaches(laboratory, "customer", "10.2.0.10")
    logs = [charon.log.read_text() for charon in (laboratory.concentrator, laboratory.peer)]
    assert [key in log for log in logs] == [False, False]


def test_the_customers_device_accepts_an_address_of_the_block(laboratory, tmp_path):
    address = str(BLOCKS[0][1])
    shipped = (laboratory.peer.folder / "swanctl.conf").read_text()
    key = re.search(r'secret = "(\w+)"', shipped)[1]
    file = tmp_path / "connection.conf"
    text = CONNECTION.replace("local_addrs = 203.0.113.1", f"local_addrs = {address}")
    file.write_text(text.replace("@KEY@", key))

    swanctl(laboratory.concentrator.socket, "--load-all", "--noprompt", "--file", str(file))
    output = swanctl(laboratory.concentrator.socket, "--initiate", "--child", "test")

    assert "CHILD_SA test{" in output
    assert address in swanctl(laboratory.peer.socket, "--list-sas")


@pytest.mark.parametrize("host", ["concentrator", "peer"])
def test_a_killed_charon_is_restarted_within_seconds(laboratory, host):
    charon = {"concentrator": laboratory.concentrator, "peer": laboratory.peer}[host]
    (before,) = process_ids(laboratory, host, "charon")

    os.kill(before, signal.SIGKILL)
    wait_for(lambda: not charon.answers(), 2)

    assert wait_for(charon.answers, 15) < 15
    assert process_ids(laboratory, host, "charon") != [before]


def test_a_restarted_customers_device_loads_its_connections(laboratory):
    (before,) = process_ids(laboratory, "peer", "charon")

    os.kill(before, signal.SIGKILL)

    def names() -> list[str]:
        if not laboratory.peer.answers() or before in process_ids(laboratory, "peer", "charon"):
            return []
        return re.findall(r"^(\w+):", swanctl(laboratory.peer.socket, "--list-conns"), re.M)

    wait_for(lambda: names() == ["customer", "others"], 15)


def test_the_concentrator_starts_without_connections(laboratory):
    laboratory.up()

    assert swanctl(laboratory.concentrator.socket, "--list-conns") == ""


def test_the_customers_device_keeps_a_file_that_a_person_edited(laboratory):
    file = laboratory.peer.folder / "swanctl.conf"
    edited = file.read_text().replace("aes256-sha256-modp1536", "3des-md5-modp1024")
    file.write_text(edited)

    laboratory.up()

    assert file.read_text() == edited
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("mistake", "message"),
    [("proposals = nonsense", "invalid value for: proposals"), ("} } }", "syntax error")],
)
def test_a_mistake_in_that_file_is_reported_and_no_host_remains(tmp_path, mistake, message):
    laboratory = Laboratory(f"{PREFIX}m", tmp_path)
    (tmp_path / "peer").mkdir()
    (tmp_path / "peer" / "swanctl.conf").write_text(f"connections {{\na {{\n{mistake}\n}}\n}}\n")

    with pytest.raises(LaboratoryError, match=message):
        laboratory.up()

    assert existing(laboratory.prefix) == []


def test_a_laboratory_can_have_two_concentrators(tmp_path):
    laboratory = Laboratory(f"{PREFIX}t", tmp_path, concentrators=2)
    try:
        laboratory.up()

        assert existing(laboratory.prefix) == [host.name for host in hosts(2)]
        assert reaches(laboratory, "server", "10.2.0.1")
        assert reaches(laboratory, "server", "10.2.0.2")
        assert reaches(laboratory, "peer", "203.0.113.5")
        assert reaches(laboratory, "peer", str(BLOCKS[1][1]))
        assert reaches(laboratory, "concentrator2", "203.0.113.2")
        assert "concentrator2" in laboratory.status()
    finally:
        # `down` removes both without the number of concentrators.
        Laboratory(f"{PREFIX}t", tmp_path).down()
    assert existing(laboratory.prefix) == []


@pytest.mark.parametrize(("concentrators", "router"), [(1, False), (2, False), (1, True)])
def test_down_removes_every_process_and_namespace(tmp_path, concentrators, router):
    laboratory = Laboratory(f"{PREFIX}n", tmp_path, concentrators, router)
    before = root_namespace()

    laboratory.up()
    names = existing(laboratory.prefix)
    pids = [pid for host in names for pid in processes(laboratory.prefix, host)]
    assert root_namespace() == before
    laboratory.down()

    assert existing(laboratory.prefix) == []
    assert [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()] == []


def test_up_removes_the_remains_of_a_crash(tmp_path):
    laboratory = Laboratory(f"{PREFIX}c", tmp_path)
    laboratory.up()
    remaining = [pid for host in NAMES for pid in processes(laboratory.prefix, host)]
    (tmp_path / "concentrator" / "charon.keeper").unlink()

    try:
        laboratory.up()

        assert [pid for pid in remaining if Path(f"/proc/{pid}/exe").exists()] == []
        assert existing(laboratory.prefix) == list(NAMES)
    finally:
        laboratory.down()
    assert not Path(f"/run/netns/{namespace_of(laboratory.prefix, 'server')}").exists()


def test_down_spares_a_process_with_the_reused_id_of_a_keeper(tmp_path):
    laboratory = Laboratory(f"{PREFIX}d", tmp_path)
    (tmp_path / "peer").mkdir()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (tmp_path / "peer" / "charon.keeper").write_text(f"{stranger.pid} 1\n")

        laboratory.down()

        assert stranger.poll() is None
        stranger.kill()


def test_the_laboratory_refuses_a_folder_too_long_for_a_socket(tmp_path):
    long = tmp_path / ("x" * 90)

    assert Laboratory(PREFIX, long).refusal() == (
        f"The name of the folder {long} is too long:"
        " the path of a Unix socket in it would exceed 107 bytes."
    )
