"""The commands of docs/install.md, which the tests run as they are."""

from __future__ import annotations

import re

from tests.running_portal import ROOT

GUIDE = ROOT / "docs" / "install.md"
BLOCK = re.compile(r"^```sh (?P<machine>[\w ]+)\n(?P<commands>.*?)^```$", re.MULTILINE | re.DOTALL)
# The names in the guide, which has one gateway.
EXAMPLE_NAME, EXAMPLE_ADDRESS = "hou02-vpn01", "10.77.0.21"


def steps(chapter: str, machine: str) -> list[str]:
    """Return the blocks of commands for a machine in a chapter, such as `The portal`, in order."""
    chapters = re.split(r"^## ", GUIDE.read_text(), flags=re.MULTILINE)
    (text,) = (text for text in chapters if text.startswith(chapter + "\n"))
    return [match["commands"] for match in BLOCK.finditer(text) if match["machine"] == machine]
