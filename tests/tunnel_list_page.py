"""Reads the list of tunnels as a person does: its rows, its counts and its links."""

from __future__ import annotations

from tests.html import part, read


def text_of(element) -> str:
    return " ".join("".join(element.itertext()).split())


def listed(answer) -> list[str]:
    """The device names on the page, in order."""
    return [text_of(e) for e in read(answer).iter("th") if e.get("scope") == "row"]


def rows(answer) -> dict[str, list[str]]:
    """The cells of each tunnel after its name, as a person reads them."""
    found = {}
    for row in read(answer).iter("tr"):
        if names := [e for e in row if e.get("scope") == "row"]:
            cells = list(row)
            found[text_of(names[0])] = [text_of(e) for e in cells[cells.index(names[0]) + 1 :]]
    return found


def counts(answer) -> dict[str, int]:
    """The numbers beside the states, by their words."""
    links = part(answer, "counts").iter("a")
    return {e.text.strip(): int(text_of(e.find("strong"))) for e in links}


def links(answer) -> dict[str, str]:
    return {text_of(e): e.get("href") for e in read(answer).iter("a")}
