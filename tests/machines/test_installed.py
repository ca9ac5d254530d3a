"""A portal, two gateways and a customer's device on machines of their own, from the packages."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.machines import install_guide
from tests.machines.exposure import MAX_EXPOSURE, exposures
from tests.machines.installation import Installation, run_steps
from tests.machines.machine import Machine
from tests.machines.outages import note
from tests.machines.packages import build, clone, make_next_release
from tests.running_portal import wait_for
from tests.system.pings import pinging_with

NAME = install_guide.EXAMPLE_NAME
PAGE = "https://vpn.example.net/sign-in/"
GET = ("curl", "--silent", "--cacert", "/etc/vpnportal/tls/ca.pem")
STATUS_ONLY = ("--output", "/dev/null", "--write-out", r"%{http_code}\n")


def test_a_server_reaches_the_customers_computer_through_a_tunnel_of_installed_machines(installed):
    assert not installed.ping()

    assert installed.apply() == "live"

    wait_for(installed.ping, 15)


def test_no_unit_fails_and_no_process_of_the_portal_is_root_on_a_gateway(installed):
    for machine in installed.machines:
        assert "0 loaded units listed" in machine.run("systemctl", "--failed"), machine.name
    for machine in (installed.portal, *installed.gateways):
        # user and command line, of the processes that run the portal's Python
        lines = machine.run("ps", "-eo", "user:32,args").splitlines()
        ours = [line for line in lines if "/usr/lib/vpnportal" in line]
        assert len(ours) >= 3
        user = "vpnportal" if machine is installed.portal else "vpnportal-gateway"
        # The signer ends after a minute without a message.
        assert {line.split()[0] for line in ours} - {"vpnportal-enrolment"} == {user}
        assert not [line for line in ours if line.startswith("root")]


def test_the_processes_of_a_gateway_have_two_capabilities_and_can_get_no_other(installed):
    gateway, _ = installed.gateways
    for process in ("worker", "monitor", "routes"):
        show = ("systemctl", "show", "--property", "MainPID", "--value")
        pid = gateway.run(*show, f"vpnportal-{process}@{NAME}").strip()
        status = gateway.run("cat", f"/proc/{pid}/status")
        sets = dict(re.findall(r"^Cap(\w+):\t0*([0-9a-f]+)$", status, re.MULTILINE))
        # CAP_NET_ADMIN is bit 12, CAP_NET_RAW is bit 13.
        assert (sets["Eff"], sets["Bnd"]) == ("3000", "3000"), process
        assert "NoNewPrivs:\t1" in status


def test_charon_of_a_gateway_is_not_root_and_has_one_capability(installed):
    gateway, _ = installed.gateways
    pid = gateway.run("pidof", "charon-systemd").strip()
    status = gateway.run("cat", f"/proc/{pid}/status")
    user = gateway.run("id", "--user", "vpnportal-charon").strip()

    assert re.search(r"^Uid:\t(.*)$", status, re.MULTILINE)[1].split() == [user] * 4
    # CAP_NET_ADMIN
    assert re.search(r"^CapEff:\t0*(\w+)$", status, re.MULTILINE)[1] == "1000"
    checked = json.loads(gateway.run("vpnportal", "check_gateway", "--json", check=False))
    assert {"charon is not root."} == {
        item["text"] for item in checked if item["requirement"] == "charon_user"
    }


# What a gateway's own role sees: the concentrators, the tunnels, and if it may read the users.
SEEN = """
from vpnportal.models import Concentrator, Tunnel
from django.contrib.auth.models import User
from django.db import ProgrammingError
print(*Concentrator.objects.values_list("name", flat=True), Tunnel.objects.values("pk").count())
try:
    print(User.objects.count())
except ProgrammingError as error:
    print(error)
