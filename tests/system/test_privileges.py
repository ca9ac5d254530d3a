"""The processes of a running portal: none is root, and none becomes root through another."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from celery import Celery

from tests.running_portal import PYTHON, ROOT, RunningPortal, read, wait_for
from tests.system.conftest import running_portal, translate
from tests.system.privileges.opened_files import (
    exchangeable,
    open_files,
    opened_as_root,
    writable_folder,
)
from tests.system.privileges.users import AS_PORTAL, as_portal, on_gateway

# linux/capability.h
NET_ADMIN, NET_RAW = 12, 13
# The shells that start, restart and end processes; they open nothing outside root's folders.
SUPERVISORS = (
    "bin/run",
    "bin/keep",
    "bin/stop",
    "honcho",
    "sleep infinity",
    "sleep 1",
    "head --bytes",
)
GATEWAY_COMMANDS = (" worker ", " watch ", "guard_routes")
QUEUE = "concentrator.hou02-vpn01"
GATEWAY = "gw_hou02-vpn01"
ATTACK_SECONDS, MESSAGES = 12, 400


class Process(NamedTuple):
    """A running process: its command and user, and its capabilities in any set and in effect."""

    command: str
    user: int
    capabilities: frozenset[int]
    effective: frozenset[int]
    has_no_new_privileges: bool


@pytest.fixture(scope="module")
def portal() -> Iterator[RunningPortal]:
    """Yield a portal of this module's own, because its tests leave traces in its folders."""
    with running_portal("privileges") as running:
        yield running


def processes(portal: RunningPortal) -> dict[int, Process]:
    """Return all processes of a portal by id, with the children of those that hide their mark."""
    mark = f"VPNPORTAL_RUN={portal.state}/".encode()
    parents, marked = {}, set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (text := read(entry / "status").decode()):
            parents[int(entry.name)] = int(re.search(r"PPid:\t(\d+)", text)[1])
            if mark in read(entry / "environ"):
                marked.add(int(entry.name))
    while children := {pid for pid, parent in parents.items() if parent in marked} - marked:
        marked |= children
    return {pid: process for pid in marked if (process := process_of(pid))}


def process_of(pid: int) -> Process | None:
    status = read(Path(f"/proc/{pid}/status")).decode()
    command = read(Path(f"/proc/{pid}/cmdline")).replace(b"\0", b" ").decode().strip()
    if not status or not command:
        return None
    sets = {
        name: {bit for bit in range(64) if int(number, 16) >> bit & 1}
        for name, number in re.findall(r"^Cap(\w+):\t(\w+)$", status, re.M)
    }
    held = frozenset().union(*sets.values())
    users = {int(number) for number in re.search(r"^Uid:\t(.*)$", status, re.M)[1].split()}
    return Process(command, min(users), held, frozenset(sets["Eff"]), "NoNewPrivs:\t1" in status)


def test_no_process_of_the_portal_is_root_or_has_more_than_two_capabilities(portal):
    others = {*portal._pids("peer"), *portal._pids("server"), *portal._pids("customer")}
    running = {
        pid: process
        for pid, process in processes(portal).items()
        if pid not in others and not any(name in process.command for name in SUPERVISORS)
    }
    charon = running.pop(portal.process("charon", "concentrator"))

    commands = [process.command for process in running.values()]
    for word in (
        "postgres",
        "redis-server",
        "gunicorn",
        " beat",
        " -Q portal",
        " -Q concentrator.",
        " watch ",
        "guard_routes",
    ):
        assert any(word in command for command in commands), word
    for process in running.values():
        on_gateway = any(
            word in process.command for word in (" -Q concentrator.", " watch ", "guard_routes")
        )
        assert process.user != 0, process
        assert process.has_no_new_privileges, process
        assert process.capabilities == ({NET_ADMIN, NET_RAW} if on_gateway else set()), process
    assert charon.user != 0
    assert charon.effective == {NET_ADMIN}


