"""A check of the prose in code, pages and docs; `python -m tests.prose` prints each finding.

It holds the rules that a machine can count. docs/glossary.md has the words to use instead.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BANNED = re.compile(
    r"\b(whoever|nobody|somebody|anew|is told|are told|so many|so long|so often|lanes?|stands"
    r"|lets? go|taken back|the other end|wish(es)?|hearings?|sightings?|out of sight)\b",
    re.IGNORECASE,
)
# A docstring begins with a verb, or with a noun phrase that names the thing.
BAD_START = re.compile(r"\s*(What|Whether|Those|Which|Who|Where|The same)\b")
WHAT = re.compile(r"\bwhat\b", re.IGNORECASE)
# Limits for the whole repository. Some sentences need "what", and some loops have no better name.
MAX_WHAT = 99
MAX_ONE = 29
# Released migrations, and pages that name the words which are not used.
EXCLUDED = (
    "vpnportal/migrations/",
    "tests/prose.py",
    "docs/glossary.md",
    "docs/decisions/025-stored-and-wire-names-are-fixed.md",
    "docs/decisions/026-one-word-per-concept.md",
)
PROSE_SUFFIXES = (".md", ".html")


@dataclass(frozen=True, slots=True)
class Finding:
    """A place in a file, and the rule that it breaks."""

    path: str
    line: int
    rule: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}"


def main() -> int:
    """Print all findings and the two counts. Return 1 if a rule or a limit is broken."""
    findings, whats, ones = check(Path(__file__).resolve().parent.parent)
    for finding in findings:
        print(finding)
    print(f'"what" in docstrings: {len(whats)} (limit {MAX_WHAT})')
    print(f"variables named `one`: {len(ones)} (limit {MAX_ONE})")
    for places, limit in ((whats, MAX_WHAT), (ones, MAX_ONE)):
        if len(places) > limit:
            print(*places, sep="\n")
    return int(bool(findings) or len(whats) > MAX_WHAT or len(ones) > MAX_ONE)


def check(root: Path) -> tuple[list[Finding], list[Finding], list[Finding]]:
    """Return broken rules, uses of "what" in docstrings, and variables named `one`."""
    listing = subprocess.run(
        ("git", "ls-files", "--cached", "--others", "--exclude-standard"),
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    findings: list[Finding] = []
    whats: list[Finding] = []
    ones: list[Finding] = []
    for path in sorted(set(listing.stdout.splitlines())):
        file = root / path
        if path.startswith(EXCLUDED) or not file.is_file():
            continue
        if path.endswith(".py"):
            text = file.read_text()
            tree = ast.parse(text)
            docstrings = list(docstrings_of(tree))
            for line, docstring in docstrings:
                if BAD_START.match(docstring):
                    findings.append(Finding(path, line, "docstring begins with a relative clause"))
                whats += [Finding(path, line, "what") for _ in WHAT.finditer(docstring)]
            prose = [*docstrings, *comments_of(text)]
            ones += [Finding(path, line, "one") for line in ones_in(tree)]
        elif path.endswith(PROSE_SUFFIXES):
            prose = list(enumerate(file.read_text().splitlines(), 1))
        elif path.startswith("bin/"):
            lines = enumerate(file.read_text().splitlines(), 1)
            prose = [(line, text) for line, text in lines if text.lstrip().startswith("#")]
        else:
            continue
        findings += [
            Finding(path, line, f'says "{match.group(0)}"')
            for line, text in prose
            for match in BANNED.finditer(text)
        ]
    return findings, whats, ones


def docstrings_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of every docstring."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node)
            if docstring:
                yield node.body[0].lineno, docstring


def comments_of(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of every comment."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def ones_in(tree: ast.Module) -> Iterator[int]:
    """Yield the lines that bind a variable or parameter with the name `one`."""
    for node in ast.walk(tree):
        is_variable = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        name = node.id if is_variable else getattr(node, "arg", None)
        if name == "one" and not isinstance(node, ast.keyword):
            yield node.lineno


if __name__ == "__main__":
    sys.exit(main())
