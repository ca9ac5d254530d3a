"""The static NAT table as a template shows it: subnets, and rows."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import NamedTuple

from vpnportal.web.looks import PAGE_ROWS, Look


class Line(NamedTuple):
    """One address with its two inputs, the note beside them, and how its translation stands.

    In the order in which a template takes it apart: there may be a thousand of them. `flags` are
    attributes of the first input.
    """

    address: str
    remark: str
    customer: str
    name: str
    note: str
    problem: str
    slug: str
    word: str
    used: str
    flags: str


@dataclass(frozen=True, slots=True)
class Block:
    """One assigned subnet. `lines` is None while it is collapsed.

    `waiting` are rows that were typed, are not saved, and are not among the lines: they stay on the
    page whatever is turned or closed. `crowded` tells that others leave no room for it.
    """

    pk: int
    network: IPv4Network
    filled: int
    look: Look
    lines: tuple[Line, ...] | None
    waiting: tuple[Line, ...]
    was: str
    pages: int = 1
    crowded: bool = False

    @property
    def size(self) -> int:
        return self.network.num_addresses

    @property
    def is_large(self) -> bool:
        """Whether its rows need more than one page."""
        return self.size > PAGE_ROWS

    @property
    def page(self) -> int:
        return min(self.look.page, self.pages)

    @property
    def turns(self) -> list[tuple[str, int]]:
        """The pages that buttons lead to."""
        offers = (("First", 1), ("Previous", self.page - 1), ("Next", self.page + 1))
        pages = (*offers, ("Last", self.pages))
        return [(word, page) for word, page in pages if 1 <= page <= self.pages]
