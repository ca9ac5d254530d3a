"""Parsing and checking of addresses and subnets, and the texts of refusals."""

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
def test_a_text_without_an_address_is_refused_with_an_example(text: str):
    with pytest.raises(ValueError, match=r"\AEnter an IPv4 address such as 192\.168\.10\.15\.\Z"):
        parse_address(text)


@given(st.ip_addresses(v=4))
def test_each_ipv4_address_is_parsed(address: IPv4Address):
    assert parse_address(f" {address} ") == address


@given(st.text(max_size=30))
def test_each_text_is_an_address_or_refused_with_a_sentence(text: str):
    try:
        assert isinstance(parse_address(text), IPv4Address)
    except ValueError as error:
        assert str(error).startswith("Enter an IPv4 address")


def test_a_subnet_is_parsed_from_an_address_and_a_cidr():
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
def test_a_wrong_subnet_is_refused_with_a_correction(address: str, cidr: str, sentence: str):
    with pytest.raises(ValueError) as refusal:
        parse_subnet(address, cidr)

    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("address", "network", "expected"),
    [
        ("192.168.10.15", "192.168.10.0/24", True),
        ("192.168.10.0", "192.168.10.0/24", False),
        ("192.168.10.255", "192.168.10.0/24", False),
        ("192.168.10.0", "192.168.10.0/31", True),
        ("192.168.10.7", "192.168.10.7/32", True),
        ("192.168.11.1", "192.168.10.0/24", False),
    ],
)
def test_the_network_and_broadcast_addresses_are_no_hosts(
    address: str, network: str, expected: bool
):
    assert is_host(IPv4Address(address), networks(network)) is expected


@given(st.sets(st.integers(0, 255), max_size=8), st.integers(0, 31), st.integers(26, 32))
def test_first_in_returns_the_lowest_address_in_the_network(
    offsets: set[int], block: int, prefix: int
):
    network = IPv4Network((int(IPv4Address("10.0.0.0")) + block * 8, prefix), strict=False)
    addresses = [IPv4Address("10.0.0.0") + offset for offset in offsets]

    inside = sorted(address for address in addresses if address in network)

    assert AddressSet(addresses).first_in(network) == (inside[0] if inside else None)
