"""A tampered device that sends any packet through an established tunnel.

It uses AES-CBC with HMAC-SHA2-256-128 (RFC 3602, RFC 4868), as protocol 50 to kernel ESP and in UDP
(RFC 3948) to userland ESP. It reads the keys from the log of the device's charon.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import socket
import struct
from ipaddress import IPv4Address

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from lab.many_peers import enter_namespace
from tests.running_portal import RunningPortal, wait_for

REMOTE, HOSTED = "203.0.113.2", "203.0.113.1"
BLOCK = 16
# Larger than every number sent before; the receiver's window moves to it (RFC 4303, 3.4.3).
FIRST_SEQUENCE = 100_000


class TamperedDevice:
    """The customer's device of a portal whose tunnel is up, with the device's outbound keys."""

    def __init__(self, portal: RunningPortal) -> None:
        self._portal = portal
        self._folder = portal.state / "lab" / "peer"
        self._sequence = FIRST_SEQUENCE
        before = self._list_sas("concentrator")
        self._log_keys()
        name = re.search(r"^  (ctx1-\S+): ", before, re.MULTILINE)
        assert name, before
        self._swanctl("concentrator", "--rekey", "--child", name[1])
        wait_for(lambda: len(self._keys()) >= 2, 5)
        wait_for(lambda: self._spis() - set(_inbound_spis(before)), 5)
        (self._spi,) = list(self._spis() - set(_inbound_spis(before)))
        self._encryption, self._integrity = self._keys()

    def send(self, source: str, target: str) -> None:
        """Send an echo request with these addresses through the tunnel."""
        inner = _ip(source, target, socket.IPPROTO_ICMP, _echo())
        protocol, body = socket.IPPROTO_ESP, self._seal(inner)
        if not self._portal.kernel_esp:
            protocol = socket.IPPROTO_UDP
            body = struct.pack("!HHHH", 4500, 4500, 8 + len(body), 0) + body
        with (
            enter_namespace(self._portal.prefix, "peer"),
            socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw,
        ):
            raw.sendto(_ip(REMOTE, HOSTED, protocol, body), (HOSTED, 0))

    def _seal(self, inner: bytes) -> bytes:
        self._sequence += 1
        padding = -(len(inner) + 2) % BLOCK
        plain = inner + bytes(range(1, padding + 1)) + bytes((padding, socket.IPPROTO_IPIP))
        vector = os.urandom(BLOCK)
        encryptor = Cipher(algorithms.AES(self._encryption), modes.CBC(vector)).encryptor()
        head = struct.pack("!II", int(self._spi, 16), self._sequence)
        body = head + vector + encryptor.update(plain) + encryptor.finalize()
        return body + hmac.digest(self._integrity, body, hashlib.sha256)[:16]

    def _log_keys(self) -> None:
        settings = self._folder / "strongswan.conf"
        settings.write_text(settings.read_text().replace("default = 1", "default = 1\nchd = 4"))
        self._swanctl("peer", "--reload-settings")

    def _keys(self) -> list[bytes]:
        """Return the keys of the rekey's responder: the concentrator is the initiator."""
        log = (self._folder / "charon.log").read_text()
        return [
            key
            for kind in ("encryption", "integrity")
            if (key := _dumped(log, f"{kind} responder key"))
        ]

    def _spis(self) -> set[str]:
        return set(_inbound_spis(self._list_sas("concentrator")))

    def _list_sas(self, host: str) -> str:
        return self._swanctl(host, "--list-sas")

    def _swanctl(self, host: str, *command: str) -> str:
        uri = f"unix://{self._portal.state}/lab/{host}/charon.vici"
        return self._portal.run("swanctl", *command, "--uri", uri).stdout


def _inbound_spis(listed: str) -> list[str]:
    return re.findall(r"^    in  ([0-9a-f]{8})", listed, re.MULTILINE)


def _dumped(log: str, title: str) -> bytes:
    """Return the last dump with that title: lines of `16: 0A 1B …  text`."""
    dumps = re.findall(
        rf"{title} => (\d+) bytes @ \S+\n((?:.*?\d+: (?:[0-9A-F]{{2}} )+.*\n)+)", log
    )
    if not dumps:
        return b""
    count, lines = dumps[-1]
    matches = [re.search(r"\d+: ((?:[0-9A-F]{2} ){1,16})", line) for line in lines.splitlines()]
    return bytes.fromhex("".join(match[1] for match in matches if match))[: int(count)]


def _echo() -> bytes:
    body = struct.pack("!BBHHH", 8, 0, 0, 0x77, 1) + b"tampered"
    return body[:2] + struct.pack("!H", _checksum(body)) + body[4:]


def _ip(source: str, target: str, protocol: int, body: bytes) -> bytes:
    addresses = IPv4Address(source).packed + IPv4Address(target).packed
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, protocol, 0) + addresses
    return head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + body


def _checksum(raw: bytes) -> int:
    total = sum(struct.unpack(f"!{len(raw) // 2}H", raw))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