def test_the_gateways_user_reads_the_two_keys_of_its_gateway_and_no_other_secret(portal):
    keys = portal.state / "keys"
    readable = {
        file.name: on_gateway(portal, "cat", str(file)).returncode == 0
        for file in [*keys.rglob("*.key"), portal.state / "password"]
    }

    assert readable == {
        "gateway.key": True,
        "concentrator.key": True,
        "seal.key": False,
        "fingerprint.key": False,
        "session.key": False,
        "password": False,
    }


@pytest.mark.parametrize(
    ("run_as", "expected"),
    [(as_portal, {"db", "redis", "static", "web"}), (on_gateway, {"gateway"})],
)
def test_a_user_without_root_writes_only_in_its_own_folders(portal, run_as, expected):
    """Processes of root write in the others: a link there would choose their file."""
    find = ("find", str(portal.state), "-writable", "-not", "-type", "l", "-not", "-type", "s")
    listed = run_as(portal, *find).stdout.splitlines()

    folders = {Path(path).relative_to(portal.state).parts[:1] for path in listed}
    assert folders == {(name,) for name in expected}


@contextmanager
def attack(portal: RunningPortal, kind: str, victim: Path) -> Iterator[None]:
    """Attack the portal's SQLite file as the portal's own user during the block."""
    database = portal.state / "db" / "portal.sqlite3"
    module = (PYTHON, "-m", "tests.system.privileges.sqlite_attack")
    with subprocess.Popen(
        [AS_PORTAL, *module, kind, str(database), str(victim)],
        env=portal.environment,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.stdin.close()


def send_converges(portal: RunningPortal) -> None:
    """Let the worker open its database again and again."""
    app = Celery(broker=f"redis+socket://{portal.state}/redis/redis.sock")
    deadline = time.monotonic() + ATTACK_SECONDS
    with app.connection_for_write() as connection:
        for _ in range(MESSAGES):
            app.send_task("vpnportal.tasks.converge", (1, 1), queue=QUEUE, connection=connection)
            time.sleep(max(0, min(0.02, deadline - time.monotonic())))


@pytest.mark.parametrize("kind", ["create", "delete", "overwrite"])
def test_s1_the_portals_user_cannot_use_a_database_to_change_files_of_root(portal, kind):
    folder = portal.state / f"victim of {kind}"
    folder.mkdir()
    victim = folder / ("new" if kind == "create" else "victim")
    if kind != "create":
        victim.write_bytes(b"root's own\n" * 1000)
        victim.chmod(0o600)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    with attack(portal, kind, victim):
        send_converges(portal)
        time.sleep(2)

    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def processes_of_root(portal: RunningPortal) -> set[int]:
    """Return the ids of the portal's processes that are root, without those of other hosts."""
    others = {*portal._pids("peer"), *portal._pids("server"), *portal._pids("customer")}
    return {pid for pid, process in processes(portal).items() if process.user == 0} - others


def processes_with(portal: RunningPortal, word: str) -> set[int]:
    """Return the ids of the processes with this word that have their own user already."""
    running = processes(portal).items()
    return {pid for pid, process in running if word in process.command and process.user}


def has_another(portal: RunningPortal, word: str, first: int) -> bool:
    return bool(processes_with(portal, word) - {first})


def test_s1_root_opens_no_file_below_a_folder_that_another_user_can_write(portal, tmp_path):
    """Of all processes, all the time; and of those that start others, during a whole apply."""
    database = portal.state / "db"
    assert writable_folder(f"{database}/x") == database, "otherwise nothing would be found"

    with opened_as_root(processes_of_root(portal), tmp_path) as opened:
        assert portal.apply(translate())["outcome"] == "live"
        for word in (" -Q concentrator.", "-m celery -A vpnportal.celery beat"):
            (first,) = processes_with(portal, word)
            os.kill(first, signal.SIGKILL)
            wait_for(partial(has_another, portal, word, first), 20)

    assert f"{ROOT}/bin/as-user" in opened, "otherwise nothing was traced"
    assert exchangeable(opened) == {}
    held = {path for pid in processes_of_root(portal) for path in open_files(pid)}
    assert any(path.endswith("/log/web.log") for path in held)
    assert exchangeable(held) == {}


# Connects as a role, runs one statement, and prints the class of the error or nothing.
SQL = """
import sys, psycopg
host, role, statement = sys.argv[1:]
try:
    with psycopg.connect(host=host, dbname="vpnportal", user=role) as database:
        database.execute(statement)
except psycopg.Error as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize(
    ("run_as", "role", "statement", "answer"),
    [
        (as_portal, "vpnportal", "SELECT 1 FROM vpnportal_tunnel", ""),
        (as_portal, "vpnportal", "COPY (SELECT 1) TO PROGRAM 'id'", "InsufficientPrivilege"),
        (as_portal, "vpnportal", "COPY (SELECT 1) TO '/tmp/x'", "InsufficientPrivilege"),
        (as_portal, "vpnportal", "SELECT pg_read_file('PG_VERSION')", "InsufficientPrivilege"),
        (as_portal, "vpnportal", "CREATE ROLE x SUPERUSER", "InsufficientPrivilege"),
        (as_portal, "vpnportal-database", "SELECT 1", "OperationalError"),
        (as_portal, GATEWAY, "SELECT 1", "OperationalError"),
        (on_gateway, GATEWAY, "SELECT id FROM vpnportal_tunnel", ""),
        (on_gateway, GATEWAY, "SELECT name FROM vpnportal_account", "InsufficientPrivilege"),
        (on_gateway, GATEWAY, "SELECT 1 FROM auth_user", "InsufficientPrivilege"),
        (on_gateway, GATEWAY, "SET ROLE vpnportal", "InsufficientPrivilege"),
        (on_gateway, GATEWAY, "CREATE TABLE x (y int)", "InsufficientPrivilege"),
        (on_gateway, GATEWAY, "DROP TABLE vpnportal_tunnel", "InsufficientPrivilege"),
        (on_gateway, "gw_hou02-vpn02", "SELECT 1", "OperationalError"),
        (on_gateway, "vpnportal", "SELECT 1", "OperationalError"),
    ],
)
def test_a_user_has_its_own_role_in_the_database_and_no_other(
    portal, run_as, role, statement, answer
):
    """The server runs programs and opens files for the role that owns it alone."""
    server = str(portal.state / "postgresql" / "run")
    done = run_as(portal, PYTHON, "-c", SQL, server, role, statement)

    assert (done.returncode, done.stdout.strip()) == (0, answer), done.stderr


# Reads one request as JSON, sends it to charon as the worker would, and prints the replies.
VICI = """
import json, socket, sys, vici
command, message = json.loads(sys.stdin.read())
def text(value):
    if isinstance(value, dict): return {key: text(item) for key, item in value.items()}
    if isinstance(value, list): return [text(item) for item in value]
    return value.decode(errors="replace") if isinstance(value, bytes) else value
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
session = vici.Session(connection)
try:
    reply = getattr(session, command)(*([message] if message is not None else []))
    print(json.dumps(text(reply if isinstance(reply, dict) else list(reply or []))))
except (vici.exception.SessionException, vici.exception.CommandException) as error:
    print(json.dumps({"refused": str(error)}))
"""


def ask_charon(portal: RunningPortal, command: str, message: object = None):
    """Return charon's reply to a vici request of the worker's user."""
    socket = f"{portal.state}/lab/concentrator/charon.vici"
    request = json.dumps([command, message])
    done = on_gateway(portal, PYTHON, "-c", VICI, socket, text=request)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def connection(**child: object) -> dict[str, object]:
    """Return a connection that the customer's device accepts."""
    proposal = "aes256-sha256-modp1536"
    networks = {"local_ts": ["10.2.0.0/24"], "remote_ts": ["192.168.10.0/24"]}
    return {
        "version": "1",
        "local_addrs": ["203.0.113.1"],
        "remote_addrs": ["203.0.113.2"],
        "proposals": [proposal],
        "local": {"auth": "psk", "id": "203.0.113.1"},
        "remote": {"auth": "psk", "id": "203.0.113.2"},
        "children": {"attack": {**networks, "esp_proposals": [proposal], **child}},
    }


def test_a_script_that_a_connection_names_is_not_run(portal, tmp_path):
    """The plugin `updown` would run it when the CHILD_SA is up."""
    folder = tmp_path / "open"
    folder.mkdir(mode=0o777)
    for parent in (folder, *folder.parents):
        with suppress(PermissionError):
            parent.chmod(parent.stat().st_mode | 0o005)
    folder.chmod(0o777)
    secret = {"type": "IKE", "data": portal.device_key(), "owners": ["203.0.113.1", "203.0.113.2"]}
    assert ask_charon(portal, "load_shared", {"id": "attack", **secret}) == []
    script = f"id > {folder}/has-run"
    loaded = ask_charon(portal, "load_conn", {"attack": connection(updown=script)})
    assert loaded == []

    ask_charon(portal, "initiate", {"child": "attack", "ike": "attack", "timeout": "10000"})

    try:
        (sas,) = ask_charon(portal, "list_sas", {"ike": "attack"})
        states = [child["state"] for child in sas["attack"]["child-sas"].values()]
        assert states == ["INSTALLED"], "otherwise no script would run"
        time.sleep(1)
        assert list(folder.iterdir()) == []
    finally:
        ask_charon(portal, "terminate", {"ike": "attack"})
        ask_charon(portal, "unload_conn", {"name": "attack"})
        ask_charon(portal, "unload_shared", {"id": "attack"})


def make_certificate(file: Path) -> None:
    """Write a certificate in PEM, which charon accepts if it can read it."""
    command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=victim")
    files = ("-keyout", f"{file}.key", "-out", str(file))
    subprocess.run([*command, *files], check=True, capture_output=True)


def test_charon_reads_no_file_of_root_that_a_request_names(portal):
    folder = portal.state / "certificates"
    folder.mkdir()
    public, secret = folder / "public.pem", folder / "secret.pem"
    try:
        make_certificate(public)
        public.chmod(0o644)
        secret.write_bytes(public.read_bytes())
        secret.chmod(0o600)

        def load(file: Path, name: str) -> object:
            # charon has no mount namespace of its own, so it sees this path.
            remote = {"auth": "pubkey", name: {"file": str(file)}}
            body = {**connection(), "version": "2", "remote": remote}
            return ask_charon(portal, "load_conn", {"attack": body})

        def load_authority(file: Path) -> object:
            return ask_charon(portal, "load_authority", {"attack": {"file": str(file)}})

        for request in (
            lambda file: load(file, "cert1"),
            lambda file: load(file, "cacert1"),
            load_authority,
        ):
            assert request(public) == [], "otherwise the refusal would prove nothing"
            assert "refused" in request(secret)
        token = {"handle": "01", "module": str(secret), "pin": "1"}
        assert "refused" in ask_charon(portal, "load_token", token)
        plugins = set(ask_charon(portal, "stats")["plugins"])
        assert not plugins & {"updown", "files", "curl", "pkcs11", "stroke", "ext-auth", "resolve"}
    finally:
        ask_charon(portal, "unload_conn", {"name": "attack"})
        ask_charon(portal, "unload_authority", {"name": "attack"})


def test_the_gateways_user_cannot_change_the_settings_that_charon_reads_as_root(portal):
    file = portal.state / "lab" / "concentrator" / "strongswan.conf"
    before = file.read_text()
    script = f"echo x >>'{file}' || mv '{file}' '{file}.old' || rm '{file}'"

    assert on_gateway(portal, "sh", "-c", script).returncode != 0

    assert file.read_text() == before