"""


def test_a_gateway_sees_its_own_concentrator_and_tunnels_in_the_database_and_no_user(installed):
    for gateway, tunnels in zip(installed.gateways, (1, 0), strict=True):
        seen = gateway.run("vpnportal", "shell", "--verbosity", "0", "-c", SEEN)
        assert seen.splitlines() == [
            f"{gateway.name} {tunnels}",
            "permission denied for table auth_user",
        ]


def test_each_unit_is_confined(installed):
    found = exposures(installed.portal, installed.gateways[0])

    print(found)
    assert found.keys() == MAX_EXPOSURE.keys()
    assert {unit for unit, value in found.items() if value > MAX_EXPOSURE[unit]} == set()


def test_the_service_of_the_daily_backup_writes_one_that_only_the_portal_can_read(installed):
    portal = installed.portal
    portal.run("systemctl", "start", "vpnportal-backup.service")

    listed = portal.run("sh", "-c", "cd /var/backups/vpnportal && stat --format '%a %U %n' *")
    (mode, user, name) = listed.split()
    members = portal.run("tar", "--list", "--file", f"/var/backups/vpnportal/{name}").split()
    assert (mode, user, members) == ("600", "vpnportal", ["manifest.json", "database.dump"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d\.tar", name)
    assert portal.run("systemctl", "is-enabled", "vpnportal-backup.timer").strip() == "enabled"


def test_the_check_of_a_gateway_finds_no_error(installed):
    for gateway in installed.gateways:
        findings = json.loads(gateway.run("vpnportal", "check_gateway", "--json", check=False))
        errors = {each["requirement"] for each in findings if each["level"] == "error"}
        assert len(findings) > 10
        assert errors == set(), findings


def test_the_doctor_finds_nothing_broken_on_portal_and_gateways(installed):
    (check,) = install_guide.steps("A gateway", "check")
    wait_for(lambda: installed.online() == {gateway.name for gateway in installed.gateways}, 30)
    for machine in (installed.portal, *installed.gateways):
        found = json.loads(machine.run(*check.split(), "--json", check=False))
        yellow = {each["name"]: each["found"] for each in found if each["state"] == "yellow"}
        print(machine.name, yellow)
        assert [each for each in found if each["state"] == "red"] == []
        role = "portal" if machine is installed.portal else "gateway"
        assert {each["machine"] for each in found} == {role}
        unknown = [name for name, text in yellow.items() if text.startswith("unknown: ")]
        assert unknown == []


def test_the_pages_come_over_https_from_a_web_server_that_limits_requests(installed):
    page = installed.portal.run(*GET, "--include", PAGE)
    assert page.startswith("HTTP/2 200")
    assert "Sign in" in page
    too_large = ("--data-binary", "@-", PAGE)
    status = installed.portal.run(*GET, *STATUS_ONLY, *too_large, text="x" * (17 << 20))
    assert status.strip() == "413"


def test_a_second_setup_keeps_keys_passwords_and_certificates(installed):
    portal = installed.portal
    look = "cd /etc; sha256sum vpnportal/*.env vpnportal/*/* redis/*.acl postgresql/*/main/*.conf"
    before = portal.script(look)
    _, setup, *_ = install_guide.steps("The portal", "portal")
    again = json.loads(portal.run(*setup.split(), "--json"))

    assert portal.script(look) == before
    assert "password" not in again
    assert "There is an operator already." in again["steps"]


def test_the_password_of_a_gateway_is_worth_nothing_without_its_certificate(installed):
    gateway = installed.gateways[1]
    settings = gateway.run("cat", "/etc/vpnportal/gateway.env")
    python, certificate = "/usr/lib/vpnportal/venv/bin/python", "/etc/vpnportal/keys/tls.key"

    database = re.search("DATABASE_URL=(.*)", settings)[1]
    connect = "import sys, psycopg; psycopg.connect(sys.stdin.read().strip()).execute('SELECT 1')"
    with_certificate = f"{database}&sslcert={certificate}&sslkey={certificate}"
    gateway.run(python, "-c", connect, text=with_certificate)
    with pytest.raises(AssertionError, match="requires a valid client certificate"):
        gateway.run(python, "-c", connect, text=database)

    broker = re.search("VPNPORTAL_BROKER=(.*)", settings)[1]
    ping = (
        "import sys, redis; files = {n: f for n, f in zip(('ssl_certfile', 'ssl_keyfile'),"
        " sys.argv[1:])}; redis.Redis.from_url(sys.stdin.read().strip(),"
        " ssl_ca_certs='/etc/vpnportal/tls/ca.pem', **files).ping()"
    )
    gateway.run(python, "-c", ping, certificate, certificate, text=broker)
    with pytest.raises(AssertionError, match=r"(?i)certificate.required|EOF occurred|reset"):
        gateway.run(python, "-c", ping, text=broker)


# As the timer starts it, but before the certificates are due.
RENEW_BY_SERVICE = """
folder=/run/systemd/system/vpnportal-certificates.service.d
mkdir -p $folder
printf '[Service]\\nExecStart=\\nExecStart=%s renew --force\\n' \
    "/usr/lib/vpnportal/venv/bin/python -m vpnportal.root_commands certificates" >$folder/now.conf
