"""The rows of the translation table as a request brings them, and what of them is not kept yet."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace
from ipaddress import IPv4Address

from django.core.exceptions import BadRequest
from django.http import QueryDict

from vpnportal.domain.addresses import parse_address
from vpnportal.domain.spec import Problem
from vpnportal.models import Tunnel
from vpnportal.web.rows import Block, Entry, blocks, kept_entries

UNSAVED = (
    "Typed, but not saved yet: press Add/Modify Context Address Translations, or put back what "
    "was there."
)


def entries_of(posted: QueryDict) -> dict[IPv4Address, Entry]:
    """What was typed, by address; a row that no page of ours has is a bad request."""
    entries = {}
    for key in posted:
        if key.startswith("customer-"):
            text = key.removeprefix("customer-")
            try:
                at = parse_address(text)
            except ValueError:
                raise BadRequest("There is no such row.") from None
            customer, name = posted.get(key, ""), posted.get(f"name-{text}", "")
            entries[at] = Entry(customer, name, seen=posted.get(f"seen-{text}"))
    return entries


def unsaved(tunnel: Tunnel, entries: dict[IPv4Address, Entry]) -> list[Problem]:
    """A problem for each row that somebody typed into and did not save."""
    kept = kept_entries(tunnel)
    return [
        Problem(f"translation {at}", UNSAVED)
        for at, entry in entries.items()
        if entry.text not in (kept.get(at, Entry("", "")).text, entry.seen)
    ]


def marked(
    entries: dict[IPv4Address, Entry],
    problems: Iterable[Problem],
    overtaken: Container[IPv4Address] = (),
) -> dict[IPv4Address, Entry]:
    """The same rows, each with what is wrong with it.

    Of those that were overtaken their reader is told, and has seen what is kept now.
    """
    texts: dict[str, str] = {}
    for problem in problems:
        texts[problem.field] = f"{texts.get(problem.field, '')} {problem.text}".strip()
    return {
        at: replace(
            entry,
            problem=texts.get(f"translation {at}", ""),
            seen=None if at in overtaken else entry.seen,
        )
        for at, entry in entries.items()
    }


def opened(tunnel: Tunnel, entries: dict[IPv4Address, Entry]) -> list[Block]:
    """The subnets, those with typed rows expanded."""
    expanded = {b.pk for b in blocks(tunnel, set()) if any(at in b.network for at in entries)}
    return blocks(tunnel, expanded, entries)
