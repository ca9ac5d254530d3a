"""The translation table as CSV: round trip, escaped formulas, and malformed input."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vpnportal.domain.tunnel.translation_csv import (
    Cells,
    as_csv,
    decode,
    escape_formula,
    read_rows,
    unescape_formula,
)

NAMES = st.text(alphabet="=+-@',;\" ab1|!", max_size=12)
FULL_WIDTH = "\uff1d\uff0b\uff0d\uff20"


@given(NAMES)
def test_an_escaped_cell_is_unescaped_to_the_same_text(name):
    assert unescape_formula(escape_formula(name)) == name


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@given(name=NAMES)
def test_no_cell_begins_as_a_formula_with_any_separator(separator, name):
    (_, line) = as_csv([("10.1.255.92", "192.168.10.15", name)])

    cells = next(csv.reader(io.StringIO(line), delimiter=separator, quoting=csv.QUOTE_NONE))
    assert not [cell for cell in cells if cell.strip(' "\r\n')[:1] in set("=+-@") if cell != name]
    assert next(csv.reader(io.StringIO(line)))[2].lstrip(" ")[:1] not in set("=+-@")


@pytest.mark.parametrize("cell", ["\tnot a name", "\r=1+1"])
def test_a_tab_or_a_carriage_return_at_the_start_is_escaped(cell):
    assert escape_formula(cell)[0] == "'"
    assert unescape_formula(escape_formula(cell)) == cell


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_table_is_read_with_each_of_three_separators(separator, end):
    rows = [("IP address", "Customer IP", "Name"), ("10.1.255.92", "192.168.10.15", "db")]
    text = end.join(separator.join(row) for row in rows)

    assert [cells for _, cells in read_rows(text, 10)] == rows


def test_rows_keep_their_line_numbers_after_empty_lines():
    assert read_rows("10.1.255.92,192.168.10.15\n\n,,\n10.1.255.93,192.168.10.16,b\n", 10) == [
        Cells(1, ("10.1.255.92", "192.168.10.15")),
        Cells(4, ("10.1.255.93", "192.168.10.16", "b")),
    ]


@pytest.mark.parametrize("byte_order_mark", ["", "\ufeff"])
def test_a_file_is_utf_8_with_or_without_a_byte_order_mark(byte_order_mark):
    assert decode(f"{byte_order_mark}Zürich".encode()) == "Zürich"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_is_refused_with_the_line_number(encoding):
    text = "10.1.255.92,192.168.10.15,ok\n10.1.255.93,192.168.10.16,Zürich\n"

    with pytest.raises(ValueError, match=r"^Line (1|2) is not UTF-8 text. Save the table as"):
        decode(text.encode(encoding))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n" * 11, "There are more than 10 lines. Import them in parts."),
        ('10.1.255.92,1,"never closed\n', "Line 1 cannot be read."),
    ],
)
def test_a_malformed_table_is_refused_with_a_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_rows(text, 10)


@pytest.mark.parametrize("sign", FULL_WIDTH)
@pytest.mark.parametrize("before", ["", " ", '"', "a,", "a; "])
def test_s19_a_formula_in_full_width_is_escaped(sign, before):
    cell = f"{before}{sign}1+1"

    assert escape_formula(cell) == f"{before}'{sign}1+1"
    assert unescape_formula(escape_formula(cell)) == cell


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("10.1.255.92" + "," * 64, "Line 1 has more than 64 cells. A row has an IP address"),
        ("\n10.1.255.92,1," + "a" * 501, "Line 2 has a cell of more than 500 characters."),
    ],
)
def test_s3_a_row_has_limits(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_rows(text, 10)
