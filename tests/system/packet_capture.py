"""Captures of packets on the interfaces of a laboratory's hosts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from lab.namespaces import inside


class HasPrefix(Protocol):
    """A laboratory, or a portal with one, whose namespaces are called `prefix`-HOST."""

    prefix: str


@contextmanager
def capture(laboratory: HasPrefix, host: str, interface: str, *options: str) -> Iterator[list[str]]:
    """Capture the packets of an interface; after the block the list has a line for each packet.

    `options` are tcpdump's. The kernel shows a packet of kernel ESP again after its decryption.
    """
    lines: list[str] = []
    tcpdump = ["tcpdump", "-i", interface, "-n", "-l", "--immediate-mode", *options]
    process = subprocess.Popen(
        inside(laboratory.prefix, host, tcpdump),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr and process.stdout
    try:
        while "listening on" not in process.stderr.readline():
            assert process.poll() is None, "tcpdump has ended"
        yield lines
    finally:
        process.terminate()
        lines += process.stdout.read().splitlines()
        process.wait()


def sent(laboratory: HasPrefix, host: str) -> AbstractContextManager[list[str]]:
    """Capture the packets that a host sends on the public network."""
    return capture(laboratory, host, "public", "-Q", "out")
