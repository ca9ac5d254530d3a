"""A finding as lines for a terminal."""

from __future__ import annotations

from textwrap import wrap

from vpnportal.gateway.requirements.findings import Finding

WIDTH, INDENT = 100, " " * 9


def finding_text(word: str, finding: Finding) -> str:
    """Return a word for the level, the requirement with its text, and below it the remedy."""
    paragraphs = filter(None, (f"{finding.requirement}: {finding.text}", finding.remedy))
    # Names of units and files have hyphens, and are copied from here.
    lines = [
        line
        for text in paragraphs
        for line in wrap(text, WIDTH - len(INDENT), break_on_hyphens=False, break_long_words=False)
    ]
    return f"{word:<{len(INDENT)}}" + f"\n{INDENT}".join(lines)
