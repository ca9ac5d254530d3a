"""The gateway's IPv4 addresses: read over rtnetlink, and added to the loopback interface by `ip`.

A gateway can have thousands of addresses, and each observation needs them, so they are cached until
the kernel reports a change. Messages: linux/rtnetlink.h, linux/if_addr.h and rtnetlink(7).
"""

from __future__ import annotations

import socket
import struct
import subprocess
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from vpnportal.domain.addresses import AddressSet
from vpnportal.gateway import rtnetlink
from vpnportal.gateway.errors import GatewayError
from vpnportal.gateway.netlink_messages import parse_attributes

RTM_GETADDR, RTMGRP_IPV4_IFADDR = 22, 0x10
IFA_ADDRESS, IFA_LOCAL, IFA_LABEL = 1, 2, 3
# struct ifaddrmsg.
ADDRESS_MESSAGE = struct.Struct("=BBBBi")
COMMAND_SECONDS = 20
# Marks the portal's own addresses. A label begins with the name of its interface (ip-address(8)).
LOOPBACK_LABEL = "lo:vpnportal"


@dataclass(frozen=True, slots=True)
class Addresses:
    """The gateway's own addresses, and the loopback addresses that the portal added.

    `by_interface` has the own addresses as ascending numbers, by the index of their interface.
    """

    own: AddressSet
    loopback: AddressSet
    by_interface: Mapping[int, array[int]]


class LocalAddresses:
    """Cache of the gateway's IPv4 addresses, read again after the kernel reports a change.

    Call `read` in one network namespace only.
    """

    def __init__(self) -> None:
        self._reports = rtnetlink.ChangeReports(RTMGRP_IPV4_IFADDR)
        self._cached: Addresses | None = None

    def read(self) -> Addresses:
        """Return the gateway's IPv4 addresses, from the cache unless an address has changed.

        Raises GatewayError if the kernel does not answer.
        """
        try:
            # The first call subscribes: a change after the dump does not go unnoticed.
            if self._reports.read() != []:
                self._cached = None
            if self._cached is None:
                self._cached = _read_addresses()
        except OSError as error:
            raise GatewayError(f"the gateway's addresses cannot be read: {error}.") from error
        return self._cached


def add_loopback_address(address: IPv4Address) -> None:
    """Add an address to the loopback interface. Raises GatewayError if `ip` fails."""
    _run("ip", "address", "replace", f"{address}/32", "dev", "lo", "label", LOOPBACK_LABEL)


def remove_loopback_address(address: IPv4Address) -> None:
    """Remove an address from the loopback interface. Raises GatewayError if `ip` fails."""
    _run("ip", "address", "del", f"{address}/32", "dev", "lo")


def _run(*command: str) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=True)
    except FileNotFoundError as error:
        raise GatewayError(f"The program {command[0]} is not installed here.") from error
    except subprocess.TimeoutExpired as error:
        raise GatewayError(f"{command[0]} did not finish within {COMMAND_SECONDS} s.") from error
    except subprocess.CalledProcessError as error:
        raise GatewayError(f"{' '.join(command)} failed: {error.stderr.strip()}") from error


def _read_addresses() -> Addresses:
    own: dict[int, list[int]] = defaultdict(list)
    loopback: list[int] = []
    for address, label, interface in _dump_addresses():
        (loopback if label == LOOPBACK_LABEL.encode() else own[interface]).append(address)
    every = AddressSet(address for addresses in own.values() for address in addresses)
    by_interface = {index: array("I", sorted(addresses)) for index, addresses in own.items()}
    return Addresses(every, AddressSet(loopback), by_interface)


def _dump_addresses() -> Iterator[tuple[int, bytes, int]]:
    """Yield each IPv4 address in the namespace as a number, with its label and interface index."""
    request = ADDRESS_MESSAGE.pack(socket.AF_INET, 0, 0, 0, 0)
    for message in rtnetlink.dump(RTM_GETADDR, request):
        interface = ADDRESS_MESSAGE.unpack_from(message.body)[-1]
        attributes = parse_attributes(message.body[ADDRESS_MESSAGE.size :])
        # On a point-to-point interface IFA_ADDRESS is the address of the remote host.
        address = attributes.get(IFA_LOCAL, attributes.get(IFA_ADDRESS, b""))
        label = attributes.get(IFA_LABEL, b"").rstrip(b"\0")
        yield int.from_bytes(address, "big"), label, interface