systemctl daemon-reload
systemctl start vpnportal-certificates
rm -r $folder
systemctl daemon-reload
"""


def test_certificates_are_renewed_on_both_machines_without_a_lost_ping(installed):
    assert installed.apply() == "live"
    wait_for(installed.ping, 30)
    portal, gateway = installed.portal, installed.gateways[0]
    show = ("vpnportal", "certificates", "show", "--json")
    before = [json.loads(machine.run(*show))["certificates"] for machine in (portal, gateway)]
    assert "not due yet" in gateway.run("vpnportal", "certificates", "renew")
    charon = gateway.run("pidof", "charon-systemd")
    services = "systemctl show --property MainPID 'postgresql@*' redis-server@vpnportal nginx"
    pids = portal.script(services)

    server = installed.site.on_host("server")
    with pinging_with(server, 0.1) as pings, getting_pages(portal) as statuses:
        for machine in (portal, gateway):
            machine.script(RENEW_BY_SERVICE)
        wait_for(lambda: installed.apply() == "live", 30)

    print(f"{pings}; {len(statuses)} pages")
    after = [json.loads(machine.run(*show))["certificates"] for machine in (portal, gateway)]
    for earlier, later in zip(before, after, strict=True):
        assert all(earlier[file] < later[file] for file in earlier)
    # On a busy machine the last ones are on their way when ping ends.
    assert (pings.gap_seconds, set(statuses)) == (0, {"200"})
    assert installed.ping()
    assert gateway.run("pidof", "charon-systemd") == charon
    assert portal.script(services) == pids
    shown = portal.script(
        "for port in 443 8443 5432 6380; do openssl s_client -connect vpn.example.net:$port"
        " $([ $port != 5432 ] || echo -starttls postgres) </dev/null 2>/dev/null"
        " | openssl x509 -noout -serial || true; done"
    ).splitlines()
    assert len(shown) == 4
    assert len(set(shown)) == 1, "each service shows the new certificate"


def test_the_seal_key_is_rotated_and_the_old_one_goes_while_pages_answer(installed):
    portal, gateway = installed.portal, installed.gateways[0]
    with getting_pages(portal) as statuses:
        portal.run("vpnportal", "keys", "rotate")
        assert installed.apply() == "live"
        with pytest.raises(AssertionError, match="still need an earlier key"):
            portal.run("vpnportal", "keys", "retire")
        portal.run("vpnportal", "keys", "reseal")
        portal.run("vpnportal", "keys", "retire")
        assert installed.apply() == "live"

    assert set(statuses) == {"200"}
    (use,) = json.loads(portal.run("vpnportal", "keys", "status", "--json"))
    assert (use["line"], use["unreadable"]) == (1, 0)
    assert use["values"]["revision"] > 2
    assert portal.script("wc -l </etc/vpnportal/keys/seal.key") == "1\n"
    found = json.loads(gateway.run("vpnportal", "doctor", "--json", "--only", "envelopes"))
    assert {each["state"] for each in found} == {"green"}
    wait_for(installed.ping, 30)


def test_an_ended_certificate_says_what_to_do_and_a_new_file_heals_the_gateway(installed):
    portal, gateway = installed.portal, installed.gateways[1]
    settings, signer = "/etc/vpnportal/enrolment.env", "vpnportal-enrolment.service"
    portal.script(f"echo VPNPORTAL_CERTIFICATE_DAYS=0.0001 >>{settings}; systemctl stop {signer}")
    gateway.run("vpnportal", "certificates", "renew", "--force")
    portal.script(f"sed -i /CERTIFICATE_DAYS/d {settings}; systemctl stop {signer}")
    shown = json.loads(gateway.run("vpnportal", "certificates", "show", "--json"))
    (end,) = shown["certificates"].values()
    has_ended = f'[[ $(date +%s) -gt $(date --date "{end}" +%s) ]] && echo yes || true'
    wait_for(lambda: gateway.script(has_ended) == "yes\n", 30)

    with pytest.raises(AssertionError, match=f"run `vpnportal gateway add {gateway.name}`"):
        gateway.run("vpnportal", "certificates", "renew")

    join_again(installed, gateway)


def join_again(installed: Installation, gateway: Machine) -> None:
    """Let a gateway join by a new file, and wait until the portal's pages show it online."""
    installed.portal.script(f"cd /root; vpnportal gateway add {gateway.name}")
    installed.bring_file(gateway)
    gateway.run("vpnportal", "gateway", "join", f"/root/{gateway.name}.join")
    wait_for(lambda: gateway.name in installed.online(), 60)


