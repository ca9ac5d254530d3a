"""The example specification, and functions that vary it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from hypothesis import strategies as st

from vpnportal.domain.tunnel.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS
from vpnportal.domain.tunnel.spec import PhaseOne, PhaseTwo, Starts, Translation, TunnelSpec

KEY = b"k" * 32
EXAMPLE = TunnelSpec(
    tunnel_id=42,
    hosted_peer=IPv4Address("203.0.113.1"),
    remote_peer=IPv4Address("203.0.113.2"),
    preshared_key="correct horse battery staple",
    ike_version=1,
    phase_one=PhaseOne("AES256", "SHA256", 5, 14_400),
    phase_two=PhaseTwo("AES256", "SHA256", True, 5, 3_600),
    hosted_subnets=(IPv4Network("10.2.0.0/24"),),
    remote_subnets=(IPv4Network("192.168.10.0/24"),),
    static_nat_subnets=(IPv4Network("10.1.255.92/30"),),
    translations=(
        Translation(IPv4Address("10.1.255.92"), IPv4Address("192.168.10.15"), "database"),
    ),
)


def networks(*texts: str) -> tuple[IPv4Network, ...]:
    return tuple(IPv4Network(text) for text in texts)


def translation(internal: str, customer: str, name: str = "") -> Translation:
    return Translation(IPv4Address(internal), IPv4Address(customer), name)


def example(**changes: Any) -> TunnelSpec:
    return replace(EXAMPLE, **changes)


@st.composite
def specs(draw: st.DrawFn, tunnel_id: int | None = None) -> TunnelSpec:
    """Return a specification without problems. Different ids share no address and no subnet."""
    number = draw(st.integers(1, 6)) if tunnel_id is None else tunnel_id
    remote = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3, unique=True))
    hosted = draw(st.lists(st.integers(2, 4), min_size=1, max_size=2, unique=True))
    hosts = draw(st.lists(st.integers(1, 9), max_size=3, unique=True))
    groups = [group for group in GROUPS if group]
    version = draw(st.sampled_from((0, 1, 2)))
    # IKEv1 has no AEAD in phase one.
    ciphers = [name for name, cipher in ENCRYPTIONS.items() if version == 2 or not cipher.aead]
    return example(
        tunnel_id=number,
        hosted_peer=IPv4Address(f"203.0.113.{number}"),
        remote_peer=IPv4Address(f"203.0.113.{100 + number}"),
        preshared_key=draw(st.sampled_from(("one key", "another key"))),
        ike_version=version,
        phase_one=PhaseOne(
            draw(st.sampled_from(ciphers)),
            draw(st.sampled_from(tuple(AUTHENTICATIONS))),
            draw(st.sampled_from(groups)),
            14_400,
        ),
        phase_two=PhaseTwo("AES256", "SHA256", draw(st.booleans()), 5, 3_600),
        hosted_subnets=networks(*(f"10.{byte}.0.0/24" for byte in hosted)),
        remote_subnets=networks(*(f"192.168.{number * 4 + byte}.0/24" for byte in remote)),
        static_nat_subnets=networks(f"10.1.{number}.0/24"),
        translations=tuple(
            translation(
                f"10.1.{number}.{draw(st.integers(0, 9)) + 10 * index}",
                f"192.168.{number * 4 + remote[0]}.{host}",
            )
            for index, host in enumerate(hosts)
        ),
        one_child_per_pair=draw(st.booleans()),
        dpd_seconds=draw(st.sampled_from((0, 5, 15, 3600))),
        starts=draw(st.sampled_from(Starts)),
        translated_only=draw(st.booleans()),
    )
