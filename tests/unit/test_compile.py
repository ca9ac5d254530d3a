"""Compilation of specifications into settings of charon and elements of nftables maps."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given

from tests.desired_state import compile_specs
from tests.unit.samples import EXAMPLE, KEY, example, networks, specs, translation
from vpnportal.domain.gateway_config.compile import compile_tunnel
from vpnportal.domain.gateway_config.names import ike_fingerprint_of, is_portal_secret
from vpnportal.domain.gateway_config.nat_elements import NatElement, NatMap, marked_key
from vpnportal.domain.gateway_config.proposals import esp_proposal, ike_proposal
from vpnportal.domain.tunnel.spec import TunnelSpec


def children(spec: TunnelSpec) -> dict[str, dict]:
    return compile_specs([spec], KEY).connections["ctx42"].settings["children"]


@pytest.mark.parametrize(
    ("algorithms", "ike", "esp"),
    [
        (("3DES", "MD5", 2), "3des-md5-modp1024", "3des-md5-modp1024"),
        (("AES256", "SHA256", 5), "aes256-sha256-modp1536", "aes256-sha256-modp1536"),
        (
            ("AES256-GCM", "SHA384", 20),
            "aes256gcm16-prfsha384-ecp384",
            "aes256gcm16-ecp384",
        ),
    ],
)
def test_algorithms_become_proposals(algorithms: tuple, ike: str, esp: str):
    assert (ike_proposal(*algorithms), esp_proposal(*algorithms)) == (ike, esp)


def test_without_pfs_the_esp_proposal_has_no_group():
    spec = example(phase_two=replace(EXAMPLE.phase_two, pfs=False))

    (child,) = children(spec).values()

    assert child["esp_proposals"] == ["aes256-sha256"]


def test_ikev1_has_a_child_for_each_pair_of_subnets():
    spec = example(
        hosted_subnets=networks("10.2.0.0/24", "10.3.0.0/24"),
        remote_subnets=networks("192.168.10.0/24", "192.168.20.0/24"),
    )

    pairs = {(*child["local_ts"], *child["remote_ts"]) for child in children(spec).values()}

    assert pairs == {
        ("10.2.0.0/24", "192.168.10.0/24"),
        ("10.2.0.0/24", "192.168.20.0/24"),
        ("10.3.0.0/24", "192.168.10.0/24"),
        ("10.3.0.0/24", "192.168.20.0/24"),
    }


def test_ikev2_has_one_child_for_all_subnets():
    spec = example(ike_version=2, remote_subnets=networks("192.168.10.0/24", "192.168.20.0/24"))

    (child,) = children(spec).values()

    assert child["remote_ts"] == ["192.168.10.0/24", "192.168.20.0/24"]


def test_an_sa_is_rekeyed_before_its_key_life_ends():
    settings = compile_specs([EXAMPLE], KEY).connections["ctx42"].settings
    (child,) = settings["children"].values()

    assert (settings["rekey_time"], settings["over_time"]) == ("12960s", "1440s")
    assert (child["rekey_time"], child["life_time"]) == ("3240s", "3600s")


def test_a_translation_is_an_element_of_three_maps():
    internal, customer = int(IPv4Address("10.1.255.92")), int(IPv4Address("192.168.10.15"))
    before = compile_specs([example(translations=())], KEY).elements
    assert compile_specs([EXAMPLE], KEY).elements - before == {
        NatElement(NatMap.INBOUND, internal, customer),
        NatElement(NatMap.OUTBOUND, marked_key(42, customer), internal),
        NatElement(NatMap.TUNNEL_OF, internal, 42),
    }


def test_a_mark_selects_the_packets_of_each_child_and_is_in_the_names_of_the_children():
    marked = compile_tunnel(EXAMPLE, KEY, 259).connection

    (child,) = marked.settings["children"].values()
    marks = [child[name] for name in ("mark_in", "mark_out", "set_mark_in")]
    assert (marks, marked.mark) == (["259/0xffff"] * 3, 259)
    unmarked = compile_tunnel(EXAMPLE, KEY).connection
    (child,) = unmarked.settings["children"].values()
    assert not any("mark" in name for name in child) and "priority" not in child
    names = marked.children | unmarked.children
    assert (len(names), len(set(map(ike_fingerprint_of, names)))) == (2, 1)


def test_marked_policies_come_before_those_without_a_mark_and_those_of_smaller_networks_first():
    remote = networks("10.64.0.0/10", "10.64.1.0/24", "192.168.10.15/32")

    by_network = {
        child["remote_ts"][0]: int(child["priority"])
        for child in children(example(remote_subnets=remote)).values()
    }

    assert sorted(by_network, key=by_network.__getitem__) == [
        "192.168.10.15/32",
        "10.64.1.0/24",
        "10.64.0.0/10",
    ]
    # charon's own priority of the smallest network.
    assert max(by_network.values()) < 400_000 - 64 * 512


@pytest.mark.parametrize(("translated_only", "networks"), [(False, 1), (True, 0)])
def test_a_tunnel_with_translated_access_only_leads_to_no_remote_network(translated_only, networks):
    elements = compile_tunnel(example(translated_only=translated_only), KEY, 259).elements

    count = {name: len(elements.of(name)) for name in NatMap}
    assert count.pop(NatMap.NETWORKS) == networks
    assert set(count.values()) == {1}


def test_translations_do_not_change_child_names():
    other = example(translations=(translation("10.1.255.93", "192.168.10.16"),))

    assert children(other).keys() == children(EXAMPLE).keys()


@pytest.mark.parametrize(
    "other",
    [
        example(preshared_key="another"),
        example(phase_one=replace(EXAMPLE.phase_one, encryption="AES128")),
        example(phase_one=replace(EXAMPLE.phase_one, keylife=14_401)),
        example(remote_peer=IPv4Address("203.0.113.3")),
        example(ike_version=2),
    ],
)
def test_a_change_of_ike_settings_renames_each_child_and_the_secret(other: TunnelSpec):
    before, after = compile_specs([EXAMPLE], KEY), compile_specs([other], KEY)

    child_names = (*children(EXAMPLE), *children(other))

    assert len({ike_fingerprint_of(name) for name in child_names}) == 2
    assert not before.secrets.keys() & after.secrets.keys()


def test_a_change_of_phase_two_keeps_the_ike_fingerprint():
    other = example(phase_two=replace(EXAMPLE.phase_two, keylife=1_800))

    (before,), (after,) = children(EXAMPLE), children(other)

    assert before != after
    assert ike_fingerprint_of(before) == ike_fingerprint_of(after)


def test_a_new_subnet_keeps_the_names_of_the_other_children_with_ikev1():
    more = example(remote_subnets=networks("192.168.10.0/24", "192.168.20.0/24"))

    assert children(EXAMPLE).keys() < children(more).keys()


def test_names_depend_on_the_key():
    assert compile_specs([EXAMPLE], KEY).secrets.keys() != (
        compile_specs([EXAMPLE], b"x" * 32).secrets.keys()
    )


@given(specs())
def test_the_repr_and_the_names_do_not_contain_the_preshared_key(spec: TunnelSpec):
    desired = compile_specs([spec], KEY)

    assert spec.preshared_key not in repr(desired)
    assert all(is_portal_secret(name) for name in desired.secrets)
