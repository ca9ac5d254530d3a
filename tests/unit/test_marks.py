"""The marks of the laboratory's files, by which bin/test selects where each file runs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parent.parent / "system").glob("test_*.py"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_file_that_names_marks_has_them(file: Path):
    """bin/test searches for the text; in a string it would keep a file from running anywhere."""
    text = file.read_text()
    assigned = [
        target.id
        for statement in ast.parse(text).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    ]

    assert assigned.count("pytestmark") == text.count("pytestmark")
