"""Exports: mirrored settings, complete, without the key, and no user text in statements."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.samples import EXAMPLE, KEY, example, networks, specs, translation
from vpnportal.domain.exports import EXPORTS, NOT_AVAILABLE, peer_view
from vpnportal.domain.exports.hosts_file import host_name
from vpnportal.domain.exports.mikrotik import duration
from vpnportal.domain.gateway_config.compile import compile_tunnel
from vpnportal.domain.tunnel.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS, KEYLIFE_SECONDS
from vpnportal.domain.tunnel.spec import PhaseOne, PhaseTwo, TunnelSpec

GOLDEN = Path(__file__).parent / "exports"
COMMENT_SIGNS = {"cisco-ios": "!"}
# Each example writes every export, so a few examples suffice, and their time is irrelevant.
FEW = settings(max_examples=30, deadline=None)
HOSTILE = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        (
            "x\n} secrets { ike-x { secret = known",
            "x\r\ninclude /etc/shadow",
            "x\u2028set system root-authentication",
            "-x; $(reboot) `id` && :put 1",
            'x" next end config system admin',
            "x # y ! z ? * \\",
            "localhost",
            "x\x00y\x85z",
        )
    ),
)


@st.composite
def drafts(draw: st.DrawFn) -> TunnelSpec:
    """Return drafts with any values, complete or not."""
    spec = draw(specs())
    group = st.sampled_from(tuple(GROUPS))
    encryption = st.sampled_from(tuple(ENCRYPTIONS))
    authentication = st.sampled_from(tuple(AUTHENTICATIONS))
    keylife = st.sampled_from((KEYLIFE_SECONDS.start, 3_601, KEYLIFE_SECONDS.stop - 1))
    return replace(
        spec,
        remote_peer=draw(st.sampled_from((spec.remote_peer, None))),
        hosted_subnets=draw(st.sampled_from((spec.hosted_subnets, ()))),
        remote_subnets=draw(st.sampled_from((spec.remote_subnets, ()))),
        phase_one=PhaseOne(*map(draw, (encryption, authentication, group, keylife))),
        phase_two=PhaseTwo(*map(draw, (encryption, authentication, st.booleans(), group, keylife))),
        translations=tuple(replace(row, name=draw(HOSTILE)) for row in spec.translations),
    )


def without_names(spec: TunnelSpec) -> TunnelSpec:
    return replace(spec, translations=tuple(replace(row, name="") for row in spec.translations))


def export(slug: str, spec: TunnelSpec, title: str = "") -> str:
    return EXPORTS[slug].write(peer_view(spec, "ipsec038", title, "revision 8, which is live"))


def statements(slug: str, text: str) -> list[str]:
    """Return the lines without comments."""
    return [line for line in text.split("\n") if not line.startswith(COMMENT_SIGNS.get(slug, "#"))]


def sentences(slug: str, text: str) -> str:
    """Return the text of the comments, unwrapped."""
    sign = COMMENT_SIGNS.get(slug, "#")
    return " ".join(line[2:] for line in text.split("\n") if line.startswith(sign))


@pytest.mark.parametrize("slug", EXPORTS)
@pytest.mark.parametrize("version", [1, 2])
def test_the_example_equals_the_reviewed_file(slug: str, version: int):
    spec = EXAMPLE
    if version == 2:
        spec = example(
            ike_version=2,
            phase_one=PhaseOne("AES256-GCM", "SHA384", 20, 14_400),
            remote_subnets=networks("192.168.10.0/24", "192.168.20.0/24"),
        )

    expected = (GOLDEN / f"{slug}.ikev{version}.txt").read_text()

    assert export(slug, spec, "Head office") == expected


@FEW
@given(drafts(), HOSTILE)
def test_names_entered_by_users_are_in_no_statement(spec: TunnelSpec, title: str):
    for slug in EXPORTS.keys() - {"hosts"}:
        text = export(slug, spec, title)

        assert statements(slug, text) == statements(slug, export(slug, without_names(spec)))
        assert text.isascii()
        assert all(line.isprintable() for line in text.split("\n"))


@FEW
@given(drafts(), HOSTILE)
def test_each_line_of_the_hosts_file_is_an_address_and_a_unique_name(spec: TunnelSpec, title: str):
    lines = statements("hosts", export("hosts", spec, title))[:-1]

    matches = [
        re.fullmatch(r"([0-9.]+)\t([A-Za-z0-9][A-Za-z0-9.-]{0,252})\t# [ -~]+", line)
        for line in lines
    ]
    names = [match[2].lower() for match in matches if match]

    assert all(matches)
    assert {match[1] for match in matches if match} <= {str(r.internal) for r in spec.translations}
    assert len(set(names)) == len(names)
    assert all(0 < len(label) <= 63 for name in names for label in name.split("."))
    assert not any("localhost" in name.split(".") for name in names)


@FEW
@given(drafts(), st.text("abcdefghijklmnopqrstuvwxyz0123456789", max_size=16))
def test_no_export_contains_the_preshared_key_and_each_is_deterministic(
    spec: TunnelSpec, text: str
):
    key = f"canary {text}"
    spec = replace(spec, preshared_key=key)

    assert key not in repr(peer_view(spec, "ipsec038"))
    for slug in EXPORTS:
        assert key not in export(slug, spec)
        assert export(slug, spec) == export(slug, spec)


@FEW
@given(specs())
def test_the_peer_has_the_selectors_of_charon(spec: TunnelSpec):
    mirrored = {
        (
            tuple(network.cidr for network in child.hosted),
            tuple(network.cidr for network in child.own),
        )
        for child in peer_view(spec, "ipsec038").children
    }

    loaded = compile_tunnel(spec, KEY).connection.as_loaded
    assert mirrored == {(child.local_ts, child.remote_ts) for child in loaded.children}


@FEW
@given(specs())
def test_no_address_of_a_static_nat_subnet_is_in_a_statement_for_a_device(spec: TunnelSpec):
    provider = {str(row.internal) for row in spec.translations}
    provider |= {str(network.network_address) for network in spec.static_nat_subnets}

    for slug in EXPORTS.keys() - {"hosts"}:
        words = set(re.split(r"[\s/,:]+", "\n".join(statements(slug, export(slug, spec)))))
        assert not words & provider


@FEW
@given(drafts())
def test_unsupported_settings_have_a_warning_and_a_value_that_the_device_rejects(spec: TunnelSpec):
    for slug in EXPORTS.keys() - {"hosts"}:
        text = export(slug, spec)

        warning = re.search("does not support .* as phase|does not offer", sentences(slug, text))
        assert (NOT_AVAILABLE in "".join(statements(slug, text))) == bool(warning)


@pytest.mark.parametrize(
    ("slug", "version", "lines"),
    [
        ("strongswan", 2, 1),
        ("libreswan", 2, 1),
        ("cisco-ios", 2, 4),
        ("juniper-srx", 1, 4),
        ("fortigate", 1, 4),
        ("mikrotik", 2, 4),
        ("pfsense", 1, 4),
        ("opnsense", 1, 4),
        ("opnsense", 2, 1),
    ],
)
def test_subnet_pairs_become_the_children_that_the_device_supports(
    slug: str, version: int, lines: int
):
    spec = example(
        ike_version=version,
        hosted_subnets=networks("10.2.0.0/24", "10.3.0.0/24"),
        remote_subnets=networks("192.168.10.0/24", "192.168.20.0/24"),
    )
    child = {
        "strongswan": "remote_ts",
        "libreswan": "rightsubnets",
        "cisco-ios": " permit ip ",
        "juniper-srx": "traffic-selector",
        "fortigate": "set dst-subnet",
        "mikrotik": "/ip ipsec policy add",
        "pfsense": "Remote Network:",
        "opnsense": "Remote:",
    }[slug]

    children = [line for line in statements(slug, export(slug, spec)) if child in line]

    assert len(children) == lines


@pytest.mark.parametrize(
    ("slug", "statement"),
    [
        ("strongswan", "                esp_proposals = aes256-sha256"),
        ("libreswan", "    pfs=no"),
        ("fortigate", "        set pfs disable"),
        ("pfsense", "PFS key group:            off"),
    ],
)
def test_pfs_off_is_exported(slug: str, statement: str):
    spec = example(phase_two=replace(EXAMPLE.phase_two, pfs=False))

    assert statement in statements(slug, export(slug, spec))


@pytest.mark.parametrize(
    ("slug", "initiating", "without_dpd"),
    [
        ("strongswan", "                start_action = start", "        dpd_delay = 0s"),
        ("libreswan", "    auto=start", None),
        ("juniper-srx", "set security ipsec vpn ipsec038 establish-tunnels immediately", None),
        ("fortigate", "        set auto-negotiate enable", "        set dpd disable"),
        ("pfsense", "Child SA Start Action:    Initiate at start (VTI or Tunnel Mode)", None),
        ("opnsense", "Start action:             Start", "DPD delay (s):            0"),
    ],
)
def test_a_peer_that_must_initiate_does_and_dpd_off_is_exported(
    slug: str, initiating: str, without_dpd: str | None
):
    peer = replace(peer_view(EXAMPLE, "ipsec038"), must_initiate=True, dpd=0)

    lines = statements(slug, EXPORTS[slug].write(peer))

    assert initiating in lines
    if without_dpd:
        assert without_dpd in lines
    else:
        assert not [line for line in lines if "dead-peer" in line]


def test_an_unsupported_key_life_becomes_the_nearest_with_a_warning():
    spec = example(phase_one=replace(EXAMPLE.phase_one, keylife=172_800))

    text = export("juniper-srx", spec)

    line = "set security ike proposal ipsec038 lifetime-seconds 86400"
    assert line in statements("juniper-srx", text)
    assert (
        "WARNING: Juniper SRX supports a phase 1 key life of 180 to 86400 seconds: 86400 is"
        " used instead of 172800."
    ) in sentences("juniper-srx", text)


def test_a_missing_value_has_a_remark_and_a_placeholder():
    spec = example(remote_peer=None, hosted_subnets=(), preshared_key="")

    text = export("strongswan", spec)

    missing = "INCOMPLETE: Enter the static address of the customers VPN device."
    assert missing in sentences("strongswan", text)
    assert "        local_addrs = YOUR_PUBLIC_ADDRESS" in statements("strongswan", text)
    assert "                remote_ts = HOSTED_NETWORK" in statements("strongswan", text)


@pytest.mark.parametrize("name", ["ipsec038\n}", "-x; reboot", '"', "ü" * 40, ""])
def test_a_tunnel_id_is_reduced_to_letters_and_digits(name: str):
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", peer_view(EXAMPLE, name).name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("database", "database"),
        ("db.example.com", "db.example.com"),
        ("Web server #1", "Web-server-1"),
        ("-büro_2-", "buro-2"),
        ("..a..b..", "a.b"),
        ("x" * 70, "x" * 63),
        ("10.1.2.3", ""),
        ("sale 2", "sale-2"),
        ("localhost", ""),
        ("LOCALHOST.localdomain", ""),
        ("ip6-loopback", ""),
        ("日本", ""),
        ("", ""),
    ],
)
def test_a_name_becomes_a_host_name_or_none(text: str, name: str):
    assert host_name(text) == name


def test_a_duplicate_name_belongs_to_the_first_address():
    spec = example(
        translations=(
            translation("10.1.255.94", "192.168.10.17"),
            translation("10.1.255.93", "192.168.10.16", "DATABASE"),
            translation("10.1.255.92", "192.168.10.15", "database"),
        )
    )

    lines = export("hosts", spec).split("\n")

    assert lines[-4:] == [
        "10.1.255.92\tdatabase\t# 192.168.10.15",
        "# 10.1.255.93 (192.168.10.16) duplicate name DATABASE, used by 10.1.255.92",
        "# 10.1.255.94 (192.168.10.17) no valid host name",
        "",
    ]


def test_translations_are_sorted_by_address():
    spec = example(
        translations=(
            translation("10.1.255.93", "192.168.10.16", "b"),
            translation("10.1.255.92", "192.168.10.15", "a"),
        )
    )

    order = [row.internal for row in peer_view(spec, "ipsec038").translations]

    assert order == [IPv4Address("10.1.255.92"), IPv4Address("10.1.255.93")]


@pytest.mark.parametrize(
    ("seconds", "text"), [(14_400, "4h"), (172_800, "2d"), (2_710, "45m10s"), (120, "2m")]
)
def test_times_of_routeros_have_its_units(seconds: int, text: str):
    assert duration(seconds) == text
