"""The static NAT table as a template shows it: subnets, and rows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any, NamedTuple

from django.utils.safestring import SafeString

from vpnportal.domain.addresses import dotted, number
from vpnportal.domain.tunnel.spec import translation_field
from vpnportal.models import Revision, Subnet, Tunnel
from vpnportal.services import Refused
from vpnportal.web.tunnel.translations.open_subnets import (
    PAGE_ROWS,
    OpenSubnet,
    OpenSubnets,
    page_of,
)
from vpnportal.web.tunnel.translations.row_status import NOTHING, RowStatuses, row_statuses_of
from vpnportal.web.tunnel.translations.submitted_rows import (
    CustomerPair,
    SubmittedRow,
    explained,
    saved_pairs,
    shown_values,
)


class TableRow(NamedTuple):
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
class SubnetBlock:
    """One assigned subnet. `lines` is None while it is collapsed.

    `waiting` are rows that were typed, are not saved, and are not among the lines: they stay on the
    page whatever is turned or closed. `crowded` tells that others leave no room for it.
    """

    pk: int
    network: IPv4Network
    filled: int
    look: OpenSubnet
    lines: tuple[TableRow, ...] | None
    waiting: tuple[TableRow, ...]
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


# What one form carries, and one page shows, of all open subnets together.
MOST_ROWS = 4_096


@dataclass(frozen=True, slots=True)
class TableState:
    """How the table is looked at, what was typed into it, why it was refused, or what was saved.

    `leads` says that the table is what was refused: the first wrong row gets the focus.
    """

    looks: OpenSubnets
    changed: Mapping[str, SubmittedRow] = field(default_factory=dict)
    refused: Refused | None = None
    saved: Iterable[str] = ()
    leads: bool = False


@dataclass(frozen=True)
class TableBuilder:
    """What the rows of one tunnel are made from.

    `saved` are those that were saved just now, `wrong` is the first one to put right.
    """

    tunnel: Tunnel
    looks: OpenSubnets
    kept: Mapping[str, CustomerPair]
    changed: Mapping[str, SubmittedRow]
    saved: frozenset[str]
    standing: RowStatuses | None
    wrong: str = ""

    def blocks(self) -> list[SubnetBlock]:
        """Every assigned subnet in order."""
        filled = sorted(map(number, self.kept))
        typed = sorted(map(number, self.changed))
        room, found = MOST_ROWS, []
        for row in static_nat(self.tunnel):
            block = self._block(row, filled, typed, room)
            room -= len(block.lines or ())
            found.append(block)
        return found

    def _block(self, row: Subnet, filled: list[int], typed: list[int], room: int) -> SubnetBlock:
        here, mine = _within(filled, row.network), _within(typed, row.network)
        look = self.looks.get(row.pk)
        if look is None:
            return self._closed(row, len(here), mine)
        everything: Sequence[int] = range(
            int(row.network.network_address), int(row.network.broadcast_address) + 1
        )
        if look.only:
            everything = sorted({*here, *mine})
        pages = max(1, -(-len(everything) // PAGE_ROWS))
        start = (min(look.page, pages) - 1) * PAGE_ROWS
        shown = everything[start : start + PAGE_ROWS]
        if len(shown) > room:
            return self._closed(row, len(here), mine, crowded=True)
        return SubnetBlock(
            row.pk,
            row.network,
            len(here),
            look,
            tuple(self._lines(row.network, shown, look.at)),
            tuple(self._lines(row.network, (at for at in mine if at not in shown))),
            shown_values(self._before([*shown, *(at for at in mine if at not in shown)])),
            pages,
        )

    def _closed(
        self, row: Subnet, filled: int, mine: list[int], crowded: bool = False
    ) -> SubnetBlock:
        lines = tuple(self._lines(row.network, mine))
        told = shown_values(self._before(mine))
        return SubnetBlock(
            row.pk, row.network, filled, OpenSubnet(), None, lines, told, crowded=crowded
        )

    def _before(self, addresses: Iterable[int]) -> Iterator[tuple[str, CustomerPair]]:
        for at in map(dotted, addresses):
            typed = self.changed.get(at)
            yield at, typed.before if typed else self.kept.get(at, CustomerPair())

    def _lines(
        self, network: IPv4Network, addresses: Iterable[int], focus: str = ""
    ) -> Iterator[TableRow]:
        ends = {}
        if network.prefixlen < 31:
            ends = {
                int(network.network_address): "network",
                int(network.broadcast_address): "broadcast",
            }
        for one in addresses:
            # Digits and dots: to escape them, eight times a row, is a third of a large page's time.
            yield self._line(SafeString(dotted(one)), ends.get(one, ""), focus)

    def _line(self, at: str, remark: str, focus: str) -> TableRow:
        kept, typed = self.kept.get(at), self.changed.get(at)
        shown = typed.now if typed else kept or CustomerPair()
        problem = typed.problem if typed else ""
        note = "unsaved" if typed and not problem else ""
        if at in self.saved:
            note = "saved" if kept else "removed"
        standing = self.standing.of(at, kept) if self.standing else NOTHING
        flags = " aria-invalid=true" if problem else ""
        if at in (focus, self.wrong):
            flags += " autofocus"
        return TableRow(at, remark, *shown, note, problem, *standing, flags)


def table_context(tunnel: Tunnel, live: Revision | None, sheet: TableState) -> dict[str, Any]:
    """What `tunnel/_static_nat.html` shows of a tunnel and its live revision.

    Each problem is beside its row; `stray` are those that belong to no row on the page.
    """
    kept = saved_pairs(tunnel)
    changed = explained(sheet.changed, sheet.refused, kept)
    standing = row_statuses_of(tunnel, live) if sheet.looks or changed else None
    saved, wrong = frozenset(sheet.saved), _first_wrong(changed) if sheet.leads else ""
    blocks = TableBuilder(tunnel, sheet.looks, kept, changed, saved, standing, wrong).blocks()
    lines = (line for block in blocks for line in (*block.waiting, *(block.lines or ())))
    fields = {translation_field(line.address) for line in lines if line.problem}
    problems = sheet.refused.problems if sheet.refused else ()
    stray = [problem.text for problem in problems if problem.field not in fields]
    return {"blocks": blocks, "stray": stray}


def _first_wrong(changed: Mapping[str, SubmittedRow]) -> str:
    return min((at for at, typed in changed.items() if typed.problem), key=number, default="")


def static_nat(tunnel: Tunnel) -> list[Subnet]:
    """The assigned subnets, sorted by address."""
    rows = [row for row in tunnel.subnets.all() if row.kind == Subnet.Kind.STATIC_NAT]
    return sorted(rows, key=lambda row: row.network)


def look_at(tunnel: Tunnel, address: str) -> dict[int, OpenSubnet]:
    """What must be open, at which page, so that the row of an address is shown."""
    at = number(address)
    for row in static_nat(tunnel):
        first = int(row.network.network_address)
        if first <= at <= int(row.network.broadcast_address):
            return {row.pk: OpenSubnet(page=page_of(at, first))}
    return {}


def _within(ordered: list[int], network: IPv4Network) -> list[int]:
    low = bisect_left(ordered, int(network.network_address))
    return ordered[low : bisect_left(ordered, int(network.broadcast_address) + 1)]
