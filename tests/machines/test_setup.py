"""`vpnportal setup` with its questions, with PostgreSQL on another machine, and with Caddy."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.machines import install_guide
from tests.machines.debian import CACHE, DEBIAN
from tests.machines.installation import USERLAND_ESP, USERLAND_ESP_FILE, run_steps
from tests.machines.machine import Machine
from tests.machines.packages import build
from tests.machines.site import Site
from tests.machines.terminal import Terminal
from tests.running_portal import ROOT, wait_for

NAME = install_guide.EXAMPLE_NAME
HOSTS = "127.0.0.1 localhost {}\n10.77.0.10 vpn.example.net\n10.77.0.30 db.example.net\n"
ADDRESSES = {"asked": 11, "portal": 10, "database": 30, NAME: 21}
INSTALL = "cd /root; export DEBIAN_FRONTEND=noninteractive; apt-get update; apt-get install --yes "
# PostgreSQL's client has the version of the server's package.
CLIENT = "'^postgresql-client-[0-9]+$'"
PACKAGES = {
    "asked": "./vpnportal_*.deb postgresql redis-server nginx",
    "portal": f"./vpnportal_*.deb redis-server nginx {CLIENT}",
    NAME: "./vpnportal_*.deb ./vpnportal-gateway_*.deb",
}
PAGE = "https://vpn.example.net/sign-in/"
PAGE_IS_THERE = "<h1>Sign in</h1>"
CURL = "curl --silent --cacert /etc/vpnportal/tls/ca.pem"


class Maker:
    """Makes machines with the packages of this checkout."""

    def __init__(self, site: Site, system: Path, folder: Path) -> None:
        self._site, self._system, self._folder = site, system, folder
        self._packages = build(ROOT, folder)

    def make(self, *names: str) -> dict[str, Machine]:
        """Return new machines with their packages, by name."""
        made = {name: self._boot(name) for name in names}
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._install, made.values()))
        return made

    def _boot(self, name: str) -> Machine:
        links = (("management", f"10.77.0.{ADDRESSES[name]}/24"),)
        machine = Machine(self._site, name, self._system, links, self._folder)
        machine.make_disk()
        machine.write("etc/hosts", HOSTS.format(name))
        self._site.run("mkdir", "-p", str(machine.root / "etc/strongswan.d"))
        machine.write(USERLAND_ESP_FILE, USERLAND_ESP)
        machine.start()
        return machine

    def _install(self, machine: Machine) -> None:
        machine.wait()
        bring(machine, self._packages)
        if machine.name in PACKAGES:
            machine.script(INSTALL + PACKAGES[machine.name])


@pytest.fixture(scope="module")
def maker(site: Site, system: Path, tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return Maker(site, system, tmp_path_factory.mktemp("setup"))


@pytest.fixture(scope="module")
def asked(maker: Maker) -> Machine:
    """Return a machine with the portal's package, PostgreSQL, Redis and nginx."""
    return maker.make("asked")["asked"]


@pytest.fixture(scope="module")
def machines(maker: Maker) -> dict[str, Machine]:
    """Return the machines of a portal, of its database and of a gateway."""
    return maker.make("portal", "database", NAME)


def bring(machine: Machine, files: Sequence[Path]) -> None:
    """Copy files to /root of a machine."""
    for file in files:
        command = machine.command("sh", "-c", 'umask 077; cat >"$1"', "sh", f"/root/{file.name}")
        subprocess.run(command, input=file.read_bytes(), check=True)


def commands(machine: str) -> list[str]:
    """Return the blocks of docs/operations.md for a machine."""
    chapters = ("PostgreSQL of another machine", "Caddy for the pages")
    return [
        block
        for chapter in chapters
        for block in install_guide.steps(chapter, machine, install_guide.OPERATIONS)
    ]


