"""The translation table as text and back: CSV (RFC 4180) for files, and what is pasted.

A spreadsheet runs a cell that begins with one of = + - @ as a formula. Such cells are written with
an apostrophe before it, also behind a separator, where a spreadsheet may cut differently; it is
taken away again when they are read.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from vpnportal.domain.addresses import parse_address

HEADER = ("IP address", "Customer IP", "Name")
SEPARATORS = ("\t", ";", ",")
_FORMULA = re.compile(r"(^|[;,])([ \"]*)('*)(?=[=+\-@\t\r])")
_HARMLESS = re.compile(r"(^|[;,])([ \"]*)'('*)(?=[=+\-@\t\r])")


class Cells(NamedTuple):
    """One line of a table: its number in the text, and its cells without blanks around them."""

    line: int
    cells: tuple[str, ...]


def as_csv(rows: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    """The lines of a CSV file, its header first."""
    line = io.StringIO(newline="")
    writer = csv.writer(line)
    for row in chain([HEADER], rows):
        writer.writerow([harmless(cell) for cell in row])
        yield line.getvalue()
        line.seek(0)
        line.truncate()


def harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return _FORMULA.sub(r"\1\2'\3", text)


def as_typed(cell: str) -> str:
    """What `harmless` was given."""
    return _HARMLESS.sub(r"\1\2\3", cell)


def decoded(data: bytes) -> str:
    """The text of a file in UTF-8, with or without a mark; ValueError names a line that is not."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"Line {line} is not UTF-8 text. Save the table as CSV UTF-8 and choose it again."
        ) from None


def lines_of(text: str, most: int) -> list[Cells]:
    """The lines that are not empty; ValueError where there are more, or one cannot be read."""
    separator = _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    found = []
    try:
        for row in reader:
            cells = tuple(as_typed(cell.strip(" ")) for cell in row)
            if any(cells):
                found.append(Cells(reader.line_num, cells))
            if len(found) > most:
                raise ValueError(f"There are more than {most:,} lines. Import them in parts.")
    except csv.Error:
        raise ValueError(
            f"Line {reader.line_num} cannot be read. Put each row on a line of its own, and a cell "
            'that holds a separator or a quotation mark between ".'
        ) from None
    return found


def is_header(cells: tuple[str, ...]) -> bool:
    """Whether these are the columns' names."""
    return tuple(cell.casefold() for cell in cells) == tuple(name.casefold() for name in HEADER)


def _separator(text: str) -> str:
    """What stands behind the first cell of the first line, which is an address or its heading."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    for separator in SEPARATORS:
        cell, found, _ = first.partition(separator)
        if found and _leads(cell.strip(' "')):
            return separator
    return "\t" if "\t" in first else ","


def _leads(cell: str) -> bool:
    if cell.casefold() == HEADER[0].casefold():
        return True
    try:
        parse_address(cell)
    except ValueError:
        return False
    return True
