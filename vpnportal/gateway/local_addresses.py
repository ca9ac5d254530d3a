"""The gateway's IPv4 addresses: read over rtnetlink, and added to the loopback interface by `ip`.

A gateway can have thousands of addresses, and each observation needs them, so they are cached until
the kernel reports a change. Messages: linux/rtnetlink.h, linux/if_addr.h and rtnetlink(7).
"""

from __future__ import annotations

import errno
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from vpnportal.domain.addresses import AddressSet
from vpnportal.gateway.errors import GatewayError

RTM_GETADDR, RTMGRP_IPV4_IFADDR = 22, 0x10
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
IFA_ADDRESS, IFA_LOCAL, IFA_LABEL = 1, 2, 3
# struct nlmsghdr; struct nlmsghdr and struct ifaddrmsg.
HEADER_BYTES, ATTRIBUTES_OFFSET = 16, 24
REPLY_SECONDS = 5.0
COMMAND_SECONDS = 20
# Marks the portal's own addresses. A label begins with the name of its interface (ip-address(8)).
LOOPBACK_LABEL = "lo:vpnportal"


@dataclass(frozen=True, slots=True)
class Addresses:
    """The gateway's own addresses, and the loopback addresses that the portal added."""

    own: AddressSet
    loopback: AddressSet


class LocalAddresses:
    """Cache of the gateway's IPv4 addresses, read again after the kernel reports a change.

    Call `read` in one network namespace only.
    """

    def __init__(self) -> None:
        self._changes: socket.socket | None = None
        self._cached: Addresses | None = None

    def read(self) -> Addresses:
        """Return the gateway's IPv4 addresses, from the cache unless an address has changed.

        Raises GatewayError if the kernel does not answer.
        """
        try:
            if self._cached is None or self._has_changed():
                self._cached = self._dump()
        except OSError as error:
            raise GatewayError(f"the gateway's addresses cannot be read: {error}.") from error
        return self._cached

    def _has_changed(self) -> bool:
        """Return True at the first call, or if the kernel reported a change since the last call."""
        if self._changes is None:
            self._changes = _route_socket()
            self._changes.setblocking(False)
            self._changes.bind((0, RTMGRP_IPV4_IFADDR))
            return True
        changed = False
        while True:
            try:
                self._changes.recv(1 << 16)
            except BlockingIOError:
                return changed
            except OSError as error:
                # The kernel dropped reports because the socket's buffer was full.
                if error.errno != errno.ENOBUFS:
                    raise
            changed = True

    def _dump(self) -> Addresses:
        # Subscribe first: a change between the dump and the subscription would go unnoticed.
        self._has_changed()
        own: list[int] = []
        loopback: list[int] = []
        for address, label in _dump_addresses():
            (loopback if label == LOOPBACK_LABEL.encode() else own).append(address)
        return Addresses(AddressSet(own), AddressSet(loopback))


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


def _route_socket() -> socket.socket:
    route_socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    route_socket.settimeout(REPLY_SECONDS)
    return route_socket


def _dump_addresses() -> Iterator[tuple[int, bytes]]:
    """Yield each IPv4 address in the namespace as a number, with its label as bytes."""
    with _route_socket() as route_socket:
        body = struct.pack("=BBBBi", socket.AF_INET, 0, 0, 0, 0)
        header = (HEADER_BYTES + len(body), RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, 0)
        route_socket.send(struct.pack("=IHHII", *header) + body)
        while True:
            raw = route_socket.recv(1 << 18)
            at = 0
            while at < len(raw):
                length, kind = struct.unpack_from("=IH", raw, at)
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    raise OSError("the kernel refused the request")
                yield _parse_address(raw[at + ATTRIBUTES_OFFSET : at + length])
                at += (length + 3) & ~3


def _parse_address(raw: bytes) -> tuple[int, bytes]:
    attributes: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(raw):
        length, kind = struct.unpack_from("=HH", raw, at)
        attributes[kind] = raw[at + 4 : at + length]
        at += (length + 3) & ~3
    # On a point-to-point interface IFA_ADDRESS is the address of the remote host.
    address = attributes.get(IFA_LOCAL, attributes.get(IFA_ADDRESS, b""))
    return int.from_bytes(address, "big"), attributes.get(IFA_LABEL, b"").rstrip(b"\0")
