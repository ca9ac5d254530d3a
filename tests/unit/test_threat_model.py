"""docs/threat-model.md: each claim names a test that exists, and each actor has claims."""

from __future__ import annotations

import ast
import re
from functools import cache

from tests.running_portal import ROOT

DOCUMENT = (ROOT / "docs" / "threat-model.md").read_text()
ACTORS = {
    "Stranger",
    "Customer of another account",
    "Viewer",
    "Operator",
    "Owner",
    "Support",
    "Service operator",
    "Stolen web process",
    "Stolen gateway",
    "Hostile peer",
    "Hostile broker or network",
}
# These say how far an actor gets, or that nothing stops it.
WITHOUT_TEST = re.compile(r"- (Can read and change |Root of the portal is not held back)")


def chapters() -> dict[str, list[str]]:
    """Return the claims of each chapter by its title; a claim is one item of a list."""
    found = {}
    for chapter in DOCUMENT.split("\n## ")[1:]:
        title, _, text = chapter.partition("\n")
        found[title] = re.findall(r"^- .*$", text, re.MULTILINE)
    return found


@cache
def names_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_each_actor_has_claims_and_each_claim_names_a_test():
    claims = {title: items for title, items in chapters().items() if title in ACTORS}

    assert claims.keys() == ACTORS
    for title, items in claims.items():
        assert sum("::test_" in item for item in items) >= 3, title
        bare = [item for item in items if "::" not in item and not WITHOUT_TEST.match(item)]
        assert bare == [], title


def test_each_test_that_a_claim_names_exists():
    named = re.findall(r"`(tests/\S+?\.py)::(\w+)`", DOCUMENT)

    assert len(named) > 40
    assert [f"{file}::{name}" for file, name in named if name not in names_in(file)] == []


def test_each_finding_of_an_attack_that_was_ended_has_its_test():
    """Findings S1 to S23 of an attack on a running copy; a test of one begins with its number."""
    names = {
        match[1]
        for file in (ROOT / "tests").rglob("test_*.py")
        for match in re.finditer(r"^def test_(s\d+)_", file.read_text(), re.MULTILINE)
    }

    assert {"s1", "s2", "s5", "s6", "s11", "s16", "s17", "s18", "s21"} <= names
