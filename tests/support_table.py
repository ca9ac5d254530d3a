"""Write docs/support.md from the reports of the last test runs: `python -m tests.support_table`.

Each run of laboratory tests leaves reports of pytest in var/reports/<part>, with the environment
that `tests/system/conftest.py` recorded. A row of the table is a file of tests, a column an
environment.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "var" / "reports"
PAGE = ROOT / "docs" / "support.md"
HEAD = """\
# Data planes, kernels, Debian and charon

`python -m tests.support_table` writes this page from the reports of the laboratory's tests. A cell
has the number of tests that passed there. An empty cell means that the file does not run there in
`bin/test`; `bin/test --all` runs every file everywhere.

"""


def environment_label(environment: dict[str, str]) -> str:
    """Return an environment as the head of a column."""
    return (
        f"{environment['plane']}, Linux {environment['linux']}, Debian {environment['debian']},"
        f" charon {environment['charon']}"
    )


def read_reports(folder: Path) -> dict[str, dict[str, Counter[str]]]:
    """Return the number of tests by outcome, by environment and file, from all reports below."""
    table: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for report in sorted(folder.rglob("*.xml")):
        for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314, pytest wrote it
            recorded = case.find("properties/property[@name='environment']")
            name = re.match(r"tests\.system\.(test_\w+)", case.get("classname", ""))
            if recorded is not None and name:
                label = environment_label(json.loads(recorded.attrib["value"]))
                failed = any(child.tag in ("failure", "error") for child in case)
                table[label][name[1]]["failed" if failed else "passed"] += 1
    return table


def title(name: str) -> str:
    """Return the first line of a test file's docstring, without the full stop."""
    text = (ROOT / "tests" / "system" / f"{name}.py").read_text()
    return (ast.get_docstring(ast.parse(text)) or name).splitlines()[0].rstrip(".")


def page(table: dict[str, dict[str, Counter[str]]]) -> str:
    """Return the text of the page."""
    columns = sorted(table)
    lines = [f"| behaviour | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for file in sorted((ROOT / "tests" / "system").glob("test_*.py")):
        cells = [_cell(table[column].get(file.stem)) for column in columns]
        lines.append(f"| [{title(file.stem)}](../tests/system/{file.name}) | {' | '.join(cells)} |")
    return HEAD + "\n".join(lines) + "\n"


def _cell(counts: Counter[str] | None) -> str:
    if not counts:
        return ""
    failed = f", {counts['failed']} failed" if counts["failed"] else ""
    return f"{counts['passed']}{failed}"


if __name__ == "__main__":
    reports = read_reports(REPORTS)
    if not reports:
        sys.exit(f"There are no reports of laboratory tests in {REPORTS}: run bin/test first.")
    PAGE.write_text(page(reports))
