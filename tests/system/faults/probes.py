"""A laboratory's rules and addresses, read in this process.

A process for each question took most of the time of these tests, above all in a guest of
`bin/kernel`, where starting a program is slow.
"""

from __future__ import annotations

import itertools
import json
import socket
import time
from collections.abc import Collection
from typing import Any

from nftables import Nftables

from lab.icmp_echo import Echo, decode_reply, encode_request
from lab.many_peers import enter_namespace
from lab.topology import CONCENTRATOR, SERVER

# An answer to a ping arrives within milliseconds, but this process may have to wait for the CPU.
PING_SECONDS = 0.3
# After the answer to the last ping, an answer to the first one is no longer expected.
LATE_SECONDS = 0.05


class Probes:
    """nftables of the concentrator, and pings from the server; `close` frees the namespaces."""

    def __init__(self, prefix: str) -> None:
        with enter_namespace(prefix, CONCENTRATOR):
            self._nft = Nftables()
        self._nft.set_json_output(True)
        with enter_namespace(prefix, SERVER):
            self._icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._identifiers = itertools.count(1)

    def close(self) -> None:
        self._icmp.close()
        del self._nft

    def table(self, name: str) -> list[dict[str, Any]]:
        """Return the objects of a table of the family ip; none if it does not exist."""
        _, listed, _ = self._nft.cmd(f"list table ip {name}")
        return json.loads(listed or '{"nftables": []}')["nftables"]

    def answering(self, silent: str, speaking: str) -> Collection[str]:
        """Return which of two addresses answer a ping, each in a flow of its own.

        `silent` is expected not to answer. Its ping is sent first, so that the answer from
        `speaking` shows that it had its time.
        """
        echo = Echo(next(self._identifiers) & 0xFFFF, number=1)
        for address in (silent, speaking):
            self._icmp.sendto(encode_request(echo), (address, 0))
        found: set[str] = set()
        deadline = time.monotonic() + PING_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            self._icmp.settimeout(left)
            try:
                packet, (source, _) = self._icmp.recvfrom(2048)
            except TimeoutError:
                break
            if decode_reply(packet) == echo:
                found.add(source)
                if source == speaking:
                    deadline = min(deadline, time.monotonic() + LATE_SECONDS)
        return found
