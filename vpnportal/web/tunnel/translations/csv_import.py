"""A translation table that came as text: what each line asks for, and what would change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from vpnportal import services
from vpnportal.domain.addresses import dotted
from vpnportal.domain.tunnel.spec import translation_field
from vpnportal.domain.tunnel.translation_csv import Cells, is_header
from vpnportal.models import Tunnel
from vpnportal.services import TranslationRow, input_parsing
from vpnportal.services.translations import saved_rows

RIGHT = "Enter an IP address, a Customer IP and a name."
RIGHT_FROM_FIRST = "Enter a Customer IP and a name."


@dataclass(frozen=True, slots=True)
class CsvError:
    """A line that cannot be imported; 0 is none in particular."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Change:
    """What one address had, and what it gets; None is nothing."""

    internal: IPv4Address
    before: TranslationRow | None
    row: TranslationRow


@dataclass(frozen=True, slots=True)
class Preview:
    """What an import would do to the draft; nothing at all while a line is wrong."""

    changes: tuple[Change, ...]
    unchanged: int
    wrong: tuple[CsvError, ...]

    @property
    def added(self) -> list[Change]:
        return [one for one in self.changes if one.before is None]

    @property
    def changed(self) -> list[Change]:
        return [one for one in self.changes if one.before and one.row.customer]

    @property
    def removed(self) -> list[Change]:
        return [one for one in self.changes if one.row.customer is None]


def rows_of(
    lines: Sequence[Cells], first: IPv4Address | None
) -> tuple[dict[IPv4Address, tuple[int, TranslationRow]], list[CsvError]]:
    """The rows by address, each with its line, and the lines that are none.

    With a `first` address the lines have no addresses: they are for those from there on.
    """
    rows: dict[IPv4Address, tuple[int, TranslationRow]] = {}
    wrong = []
    for count, (line, cells) in enumerate(_without_header(lines, first)):
        try:
            row = _row(cells) if first is None else _row_at(int(first) + count, cells)
        except ValueError as error:
            wrong.append(CsvError(line, str(error)))
            continue
        if row.internal in rows:
            text = f"{row.internal} is in line {rows[row.internal][0]} already. Keep one of them."
            wrong.append(CsvError(line, text))
        else:
            rows[row.internal] = (line, row)
    return rows, wrong


def preview(
    tunnel: Tunnel,
    rows: Mapping[IPv4Address, tuple[int, TranslationRow]],
    wrong: Iterable[CsvError],
    remove_missing: bool,
) -> Preview:
    """What changes when these rows are kept; two queries."""
    kept = saved_rows(tunnel)
    asked = {at: row for at, (_, row) in rows.items()}
    if remove_missing:
        asked |= {at: TranslationRow(at, None) for at in kept.keys() - asked.keys()}
    new = {
        at: row
        for at, row in sorted(asked.items())
        if row != kept.get(at, TranslationRow(at, None))
    }
    line_of = {translation_field(at): line for at, (line, _) in rows.items()}
    # Also those that stay as they are: two lines may ask for the same host.
    problems = services.row_problems(tunnel, asked.values())
    return Preview(
        changes=tuple(Change(at, kept.get(at), row) for at, row in new.items()),
        unchanged=len(asked) - len(new),
        wrong=tuple(
            sorted(
                (*wrong, *(CsvError(line_of.get(one.field, 0), one.text) for one in problems)),
                key=lambda one: one.line,
            )
        ),
    )


def _without_header(lines: Sequence[Cells], first: IPv4Address | None) -> Sequence[Cells]:
    if lines and first is None and is_header(lines[0].cells):
        return lines[1:]
    return lines


def _row(cells: tuple[str, ...]) -> TranslationRow:
    """An address, a Customer IP and a name; nothing behind the address removes its translation."""
    internal = input_parsing.address(cells[0])
    if internal is None or not 2 <= len(_filled(cells, 3)) <= 3:
        raise ValueError(RIGHT)
    return _row_at(int(internal), cells[1:])


def _row_at(internal: int, cells: tuple[str, ...]) -> TranslationRow:
    if len(_filled(cells, 1)) > 2:
        raise ValueError(RIGHT_FROM_FIRST)
    if internal >> 32:
        raise ValueError("There is no address for it: begin at an earlier one.")
    name = input_parsing.name(cells[1]) if len(cells) > 1 else ""
    return TranslationRow(IPv4Address(dotted(internal)), input_parsing.address(cells[0]), name)


def _filled(cells: tuple[str, ...], least: int) -> tuple[str, ...]:
    """The cells without empty ones at the end, which spreadsheets add; at least so many of them."""
    while len(cells) > least and not cells[-1]:
        cells = cells[:-1]
    return cells


def as_json(changes: Iterable[Change]) -> list[list[str]]:
    """What the form of a preview carries to the import itself."""
    return [list(_texts(one)) for one in changes]


def from_json(
    carried: Iterable[list[str]],
) -> tuple[list[TranslationRow], dict[IPv4Address, TranslationRow]]:
    """The rows that were previewed, and what their addresses had then."""
    rows, seen = [], {}
    for internal, customer, name, before, before_name in carried:
        at = IPv4Address(internal)
        rows.append(TranslationRow(at, IPv4Address(customer) if customer else None, name))
        seen[at] = TranslationRow(at, IPv4Address(before) if before else None, before_name)
    return rows, seen


def _texts(change: Change) -> Iterator[str]:
    yield str(change.internal)
    yield str(change.row.customer or "")
    yield change.row.name
    yield str(change.before.customer if change.before else "")
    yield change.before.name if change.before else ""