def test_a_removed_gateway_loses_its_rights_at_once_and_one_with_tunnels_stays(installed):
    portal, (first, gateway) = installed.portal, installed.gateways
    with pytest.raises(AssertionError, match=r"has 1 tunnel\. Move them first"):
        portal.run("vpnportal", "gateway", "remove", first.name)

    portal.run("vpnportal", "gateway", "remove", gateway.name)

    check = ("vpnportal", "doctor", "--json", "--only", "database", "broker")
    found = json.loads(gateway.run(*check, check=False))
    assert {each["name"]: each["state"] for each in found} == {"database": "red", "broker": "red"}
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'gw%02'"
    assert portal.script(f'runuser -u postgres -- psql -At -c "{sessions}"').strip() == "0"
    with pytest.raises(AssertionError, match="not that of a gateway"):
        gateway.run("vpnportal", "certificates", "renew", "--force")
    assert gateway.name not in portal.run("vpnportal", "gateway", "list")

    join_again(installed, gateway)


def test_the_help_lists_the_commands_for_operators_and_status_is_short(installed):
    shown = installed.portal.run("vpnportal", "--help")
    assert "gateway join FILE" in shown
    assert "makemigrations" not in shown
    wait_for(lambda: installed.online() == {gateway.name for gateway in installed.gateways}, 60)
    status = installed.portal.run("vpnportal", "status", check=False)
    assert f"gateway {NAME}: online, certificate until 20" in status
    assert len(status.splitlines()) < 12


def test_an_upgrade_of_all_machines_loses_no_ping_and_refuses_no_page(installed, tmp_path):
    checkout = clone(tmp_path / "checkout")
    make_next_release(checkout)
    packages = build(checkout, tmp_path / "packages")
    installed.bring(packages)
    (upgrade,) = install_guide.steps("Upgrades", "upgrade")
    wait_for(installed.ping, 15)

    server = installed.site.on_host("server")
    with pinging_with(server, 0.1) as pings, getting_pages(installed.portal) as statuses:
        for machine in (installed.portal, *installed.gateways):
            run_steps(machine, [upgrade])
        packages_of_portal = installed.portal.run("dpkg-query", "--show", "vpnportal*")
        assert re.fullmatch(r"vpnportal\t99\.0\.0\+deb\d+\n", packages_of_portal)
        migrations = installed.portal.run("vpnportal", "showmigrations", "vpnportal")
        assert "[X] 9999_later" in migrations
        wait_for(lambda: installed.apply() == "live", 30)

    print(f"{pings}; {len(statuses)} pages")
    assert pings.lost == 0
    assert set(statuses) == {"200"}


