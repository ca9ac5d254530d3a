"""Addresses: what is accepted, and what is said when it is not."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.samples import networks
from vpnportal.domain.addresses import AddressSet, is_host, parse_address, parse_subnet


@pytest.mark.parametrize(
    "text",
    ["10.1.255.999", "10.1.255", "::1", "a.example", "", "10.1.255.92\n10.1.255.93", "1٠.0.0.1"],
)
def test_what_is_no_address_is_refused_with_an_example(text: str):
    with pytest.raises(ValueError, match=r"\AEnter an IPv4 address such as 192\.168\.10\.15\.\Z"):
        parse_address(text)


@given(st.ip_addresses(v=4))
def test_any_ipv4_address_is_understood(address: IPv4Address):
    assert parse_address(f" {address} ") == address


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_a_sentence(text: str):
    try:
        assert isinstance(parse_address(text), IPv4Address)
    except ValueError as error:
        assert str(error).startswith("Enter an IPv4 address")


def test_a_subnet_is_an_address_and_a_cidr():
    assert parse_subnet("192.168.10.0", "/24") == IPv4Network("192.168.10.0/24")


@pytest.mark.parametrize(
    ("address", "cidr", "sentence"),
    [
        (
            "192.168.10.15",
            "24",
            "192.168.10.15/24 has host bits set. Did you mean 192.168.10.0/24?",
        ),
        (
            "192.168.10.0",
            "33",
            "Enter the CIDR as a number from 1 to 32; netmask 255.255.255.0 is 24.",
        ),
        (
            "192.168.10.0",
            "²",
            "Enter the CIDR as a number from 1 to 32; netmask 255.255.255.0 is 24.",
        ),
        (
            "0.0.0.0",
            "0",
            "0.0.0.0/0 matches all addresses. Enter the remote subnets.",
        ),
        (
            "127.0.0.0",
            "8",
            "127.0.0.0/8 is reserved (loopback, link-local, multicast or unassigned).",
        ),
        (
            "224.0.0.0",
            "24",
            "224.0.0.0/24 is reserved (loopback, link-local, multicast or unassigned).",
        ),
    ],
)
def test_a_wrong_subnet_is_answered_with_what_would_be_right(
    address: str, cidr: str, sentence: str
):
    with pytest.raises(ValueError) as refusal:
        parse_subnet(address, cidr)

    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("address", "network", "answer"),
    [
        ("192.168.10.15", "192.168.10.0/24", True),
        ("192.168.10.0", "192.168.10.0/24", False),
        ("192.168.10.255", "192.168.10.0/24", False),
        ("192.168.10.0", "192.168.10.0/31", True),
        ("192.168.10.7", "192.168.10.7/32", True),
        ("192.168.11.1", "192.168.10.0/24", False),
    ],
)
def test_the_ends_of_a_network_are_no_hosts(address: str, network: str, answer: bool):
    assert is_host(IPv4Address(address), networks(network)) is answer


@given(st.sets(st.integers(0, 255), max_size=8), st.integers(0, 31), st.integers(26, 32))
def test_the_first_address_in_a_network_is_found_among_many(
    numbers: set[int], at: int, prefix: int
):
    network = IPv4Network((int(IPv4Address("10.0.0.0")) + at * 8, prefix), strict=False)
    those = [IPv4Address("10.0.0.0") + number for number in numbers]

    inside = sorted(address for address in those if address in network)

    assert AddressSet(those).first_in(network) == (inside[0] if inside else None)