def test_setup_asks_for_what_no_flag_says_and_shows_no_password_of_the_mail_server(asked):
    stopped = Terminal(asked, "vpnportal setup")
    stopped.answer("DNS name of the portal: ", "\x04")
    assert stopped.wait() == 1
    assert "Traceback" not in stopped.text
    assert "repeat the command" in stopped.text

    terminal = Terminal(asked, "vpnportal setup --mail-server smtp://portal@127.0.0.1:587")
    terminal.answer("DNS name of the portal: ", "asked.example.net\n")
    terminal.answer("Address in the management network: ", "10.77.0.11\n")
    terminal.answer("Password of portal at 127.0.0.1: ", "word of mail\n")
    assert terminal.wait() == 0, terminal.text

    assert "word of mail" not in terminal.text
    assert "word%20of%20mail" in asked.run("cat", "/etc/vpnportal/portal.env")
    shown = re.search(r"as admin with the password (\S+), and change", terminal.text)
    assert shown
    page = f"{CURL} --resolve asked.example.net:443:10.77.0.11 https://asked.example.net/sign-in/"
    assert "Sign in" in asked.script(page)
    again = Terminal(asked, "vpnportal setup")
    assert again.wait() == 0
    assert "There is an operator already." in again.text


@pytest.mark.parametrize(
    ("command", "status"),
    [
        *(("status", 1), ("keys", 0), ("apikey list", 0), ("certificates show", 0)),
        *(("copy --from /no-such-file", 1), ("copy", 2), ("gateway add", 2), ("held keep", 2)),
    ],
)
def test_a_command_with_json_prints_one_document_on_an_installed_machine(asked, command, status):
    shown = asked.script(f"vpnportal {command} --json && echo 0 || echo $?")

    *lines, ended = shown.splitlines()
    document = json.loads("\n".join(lines))
    assert int(ended) == status, document
    assert status != 2 or document["error"].endswith(".")


def test_only_the_renewal_of_certificates_may_give_files_to_other_users(asked):
    names = ("web", "beat", "tasks", "upgrade", "backup", "enrolment", "certificates")
    may = {
        name
        for name in names
        if re.search(
            r"\bf?chown\b",
            asked.run("systemctl", "show", "--property=SystemCallFilter", f"vpnportal-{name}"),
        )
    }

    # gunicorn would need it for another user only. The pages come without it.
    assert may == {"certificates"}
    assert asked.run("systemctl", "is-active", "vpnportal-web").strip() == "active"


@pytest.fixture(scope="module")
def portal(machines: dict[str, Machine]) -> Machine:
    """Return the portal with its database on another machine, after a gateway has joined."""
    portal, database, gateway = machines["portal"], machines["database"], machines[NAME]
    run_steps(portal, commands("portal before the database"))
    assert "enrolment.sql" in portal.run("tar", "--list", "--file", "/root/database.tar")
    copy(portal, "/root/database.tar", database)
    run_steps(database, commands("database"))
    run_steps(portal, commands("portal after the database"))

    run_steps(portal, install_guide.steps("A gateway", "portal"))
    copy(portal, f"/root/{NAME}.join", gateway)
    _, *join = install_guide.steps("A gateway", "gateway")
    run_steps(gateway, join)
    return portal


@pytest.mark.only_all
def test_a_portal_and_its_gateway_work_with_the_postgresql_of_another_machine(machines, portal):
    database, gateway = machines["database"], machines[NAME]
    assert PAGE_IS_THERE in portal.script(f"{CURL} --include {PAGE}")
    portal.script("! command -v postgres && systemctl start vpnportal-backup.service")
    wait_for(lambda: '"online": true' in portal.run("vpnportal", "status", "--json"), 60)
    for machine in (portal, gateway):
        found = json.loads(machine.run("vpnportal", "doctor", "--json", check=False))
        wrong = {each["name"]: each["found"] for each in found if each["state"] != "green"}
        # No tunnel is there yet, so none is stored.
        assert set(wrong) <= {"stored_tunnels"}, wrong
    connection = "certificates/database"
    assert "its chain is good" in next(e["found"] for e in found if e["name"] == connection)
    clear = database.script(
        "runuser -u postgres -- psql -At -c 'SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity"
        " USING (pid) WHERE client_addr IS NOT NULL AND NOT ssl'"
    )
    assert clear.strip() == "0"


def copy(source: Machine, file: str, target: Machine) -> None:
    """Copy a file of root's from one machine to another."""
    content = subprocess.run(source.command("cat", file), capture_output=True, check=True).stdout
    write = target.command("sh", "-c", 'umask 077; cat >"$1"', "sh", file)
    subprocess.run(write, input=content, check=True)


