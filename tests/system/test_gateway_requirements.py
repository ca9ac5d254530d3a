"""The check of a gateway's machine names each unmet requirement, and how to meet it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import namespaces
from lab.many_peers import enter_namespace
from lab.topology import CONCENTRATOR, Host
from tests.running_portal import PYTHON, ROOT, RunningPortal, laboratory_prefix
from tests.system.privileges.users import on_gateway
from vpnportal.domain.gateway_config.desired import LoadedChild, LoadedConnection
from vpnportal.gateway.requirements import ipsec, netfilter, routing, sysctls
from vpnportal.gateway.requirements.findings import Finding, Level

PREFIX = laboratory_prefix("q")
CONF, NETFILTER = "net.ipv4.conf", "net.netfilter.nf_conntrack"
CHILD = LoadedChild("ctx1-0-0", ("10.2.0.0/24",), ("192.168.10.0/24",), "3240")
DEFAULT_ROUTE = "route add default via 203.0.113.2"
TUNNEL = LoadedConnection("IKEv2", ("203.0.113.1", "203.0.113.2"), "0", "12960", (CHILD,))


@pytest.fixture(autouse=True)
def _in_gateway() -> Iterator[None]:
    """Run in a gateway with two interfaces, the kernel settings of the laboratory, and rules."""
    bridges: dict[str, tuple[str, ...]] = {"hosted": (), "public": ()}
    addresses = {"hosted": ("10.2.0.1/24",), "public": ("203.0.113.1/24",)}
    namespaces.delete(PREFIX)
    try:
        host = Host(CONCENTRATOR, "", addresses, forwards=True, bridges=bridges)
        namespaces.make(PREFIX, [host], ())
        with enter_namespace(PREFIX, CONCENTRATOR):
            run("nft", "add table ip t; add chain ip t c { type filter hook input priority 0; }")
            run("nft", "add rule ip t c ct state new accept")
            yield
    finally:
        namespaces.delete(PREFIX)


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def set_sysctl(name: str, value: int) -> None:
    Path("/proc/sys", *name.split(".")).write_text(str(value))


def route_into_tunnels() -> Finding:
    return routing.route_into_tunnels([TUNNEL])


def refusing_routes() -> Finding:
    return routing.refusing_routes([TUNNEL])


@pytest.mark.parametrize(
    ("requirement", "setting", "value", "level", "text"),
    [
        (sysctls.forwarding, "net.ipv4.ip_forward", 0, Level.ERROR, "forwards no packets"),
        (sysctls.forwarding, f"{CONF}.hosted.forwarding", 0, Level.ERROR, "arrive on hosted are"),
        (sysctls.reverse_path_filter, f"{CONF}.all.rp_filter", 1, Level.WARNING, "hosted, public"),
        (sysctls.reverse_path_filter, f"{CONF}.hosted.rp_filter", 1, Level.WARNING, "on hosted:"),
        (sysctls.marks_of_answers, "net.ipv4.fwmark_reflect", 0, Level.ERROR, "have no mark"),
        (sysctls.redirects, f"{CONF}.all.send_redirects", 1, Level.WARNING, "sends ICMP redirects"),
        (sysctls.redirects, f"{CONF}.public.send_redirects", 1, Level.WARNING, "on public:"),
        (sysctls.encryption_enabled, f"{CONF}.public.disable_xfrm", 1, Level.ERROR, "public is"),
        (sysctls.encryption_enabled, f"{CONF}.hosted.disable_policy", 1, Level.ERROR, "hosted is"),
        (sysctls.path_mtu_discovery, "net.ipv4.ip_no_pmtu_disc", 1, Level.ERROR, "get lost"),
        (sysctls.reserved_spis, "net.core.xfrm_acq_expires", 30, Level.WARNING, "after 30 s"),
        (sysctls.conntrack_timeouts, f"{NETFILTER}_tcp_loose", 0, Level.WARNING, "moves here"),
        (
            sysctls.conntrack_timeouts,
            f"{NETFILTER}_tcp_timeout_established",
            600,
            Level.WARNING,
            "after 600 s",
        ),
    ],
)
def test_a_wrong_kernel_setting_is_found(
    requirement: Callable[[], Finding], setting: str, value: int, level: Level, text: str
):
    assert requirement().level is Level.OK

    set_sysctl(setting, value)

    finding = requirement()
    assert (finding.level, text in finding.text) == (level, True), finding
    assert finding.remedy.startswith("Set net.")


def test_the_gateway_follows_redirects_only_if_both_settings_allow_it():
    set_sysctl(f"{CONF}.public.accept_redirects", 1)
    assert sysctls.redirects().level is Level.OK

    set_sysctl(f"{CONF}.all.accept_redirects", 1)
    assert "arrive on public" in sysctls.redirects().text


@pytest.mark.parametrize(
    ("flows", "limit", "level"),
    [(10, 262_144, Level.OK), (10, 7_168, Level.WARNING), (230_000, 262_144, Level.ERROR)],
)
def test_a_small_or_full_table_of_flows_is_found(
    monkeypatch: pytest.MonkeyPatch, flows: int, limit: int, level: Level
):
    values = {f"{NETFILTER}_count": flows, f"{NETFILTER}_max": limit}
    monkeypatch.setattr(sysctls, "read_sysctl", values.get)

    assert sysctls.conntrack_size().level is level
    assert str(limit) in sysctls.conntrack_size().text


def test_the_settings_in_the_documentation_meet_the_requirements(tmp_path: Path):
    text = (ROOT / "docs" / "operations.md").read_text()
    block = re.search(r"^    # /etc/sysctl.d/60-vpnportal.conf\n(    .*\n)+", text, re.M)
    assert block
    # Only the machine itself can change the size of the table of flows.
    lines = [line.strip() for line in block[0].splitlines() if "nf_conntrack_max" not in line]
    (tmp_path / "sysctl.conf").write_text("\n".join(lines))
    wrong = ("all.rp_filter", "all.send_redirects", "hosted.send_redirects", "public.rp_filter")
    for setting in wrong:
        set_sysctl(f"{CONF}.{setting}", 1)
    for setting in ("net.ipv4.ip_forward", "net.ipv4.fwmark_reflect"):
        set_sysctl(setting, 0)

    run("sysctl", "--load", str(tmp_path / "sysctl.conf"))

    requirements = (
        sysctls.forwarding,
        sysctls.reverse_path_filter,
        sysctls.redirects,
        sysctls.marks_of_answers,
        sysctls.reserved_spis,
        sysctls.conntrack_timeouts,
    )
    assert {requirement().level for requirement in requirements} == {Level.OK}


def test_a_kernel_without_conntrack_or_ipsec_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sysctls, "read_sysctl", lambda name: None)

    assert sysctls.conntrack_size().level is sysctls.reserved_spis().level is Level.ERROR


@pytest.mark.parametrize(
    ("requirement", "commands", "level", "text"),
    [
        (
            netfilter.other_rules,
            [
                "nft add table ip x",
                "nft add chain ip x y { type filter hook forward priority 0; policy drop; }",
            ],
            Level.WARNING,
            "ip x y",
        ),
        (
            lambda: ipsec.charon_routes(ipsec.Charon()),
            ["ip route add 192.168.10.0/24 dev public table 220"],
            Level.WARNING,
            "1 routes in table 220",
        ),
        (
            refusing_routes,
            ["ip route add blackhole 192.168.0.0/16"],
            Level.ERROR,
            "192.168.10.0/24 (blackhole)",
        ),
    ],
)
def test_a_rule_or_route_of_another_program_is_found(
    requirement: Callable[[], Finding], commands: list[str], level: Level, text: str
):
    assert requirement().level is Level.OK

    for command in commands:
        program, _, words = command.partition(" ")
        run(program, *([words] if program == "nft" else words.split()))

    finding = requirement()
    assert (finding.level, text in finding.text) == (level, True), finding


@pytest.mark.parametrize(
    ("commands", "declared", "level", "text"),
    [
        ((), (), Level.OK, "only from hosted"),
        ((), ("hosted",), Level.OK, "only from hosted (declared)."),
        ((), ("hosted", "public"), Level.ERROR, "public is an interface of the hosted and"),
        ((), ("vlan*",), Level.ERROR, "No interface is called vlan*"),
        (("link delete hosted", "route add 10.2.0.0/24 dev public"), (), Level.ERROR, "public is"),
        (("link set hosted down", DEFAULT_ROUTE), (), Level.OK, "only from hosted"),
        (("link delete hosted", DEFAULT_ROUTE), (), Level.ERROR, "public is the only interface"),
    ],
)
def test_a_hosted_side_that_is_not_separate_from_the_public_side_is_found(
    commands: tuple[str, ...], declared: tuple[str, ...], level: Level, text: str
):
    for command in commands:
        run("ip", *command.split())

    finding = routing.separate_sides([TUNNEL], declared)

    assert (finding.level, text in finding.text) == (level, True), finding


def test_a_connection_of_another_program_without_addresses_stops_no_check():
    child = LoadedChild("ctx2-0-0", ("dynamic",), ("dynamic",), "3240")
    foreign = LoadedConnection("IKEv2", ("%any", "%any"), "0", "12960", (child,))

    for check in (lambda both: routing.separate_sides(both, ()), routing.refusing_routes):
        finding = check([foreign, TUNNEL])
        assert finding.level is Level.OK, finding


def test_missing_routes_are_found():
    assert routing.route_into_tunnels([]).level is Level.OK
    assert route_into_tunnels().level is Level.WARNING

    run("ip", "address", "flush", "dev", "public")
    assert "No peer can be reached" in route_into_tunnels().text


def test_a_charon_that_does_not_answer_is_found(tmp_path: Path):
    charon = ipsec.Charon.read(str(tmp_path / "no.vici"))

    finding = ipsec.charon_answers(charon, "/run/charon.vici")

    assert finding.level is Level.ERROR
    assert finding.text.startswith("/run/charon.vici: ")


@pytest.mark.parametrize(("user", "level"), [(0, Level.WARNING), (990, Level.OK), (None, Level.OK)])
def test_a_charon_that_is_root_is_found(user: int | None, level: Level):
    assert ipsec.charon_user(ipsec.Charon(user_id=user)).level is level


def test_many_tunnels_with_equal_networks_are_found():
    few, many = (
        ipsec.equal_selectors(ipsec.Charon(connections={f"ctx{n}": TUNNEL for n in range(count)}))
        for count in (100, 101)
    )

    assert ipsec.equal_selectors(ipsec.Charon()).level is few.level is Level.OK
    assert many.level is Level.WARNING
    assert "hosted subnet 10.2.0.0/24 and the remote network 192.168.10.0/24" in many.text


def test_missing_rules_are_found():
    assert netfilter.own_rules(userland_esp=False).level is Level.ERROR


@pytest.mark.parametrize(
    ("userland_esp", "refusal", "level"),
    [
        (False, "", Level.OK),
        (False, "Protocol not supported", Level.ERROR),
        (True, "", Level.WARNING),
        (True, "Protocol not supported", Level.OK),
    ],
)
def test_the_plane_is_the_kernels_if_the_kernel_has_esp(
    monkeypatch: pytest.MonkeyPatch, userland_esp: bool, refusal: str, level: Level
):
    monkeypatch.setattr(ipsec, "_esp_refusal", lambda: refusal)

    assert ipsec.esp(ipsec.Charon(userland_esp=userland_esp)).level is level


def test_the_laboratory_meets_all_requirements(live: RunningPortal):
    checked = on_gateway(live, PYTHON, "manage.py", "check_gateway", "--json")

    findings = json.loads(checked.stdout)
    assert [finding for finding in findings if finding["level"] != "ok"] == []
    assert checked.returncode == 0
    assert {"charon", "esp", "rules", "conntrack"} <= {item["requirement"] for item in findings}
    assert "charon is not root." in [item["text"] for item in findings]

    live.on("concentrator", "sysctl", "-w", "net.ipv4.ip_forward=0")
    try:
        checked = on_gateway(live, PYTHON, "manage.py", "check_gateway")
    finally:
        live.on("concentrator", "sysctl", "-w", "net.ipv4.ip_forward=1")
    assert checked.returncode == 1
    assert "error    forwarding: The machine forwards no packets." in checked.stdout
