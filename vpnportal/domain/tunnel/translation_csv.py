"""The translation table as CSV (RFC 4180), for files and for pasted rows.

A spreadsheet runs a cell that begins with = + - or @ as a formula, also in full width. Export
writes an apostrophe before such a cell, also after a separator inside a cell, where a spreadsheet
may split it. Import removes the apostrophe.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from vpnportal.domain.addresses import parse_address

# Spreadsheets add empty cells at the end of a row. No cell is longer than an escaped name.
MAX_CELLS, MAX_CELL_CHARACTERS = 64, 500
HEADER = ("IP address", "Customer IP", "Name")
SEPARATORS = ("\t", ";", ",")
# The last four are U+FF1D, U+FF0B, U+FF0D and U+FF20.
_STARTS = r"(?=[=+\-@\t\r\uff1d\uff0b\uff0d\uff20])"
_FORMULA = re.compile(rf"(^|[;,])([ \"]*)('*){_STARTS}")
_ESCAPED = re.compile(rf"(^|[;,])([ \"]*)'('*){_STARTS}")


class Cells(NamedTuple):
    """A row of a table: its line number in the text, and its cells without spaces around them."""

    line: int
    cells: tuple[str, ...]


def as_csv(rows: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    """Yield the lines of a CSV file, the header first."""
    line = io.StringIO(newline="")
    writer = csv.writer(line)
    for row in chain([HEADER], rows):
        writer.writerow([escape_formula(cell) for cell in row])
        yield line.getvalue()
        line.seek(0)
        line.truncate()


def escape_formula(text: str) -> str:
    """Return the text of a cell with an apostrophe before each start of a formula."""
    return _FORMULA.sub(r"\1\2'\3", text)


def unescape_formula(cell: str) -> str:
    """Return the text of a cell without the apostrophes that `escape_formula` adds."""
    return _ESCAPED.sub(r"\1\2\3", cell) if "'" in cell else cell


def decode(data: bytes) -> str:
    """Return the text of a UTF-8 file, with or without a byte order mark.

    Raises ValueError with the number of the first line that is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"Line {line} is not UTF-8 text. Save the table as CSV UTF-8 and choose it again."
        ) from None


def read_rows(text: str, limit: int) -> list[Cells]:
    """Return the rows of CSV text, without empty rows.

    Raises ValueError if there are more than `limit` rows, if a row is malformed, or if it has more
    than MAX_CELLS cells or a cell of more than MAX_CELL_CHARACTERS.
    """
    separator = _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows = []
    try:
        for row in reader:
            if len(row) > MAX_CELLS:
                raise ValueError(
                    f"Line {reader.line_num} has more than {MAX_CELLS} cells. A row has an IP "
                    "address, a Customer IP and a name."
                )
            if any(len(cell) > MAX_CELL_CHARACTERS for cell in row):
                raise ValueError(
                    f"Line {reader.line_num} has a cell of more than {MAX_CELL_CHARACTERS} "
                    "characters. Put each row on its own line."
                )
            cells = tuple(unescape_formula(cell.strip(" ")) for cell in row)
            if any(cells):
                rows.append(Cells(reader.line_num, cells))
            if len(rows) > limit:
                raise ValueError(f"There are more than {limit:,} lines. Import them in parts.")
    except csv.Error:
        raise ValueError(
            f"Line {reader.line_num} cannot be read. Put each row on its own line, and put cells "
            'with a separator or a quotation mark between ".'
        ) from None
    return rows


def is_header(cells: tuple[str, ...]) -> bool:
    """Return True if the cells are the names of the columns."""
    return tuple(cell.casefold() for cell in cells) == tuple(name.casefold() for name in HEADER)


def _separator(text: str) -> str:
    """Return the separator of the cells: a tab, a semicolon or a comma."""
    first_line = next((line for line in text.splitlines() if line.strip()), "")
    for separator in SEPARATORS:
        cell, has_separator, _ = first_line.partition(separator)
        if has_separator and _is_first_cell(cell.strip(' "')):
            return separator
    return "\t" if "\t" in first_line else ","


def _is_first_cell(cell: str) -> bool:
    if cell.casefold() == HEADER[0].casefold():
        return True
    try:
        parse_address(cell)
    except ValueError:
        return False
    return True