# From the public authority of a name to one of Caddy's own: machines of tests have no network.
LOCAL_AUTHORITY = (
    "sed -i 's/^\tservers {/\tlocal_certs\\n\tskip_install_trust\\n&/'"
    " /usr/share/vpnportal/Caddyfile"
)
# Debian's package and those on which it depends, but for what each machine has.
CADDY = ("caddy", "libnspr4", "libnss3", "libnss3-tools", "media-types")
AUTHORITY = "/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt"
SECURITY = (
    *("content-security-policy", "strict-transport-security", "x-frame-options"),
    *("x-content-type-options", "referrer-policy", "cross-origin-opener-policy"),
)


@pytest.fixture
def caddy(portal: Machine, tmp_path: Path) -> Machine:
    """Return the portal, whose apt can install Debian's Caddy."""
    if DEBIAN != 12:
        pytest.skip("The Debian of this machine has the package of Caddy for Debian 12.")
    packages = CACHE / "caddy"
    packages.mkdir(exist_ok=True)
    if not list(packages.glob("caddy_*.deb")):
        subprocess.run(["apt-get", "download", "--quiet", *CADDY], cwd=packages, check=True)
    scan = ["dpkg-scanpackages", "--multiversion", "."]
    index = subprocess.run(scan, cwd=packages, capture_output=True, check=True).stdout
    (tmp_path / "Packages").write_bytes(index)
    bring(portal, [*packages.glob("*.deb"), tmp_path / "Packages"])
    portal.script(
        "mkdir /srv/caddy; mv $(ls /root/*.deb | grep --invert-match vpnportal) /root/Packages"
        " /srv/caddy"
        "; echo 'deb [trusted=yes] file:/srv/caddy ./' >/etc/apt/sources.list.d/caddy.list"
        "; chmod -R go+rX /srv/caddy; apt-get update"
    )
    return portal


def headers(portal: Machine, authority: str) -> dict[str, str]:
    """Return the security headers of the page, of which the web server may change none."""
    shown = portal.script(f"curl --silent --head --cacert {authority} {PAGE}")
    pairs = dict(re.findall(r"^([\w-]+): (.*?)\r?$", shown, re.MULTILINE))
    return {name: pairs[name] for name in SECURITY if name in pairs}


@pytest.mark.only_all
def test_caddy_serves_the_pages_and_nginx_keeps_the_port_of_gateways(machines, caddy):
    gateway, by_nginx = machines[NAME], headers(caddy, "/etc/vpnportal/tls/ca.pem")
    caddy.script(LOCAL_AUTHORITY)
    run_steps(caddy, commands("caddy"))

    caddy.run("caddy", "validate", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile")
    wait_for(
        lambda: PAGE_IS_THERE in caddy.script(f"curl -s --cacert {AUTHORITY} {PAGE} || true"), 30
    )
    assert len(by_nginx) >= 5
    assert headers(caddy, AUTHORITY) == by_nginx
    status = (
        "curl --http1.1 --silent --output /dev/null --write-out %{http_code}"
        f" --cacert {AUTHORITY} "
    )
    page = "https://vpn.example.net"
    large = f"head -c 20000000 /dev/zero | {status} --data-binary @- {PAGE}"
    assert caddy.script(large) == "413"
    assert caddy.script(f"{status} --data '{{}}' {page}/gateway/join") == "404"
    assert caddy.script(f"{status} http://vpn.example.net/") == "308"

    serial = (
        "openssl s_client -connect vpn.example.net:8443 -CAfile /etc/vpnportal/tls/ca.pem"
        " -verify_return_error </dev/null 2>/dev/null | openssl x509 -noout -serial"
    )
    before = caddy.script(serial)
    caddy.run("vpnportal", "certificates", "renew", "--force")
    wait_for(lambda: caddy.script(serial) != before, 10)
    gateway.run("vpnportal", "certificates", "renew", "--force")
    caddy.script("vpnportal setup --no-input")
    assert PAGE_IS_THERE in caddy.script(f"curl --silent --cacert {AUTHORITY} {PAGE}")
    found = json.loads(caddy.run("vpnportal", "doctor", "--json", "--only", "web", "units"))
    assert {each["name"] for each in found} >= {"web/pages", "web/gateways"}
    assert {each["state"] for each in found} == {"green"}
