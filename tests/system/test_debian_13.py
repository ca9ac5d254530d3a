"""The container of Debian 13: what a command sees there, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.running_portal import ROOT, read, wait_for

# The files of Debian 13 are made under the machine's own kernel.
pytestmark = pytest.mark.own_kernel

COMMAND = str(ROOT / "bin" / "debian-13")
# Takes the place of mmdebstrap, and counts its calls. With a file `stop`, it makes half and waits.
FAKE = """#!/bin/sh
echo called >>"$COUNT"
for target; do case $target in "$VPNPORTAL_CACHE"/*) break ;; esac; done
mkdir "$target/half"
[ ! -e "$COUNT.stop" ] || { touch "$COUNT.waits"; exec sleep 1234; }
"""

# A machine with charon-systemd alone, as dpkg-query and apt-get report it.
GATEWAY = {
    "dpkg-query": """#!/bin/sh
case "$*" in *charon-systemd) echo "ii  strongswan-charon" ;; esac
""",
    "apt-get": """#!/bin/sh
echo "$@" >>"${0%/*}/calls"
""",
}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments], env={**os.environ, **environment}, capture_output=True, text=True
    )


def processes(words: str) -> list[str]:
    """Return the processes whose command line is these words."""
    line = words.replace(" ", "\0") + "\0"
    return [
        entry.name
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and read(entry / "cmdline") == line.encode()
    ]


def test_a_command_runs_with_the_programs_of_debian_13_and_its_status_is_returned():
    versions = "cat /etc/debian_version; .venv/bin/python -V; /usr/lib/ipsec/charon --version"

    done = run("sh", "-c", f"{versions}; exit 3")

    debian, python, charon = done.stdout.splitlines()
    assert (debian[:3], python[:12], charon[:14]) == ("13.", "Python 3.13.", "strongSwan 6.0")
    assert done.returncode == 3


def test_the_container_reaches_no_other_network_and_the_checkout_stays_as_it_is(tmp_path):
    script = (
        f"ip -brief address | cut -d ' ' -f 1; echo changed >README.md; echo new >{tmp_path}/shared"
    )
    readme = (ROOT / "README.md").read_text()

    done = run("--share", str(tmp_path), "sh", "-c", script)

    assert (done.returncode, done.stdout) == (0, "lo\n")
    assert (tmp_path / "shared").read_text() == "new\n"
    assert (ROOT / "README.md").read_text() == readme


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_of_a_container_outlives_bin_debian_13(tmp_path, number):
    seconds = f"{os.getpid()}.{number.value}"
    script = f"unshare --net sleep {seconds} & touch {tmp_path}/begun; exec sleep {seconds}"
    container = subprocess.Popen([COMMAND, "--share", str(tmp_path), "setsid", "sh", "-c", script])
    wait_for(lambda: len(processes(f"sleep {seconds}")) == 2, 30)

    container.send_signal(number)
    container.wait(10)

    wait_for(lambda: not processes(f"sleep {seconds}"), 5)
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


def test_an_interrupted_build_leaves_nothing_that_a_later_run_takes_for_complete(tmp_path):
    programs, cache, count = tmp_path / "bin", tmp_path / "cache", tmp_path / "count"
    programs.mkdir()
    (programs / "mmdebstrap").write_text(FAKE)
    (programs / "mmdebstrap").chmod(0o755)
    environment = {
        "VPNPORTAL_CACHE": str(cache),
        "COUNT": str(count),
        "PATH": f"{programs}:{os.environ['PATH']}",
    }
    (tmp_path / "count.stop").touch()
    killed = subprocess.Popen([COMMAND, "true"], env={**os.environ, **environment})
    wait_for((tmp_path / "count.waits").exists, 10)
    killed.kill()
    killed.wait(10)
    wait_for(lambda: not processes("sleep 1234"), 5)
    assert [folder.name[-4:] for folder in cache.glob("debian-13-system-*")] == [".new"]

    (tmp_path / "count.stop").unlink()
    # The system is complete now, but no command can run in it.
    statuses = [run("true", **environment).returncode for _ in range(2)]

    assert 0 not in statuses
    assert count.read_text() == "called\n" * 2
    (system,) = cache.glob("debian-13-system-*")
    assert [entry.name for entry in system.iterdir()] == ["half"]


def test_a_gateway_with_charon_systemd_keeps_it_and_gets_no_other_charon(tmp_path):
    for name, text in GATEWAY.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    done = run("--share", str(tmp_path), "sh", "-c", f"PATH={tmp_path}:$PATH bin/prepare")

    assert done.returncode == 0, done.stderr
    assert "charon-systemd, so it can have no laboratory" in done.stdout
    (install,) = (
        line.split()
        for line in (tmp_path / "calls").read_text().splitlines()
        if line.startswith("install")
    )
    assert {"--no-remove", "strongswan-swanctl"} <= set(install)
    assert "strongswan-charon" not in install
