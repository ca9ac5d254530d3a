"""The commands of docs/install.md and docs/operations.md, which the tests run as they are."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from tests.running_portal import ROOT

GUIDE, OPERATIONS = ROOT / "docs" / "install.md", ROOT / "docs" / "operations.md"
BLOCK = re.compile(
    r"^ *```sh (?P<machine>[\w ]+)\n(?P<commands>.*?)^ *```$", re.MULTILINE | re.DOTALL
)
# The gateway in the guide, and what a second one has in the place of its values.
EXAMPLE_NAME = "hou02-vpn01"
SECOND = {
    EXAMPLE_NAME: "hou02-vpn02",
    "203.0.113.1 ": "203.0.113.5 ",
    "203.0.113.16/28": "203.0.113.32/28",
    "10.1.255.0/24": "10.1.254.0/24",
}


def steps(chapter: str, machine: str, guide: Path = GUIDE) -> list[str]:
    """Return the blocks of commands for a machine in a chapter, such as `The portal`, in order."""
    chapters = re.split(r"^##+ ", guide.read_text(), flags=re.MULTILINE)
    # A chapter of docs/install.md has a title for each step.
    begin = next(number for number, text in enumerate(chapters) if text.startswith(chapter + "\n"))
    end = begin + 1
    while end < len(chapters) and re.match(r"\d+\. ", chapters[end]):
        end += 1
    return [
        textwrap.dedent(match["commands"])
        for text in chapters[begin:end]
        for match in BLOCK.finditer(text)
        if match["machine"] == machine
    ]
