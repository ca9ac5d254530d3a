"""Import of translations: parsing of the rows, and a preview of the changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from vpnportal import services
from vpnportal.domain.tunnel.spec import translation_field
from vpnportal.domain.tunnel.translation_csv import Cells, is_header
from vpnportal.models import Tunnel
from vpnportal.services import Change, Quota, QuotaUse, TranslationRow, saved_rows

ROW_FORMAT = "Enter an IP address, a Customer IP and a name."
ROW_FORMAT_WITHOUT_ADDRESS = "Enter a Customer IP and a name."


@dataclass(frozen=True, slots=True)
class PastedRows:
    """Input of the import form; `remove` "1" removes the translations that are not in `rows`."""

    rows: str = ""
    first: str = ""
    remove: str = ""


@dataclass(frozen=True, slots=True)
class CsvError:
    """A line that cannot be imported; line 0 means the whole file."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Preview:
    """Changes that an import would make to the draft; with `errors`, nothing is importable."""

    changes: tuple[Change, ...]
    unchanged: int
    errors: tuple[CsvError, ...]
    # The translations of the account, before the import; None without rows.
    quota: QuotaUse | None = None

    @property
    def added(self) -> list[Change]:
        return [change for change in self.changes if change.before is None]

    @property
    def changed(self) -> list[Change]:
        return [change for change in self.changes if change.before and change.row.customer]

    @property
    def removed(self) -> list[Change]:
        return [change for change in self.changes if change.row.customer is None]


def parse_rows(
    lines: Sequence[Cells], first: IPv4Address | None
) -> tuple[dict[IPv4Address, tuple[int, TranslationRow]], list[CsvError]]:
    """Return (line number, row) by internal address, and an error for each refused line.

    If `first` is given, the lines contain no internal addresses. `first` is the address of the
    first line, and each further line gets the next address.
    """
    rows: dict[IPv4Address, tuple[int, TranslationRow]] = {}
    errors = []
    for count, (line, cells) in enumerate(_without_header(lines, first)):
        try:
            row = _row(cells) if first is None else _row_at(int(first) + count, cells)
        except ValueError as error:
            errors.append(CsvError(line, str(error)))
            continue
        if row.internal in rows:
            text = f"{row.internal} is in line {rows[row.internal][0]} already. Keep one of them."
            errors.append(CsvError(line, text))
        else:
            rows[row.internal] = (line, row)
    return rows, errors


def preview(
    tunnel: Tunnel,
    rows: Mapping[IPv4Address, tuple[int, TranslationRow]],
    errors: Iterable[CsvError],
    remove_missing: bool,
) -> Preview:
    """Return the changes that saving these rows would make, in a constant number of queries."""
    saved = saved_rows(tunnel)
    imported = {internal: row for internal, (_, row) in rows.items()}
    if remove_missing:
        missing = saved.keys() - imported.keys()
        imported |= {internal: TranslationRow(internal, None) for internal in missing}
    changed = {
        internal: row
        for internal, row in sorted(imported.items())
        if row != saved.get(internal, TranslationRow(internal, None))
    }
    line_of = {translation_field(internal): line for internal, (line, _) in rows.items()}
    # Unchanged rows are checked too: a changed row may have the same Customer IP as one of them.
    problems = services.row_problems(tunnel, imported, saved)
    problem_errors = (CsvError(line_of.get(problem.field, 0), problem.text) for problem in problems)
    quota = services.quota_use(tunnel.account_id, Quota.TRANSLATIONS)
    added = sum((row.customer is not None) - (at in saved) for at, row in imported.items())
    beyond = [CsvError(0, text)] if (text := quota.refusal(added)) else []
    return Preview(
        changes=tuple(
            Change(internal, saved.get(internal), row) for internal, row in changed.items()
        ),
        unchanged=len(imported) - len(changed),
        errors=tuple(sorted((*beyond, *errors, *problem_errors), key=lambda error: error.line)),
        quota=quota,
    )


def _without_header(lines: Sequence[Cells], first: IPv4Address | None) -> Sequence[Cells]:
    if lines and first is None and is_header(lines[0].cells):
        return lines[1:]
    return lines


def _row(cells: tuple[str, ...]) -> TranslationRow:
    """Parse an address, a Customer IP and a name; an empty Customer IP removes the translation."""
    internal = services.parse_address(cells[0])
    if internal is None or not 2 <= len(_without_empty_end(cells, 3)) <= 3:
        raise ValueError(ROW_FORMAT)
    return _row_of(internal, cells[1:])


def _row_at(number: int, cells: tuple[str, ...]) -> TranslationRow:
    if len(_without_empty_end(cells, 1)) > 2:
        raise ValueError(ROW_FORMAT_WITHOUT_ADDRESS)
    if number >> 32:
        raise ValueError("There is no address for it: begin at an earlier one.")
    return _row_of(IPv4Address(number), cells)


def _row_of(internal: IPv4Address, cells: tuple[str, ...]) -> TranslationRow:
    """Parse a Customer IP and a name."""
    name = services.parse_name(cells[1]) if len(cells) > 1 else ""
    return TranslationRow(internal, services.parse_address(cells[0]), name)


def _without_empty_end(cells: tuple[str, ...], minimum: int) -> tuple[str, ...]:
    """Drop empty cells at the end, which spreadsheets add, down to `minimum` cells."""
    length = len(cells)
    while length > minimum and not cells[length - 1]:
        length -= 1
    return cells[:length]