@contextmanager
def getting_pages(portal: Machine) -> Iterator[list[str]]:
    """Get a page again and again during the block; the list has the HTTP statuses after it."""
    statuses: list[str] = []
    loop = f"while sleep 0.2; do {shlex.join((*GET, *STATUS_ONLY, PAGE))}; done"
    process = subprocess.Popen(
        portal.command("bash", "-c", f"{loop} & read; kill $!; wait"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield statuses
    finally:
        statuses += process.communicate("stop\n", timeout=90)[0].split()


@pytest.mark.parametrize("number", range(4))
def test_a_power_cycle_of_a_machine_heals_by_itself(installed, number):
    machine = installed.machines[number]
    wait_for(installed.ping, 30)

    with pinging_with(installed.site.on_host("server"), 0.1) as pings:
        machine.halt()
        machine.up()
        # The device begins with no SA. The gateway learns it from dead peer detection: 44 s were
        # seen.
        back = wait_for(installed.ping, 150)

    note(f"power cycle: {machine.name}", pings, back)
    is_beside = machine in (installed.portal, installed.gateways[1])
    assert pings.gap_seconds == 0 if is_beside else pings.lost > 0
    wait_for(lambda: "0 loaded units" in machine.run("systemctl", "--failed"), 30)
    wait_for(lambda: installed.online() == {gateway.name for gateway in installed.gateways}, 60)
    assert installed.apply() == "live"
    wait_for(installed.ping, 30)


def test_a_portal_is_restored_on_a_new_machine_and_its_gateways_need_no_new_file(installed):
    portal = installed.portal
    assert installed.apply() == "live"
    wait_for(installed.ping, 30)

    def commands(machine: str) -> list[str]:
        chapter = "Restore on a new machine"
        return install_guide.steps(chapter, machine, install_guide.OPERATIONS)

    portal.script(
        "systemctl start vpnportal-backup; cp /var/backups/vpnportal/*.tar /root/portal.tar"
    )
    run_steps(portal, commands("old portal"))
    kept = [Path("/root", name) for name in ("portal.tar", "portal-settings.tar")]
    kept += [Path(name) for name in portal.script("ls /root/*.deb").split()]
    contents = [read_from(portal, file) for file in kept]
    for gateway in installed.gateways:
        run_steps(gateway, commands("gateway"))

    portal.down()
    installed.make_portal_disk()
    portal.up()
    for file, content in zip(kept, contents, strict=True):
        write_to(portal, file, content)
    first, *_ = install_guide.steps("The portal", "portal")
    run_steps(portal, [first, *commands("new portal")])
    for gateway in installed.gateways:
        run_steps(gateway, commands("gateway again"))

    wait_for(lambda: installed.online() == {gateway.name for gateway in installed.gateways}, 60)
    assert installed.ping()
    assert installed.apply() == "live"
    for gateway in installed.gateways:
        gateway.run("vpnportal", "certificates", "renew", "--force")


def read_from(machine: Machine, file: Path) -> bytes:
    """Return the content of a file on a machine."""
    return subprocess.run(machine.command("cat", str(file)), capture_output=True, check=True).stdout


def write_to(machine: Machine, file: Path, content: bytes) -> None:
    """Write a file of root's on a machine."""
    command = machine.command("sh", "-c", 'umask 077; cat >"$1"', "sh", str(file))
    subprocess.run(command, input=content, check=True)
