"""The translations as a hosts file, for the servers behind the concentrator.

These servers reach a customer's host at its internal address, so names resolve to that address.
Names follow RFC 1123, 2.1: letters, digits and hyphens in labels of at most 63. Other names are
converted, or become comments if that is impossible.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from vpnportal.domain.exports.peer_view import PeerView
from vpnportal.domain.exports.safe_text import comments, plain
from vpnportal.domain.tunnel.spec import Translation

MAX_LABEL, MAX_NAME = 63, 253
WITH_CUSTOMER = "{internal}\t{name}\t# {customer}"
# A server's names for itself must never resolve to a customer's host.
RESERVED_NAMES = re.compile(r"(.+\.)?localhost[46]?(\..*)?|broadcasthost|ip6-.*")


def hosts(peer: PeerView) -> str:
    """Return lines for /etc/hosts by address; a duplicate name belongs to the first address."""
    sentences = [
        f"Hosts file of the IPsec tunnel {peer.full_name}: names of the remote hosts with their"
        " translated addresses. For the servers behind the concentrator, not for the peer.",
        *([f"Generated from {peer.source}."] if peer.source else []),
    ]
    return "\n".join((*comments("#", sentences), *_lines(peer.translations), ""))


def legacy_hosts(peer: PeerView) -> str:
    """Return lines in the layout of the legacy service: address, eight blanks, host name."""
    return "\n".join((*_lines(peer.translations, "{internal}        {name}"), ""))


def _lines(translations: tuple[Translation, ...], form: str = WITH_CUSTOMER) -> Iterator[str]:
    owners: dict[str, str] = {}
    for row in translations:
        name, internal = host_name(row.name), str(row.internal)
        label = plain(row.name)
        if name and owners.setdefault(name.lower(), internal) == internal:
            customer = f"{row.customer}{f' {label}' if label != name else ''}"
            yield form.format(internal=internal, name=name, customer=customer)
            continue
        if name:
            reason = f"duplicate name {name}, used by {owners[name.lower()]}"
        else:
            reason = f"no valid host name {label}"
        yield from comments("#", [f"{internal} ({row.customer}) {reason}"])


def host_name(text: str) -> str:
    """Return the text as a host name, or "" if it cannot be converted."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    labels = (
        re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-")[:MAX_LABEL].rstrip("-")
        for label in letters.split(".")
    )
    name = ".".join(label for label in labels if label)
    # Some resolvers read a last label of digits as an address (RFC 1123, 2.1).
    is_invalid = len(name) > MAX_NAME or name.rpartition(".")[2].isdigit()
    return "" if is_invalid or RESERVED_NAMES.fullmatch(name.lower()) else name
