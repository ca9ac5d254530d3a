"""The translation table of a tunnel: its static NAT subnets, and the rows of the open ones.

A `TableState` describes the table in one request. `translation_table` combines a `TableState` and
the saved rows into a `TranslationTable`, which the templates render.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import NamedTuple

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
from vpnportal.web.tunnel.translations.row_status import RowStatus, RowStatuses, row_statuses_of
from vpnportal.web.tunnel.translations.submitted_rows import (
    CustomerPair,
    SubmittedRow,
    saved_pairs,
    shown_values,
    with_problems,
)

# The maximum number of rows of all open subnets together, which one page shows and one form sends.
MAX_ROWS = 4_096


@dataclass(frozen=True, slots=True)
class TableState:
    """State of the translation table in one request.

    - `open_subnets`: subnets that the page shows open.
    - `changed`: rows that the user changed and that are not saved, by internal address.
    - `refused`: refusal to save the changed rows.
    - `saved`: internal addresses of rows that this request has saved.
    - `focuses_problem`: the first row with a problem takes the focus.
    """

    open_subnets: OpenSubnets
    changed: Mapping[str, SubmittedRow] = field(default_factory=dict)
    refused: Refused | None = None
    saved: Iterable[str] = ()
    focuses_problem: bool = False


class TableRow(NamedTuple):
    """One address with its two inputs, their note, and the status of the translation.

    The template unpacks the row in this order, because a page may have thousands of rows. `remark`
    is "network" or "broadcast". `attributes` are HTML attributes of the first input.
    """

    address: str
    remark: str
    customer: str
    name: str
    note: str
    problem: str
    status_slug: str
    status_label: str
    last_use: str
    attributes: str


@dataclass(frozen=True, slots=True)
class SubnetBlock:
    """One static NAT subnet in the translation table.

    - `rows`: rows of the shown page; None while the subnet is closed.
    - `unsaved`: changed rows that are not among `rows`; they stay on the page.
    - `shown_values`: the values that the rows show, for the comparison by the next request.
    - `is_crowded`: the subnet stays closed, because the open ones have MAX_ROWS already.
    """

    pk: int
    network: IPv4Network
    translated: int
    state: OpenSubnet
    rows: tuple[TableRow, ...] | None
    unsaved: tuple[TableRow, ...]
    shown_values: str
    pages: int = 1
    is_crowded: bool = False

    @property
    def size(self) -> int:
        return self.network.num_addresses

    @property
    def is_large(self) -> bool:
        """True if all rows need more than one page."""
        return self.size > PAGE_ROWS

    @property
    def page(self) -> int:
        return min(self.state.page, self.pages)

    @property
    def page_buttons(self) -> list[tuple[str, int]]:
        """The labels of the buttons with the pages that they lead to."""
        buttons = (
            ("First", 1),
            ("Previous", self.page - 1),
            ("Next", self.page + 1),
            ("Last", self.pages),
        )
        return [(label, page) for label, page in buttons if 1 <= page <= self.pages]


@dataclass(frozen=True, slots=True)
class TranslationTable:
    """The content of `tunnel/translations/table.html`.

    Problems of rows are in the rows; `unplaced_problems` are the texts of all others.
    """

    blocks: list[SubnetBlock]
    unplaced_problems: list[str]

    def block(self, pk: int) -> SubnetBlock:
        """Return the block of the subnet with database id `pk`."""
        return next(block for block in self.blocks if block.pk == pk)


def translation_table(
    tunnel: Tunnel, live: Revision | None, table_state: TableState
) -> TranslationTable:
    """Return the table of a tunnel with this live revision, in a constant number of queries."""
    saved = saved_pairs(tunnel)
    changed = with_problems(table_state.changed, table_state.refused, saved)
    has_rows = table_state.open_subnets or changed
    builder = TableBuilder(
        open_subnets=table_state.open_subnets,
        saved=saved,
        changed=changed,
        just_saved=frozenset(table_state.saved),
        statuses=row_statuses_of(tunnel, live) if has_rows else None,
        focus=_first_problem(changed) if table_state.focuses_problem else "",
    )
    blocks = builder.blocks(static_nat_subnets(tunnel))
    rows = (row for block in blocks for row in (*block.unsaved, *(block.rows or ())))
    placed = {translation_field(row.address) for row in rows if row.problem}
    problems = table_state.refused.problems if table_state.refused else ()
    return TranslationTable(
        blocks, [problem.text for problem in problems if problem.field not in placed]
    )


def _first_problem(changed: Mapping[str, SubmittedRow]) -> str:
    return min((address for address, row in changed.items() if row.problem), key=number, default="")


@dataclass(frozen=True)
class TableBuilder:
    """Builder of the blocks of one tunnel.

    `saved` are the rows of the draft; `just_saved` are the addresses of rows that this request has
    saved; `focus` is the address of the row that takes the focus.
    """

    open_subnets: OpenSubnets
    saved: Mapping[str, CustomerPair]
    changed: Mapping[str, SubmittedRow]
    just_saved: frozenset[str]
    statuses: RowStatuses | None
    focus: str = ""

    def blocks(self, subnets: Iterable[Subnet]) -> list[SubnetBlock]:
        """Return the blocks of these subnets, in their order."""
        translated = sorted(map(number, self.saved))
        changed = sorted(map(number, self.changed))
        room, blocks = MAX_ROWS, []
        for subnet in subnets:
            block = self._block(
                subnet, _within(translated, subnet.network), _within(changed, subnet.network), room
            )
            room -= len(block.rows or ())
            blocks.append(block)
        return blocks

    def _block(
        self, subnet: Subnet, translated: list[int], changed: list[int], room: int
    ) -> SubnetBlock:
        state = self.open_subnets.get(subnet.pk)
        if state is None:
            return self._closed(subnet, len(translated), changed)
        network = subnet.network
        addresses: Sequence[int] = range(
            int(network.network_address), int(network.broadcast_address) + 1
        )
        if state.only:
            addresses = sorted({*translated, *changed})
        pages = max(1, -(-len(addresses) // PAGE_ROWS))
        start = (min(state.page, pages) - 1) * PAGE_ROWS
        on_page = addresses[start : start + PAGE_ROWS]
        if len(on_page) > room:
            return self._closed(subnet, len(translated), changed, is_crowded=True)
        elsewhere = [address for address in changed if address not in on_page]
        return SubnetBlock(
            subnet.pk,
            network,
            len(translated),
            state,
            tuple(self._rows(network, on_page, state.address)),
            tuple(self._rows(network, elsewhere)),
            shown_values(self._shown_pairs([*on_page, *elsewhere])),
            pages,
        )

    def _closed(
        self, subnet: Subnet, translated: int, changed: list[int], is_crowded: bool = False
    ) -> SubnetBlock:
        unsaved = tuple(self._rows(subnet.network, changed))
        return SubnetBlock(
            subnet.pk,
            subnet.network,
            translated,
            OpenSubnet(),
            None,
            unsaved,
            shown_values(self._shown_pairs(changed)),
            is_crowded=is_crowded,
        )

    def _shown_pairs(self, addresses: Iterable[int]) -> Iterator[tuple[str, CustomerPair]]:
        for address in map(dotted, addresses):
            changed = self.changed.get(address)
            yield (
                address,
                changed.before if changed else self.saved.get(address, CustomerPair()),
            )

    def _rows(
        self, network: IPv4Network, addresses: Iterable[int], focus: str = ""
    ) -> Iterator[TableRow]:
        remarks = {}
        if network.prefixlen < 31:
            remarks = {
                int(network.network_address): "network",
                int(network.broadcast_address): "broadcast",
            }
        for address in addresses:
            # Digits and dots need no escaping. Escaping each of them eight times a row takes a
            # third of the time of a large page.
            yield self._row(SafeString(dotted(address)), remarks.get(address, ""), focus)

    def _row(self, address: str, remark: str, focus: str) -> TableRow:
        saved, changed = self.saved.get(address), self.changed.get(address)
        pair = changed.now if changed else saved or CustomerPair()
        problem = changed.problem if changed else ""
        note = "unsaved" if changed and not problem else ""
        if address in self.just_saved:
            note = "saved" if saved else "removed"
        status = self.statuses.of(address, saved) if self.statuses else RowStatus()
        attributes = " aria-invalid=true" if problem else ""
        if address in (focus, self.focus):
            attributes += " autofocus"
        return TableRow(address, remark, *pair, note, problem, *status, attributes)


def static_nat_subnets(tunnel: Tunnel) -> list[Subnet]:
    """Return the assigned static NAT subnets, sorted by address."""
    subnets = [subnet for subnet in tunnel.subnets.all() if subnet.kind == Subnet.Kind.STATIC_NAT]
    return sorted(subnets, key=lambda subnet: subnet.network)


def open_subnet_of(tunnel: Tunnel, address: str) -> dict[int, OpenSubnet]:
    """Return the subnet of an address, open at its row; empty if no subnet has the address."""
    at = number(address)
    for subnet in static_nat_subnets(tunnel):
        first = int(subnet.network.network_address)
        if first <= at <= int(subnet.network.broadcast_address):
            return {subnet.pk: OpenSubnet(page=page_of(at, first))}
    return {}


def _within(ordered: list[int], network: IPv4Network) -> list[int]:
    """Return the addresses of a sorted list that are in the network."""
    low = bisect_left(ordered, int(network.network_address))
    return ordered[low : bisect_left(ordered, int(network.broadcast_address) + 1)]
