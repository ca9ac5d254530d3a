"""The translations as a hosts file, for the servers behind the concentrator.

They reach a customer's host at its internal address, so that is what the name means to them. Names
follow RFC 1123, 2.1: letters, digits and hyphens in labels of at most 63. What is not such a name
is made one, and what cannot be made one stays as a comment.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from vpnportal.domain.exports.peer_view import PeerView
from vpnportal.domain.exports.safe_text import comments, plain
from vpnportal.domain.tunnel.spec import Translation

LONGEST_LABEL, LONGEST_NAME = 63, 253
WITH_CUSTOMER = "{internal}\t{name}\t# {customer}"
# What a server calls itself must never become a customer's host.
OWN_NAMES = re.compile(r"(.+\.)?localhost[46]?(\..*)?|broadcasthost|ip6-.*")


def hosts(end: PeerView) -> str:
    """Lines for /etc/hosts, by address; a name that comes twice belongs to the first address."""
    called = f"{end.name} ({end.title})" if end.title else end.name
    sentences = [
        "Hosts file for the servers behind the concentrator, not for the remote end: names of the"
        f" remote hosts, with the addresses by which the servers reach them. Tunnel {called}.",
        *([f"Made from {end.of}."] if end.of else []),
    ]
    return "\n".join((*comments("#", sentences), *_lines(end.translations), ""))


def names_of(end: PeerView) -> str:
    """The same as the old service wrote it: an address, eight blanks, and its name."""
    return "\n".join((*_lines(end.translations, "{internal}        {name}"), ""))


def _lines(translations: tuple[Translation, ...], form: str = WITH_CUSTOMER) -> Iterator[str]:
    taken: dict[str, str] = {}
    for row in translations:
        name, internal = host_name(row.name), str(row.internal)
        said = plain(row.name)
        if name and taken.setdefault(name.lower(), internal) == internal:
            customer = f"{row.customer}{f' {said}' if said != name else ''}"
            yield form.format(internal=internal, name=name, customer=customer)
            continue
        why = f"also named {name}, as {taken[name.lower()]} is" if name else "has no host name"
        yield from comments("#", [f"{internal} ({row.customer}) {why} {said if not name else ''}"])


def host_name(text: str) -> str:
    """The host name that the text is or can be made, or ""."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    labels = (
        re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-")[:LONGEST_LABEL].rstrip("-")
        for label in letters.split(".")
    )
    name = ".".join(label for label in labels if label)
    # A last label of digits alone is an address to some resolvers (RFC 1123, 2.1).
    unfit = len(name) > LONGEST_NAME or name.rpartition(".")[2].isdigit()
    return "" if unfit or OWN_NAMES.fullmatch(name.lower()) else name
