"""The check of the prose finds each kind of sentence that it forbids, and leaves code alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests import prose


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return an empty git repository."""
    subprocess.run(("git", "init", "--quiet", str(tmp_path)), check=True)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("a.py", '"""Whether it is up."""\n', "docstring begins with a relative clause"),
        ("a.py", "x = 1  # Nobody reads this.\n", 'says "Nobody"'),
        ("a.py", 'def f():\n    """Return the lane."""\n', 'says "lane"'),
        ("docs/a.md", "The revision stands.\n", 'says "stands"'),
        ("templates/a.html", "<p>The other end refused.</p>\n", 'says "The other end"'),
        ("bin/a", "# Goes on so long.\n", 'says "so long"'),
    ],
)
def test_a_forbidden_sentence_is_found_in_code_docs_pages_and_scripts(
    repository: Path, name: str, text: str, rule: str
):
    file = repository / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)

    findings, _, _ = prose.check(repository)

    assert [(finding.path, finding.rule) for finding in findings] == [(name, rule)]


def test_strings_names_and_other_files_are_no_prose(repository: Path):
    (repository / "a.py").write_text('nobody = "whoever"\n')
    (repository / "a.txt").write_text("somebody\n")

    assert prose.check(repository) == ([], [], [])


def test_uses_of_what_and_variables_named_one_are_counted(repository: Path):
    source = '"""Return what is what."""\nfor one in (1,):\n    print(lambda one: one)\n'
    (repository / "a.py").write_text(source)

    findings, whats, ones = prose.check(repository)

    assert (findings, len(whats), [place.line for place in ones]) == ([], 2, [2, 3])
