"""Reader of the tunnel list page: its rows, its counts and its links."""

from __future__ import annotations

from tests.html import part, read


def text_of(element) -> str:
    return " ".join("".join(element.itertext()).split())


def tunnel_ids(response) -> list[str]:
    """Return the tunnel IDs on the page, in order."""
    return [text_of(e) for e in read(response).iter("th") if e.get("scope") == "row"]


def rows(response) -> dict[str, list[str]]:
    """Return the texts of the cells after the tunnel ID, by tunnel ID."""
    texts = {}
    for row in read(response).iter("tr"):
        if headings := [e for e in row if e.get("scope") == "row"]:
            cells = list(row)
            cells_after = cells[cells.index(headings[0]) + 1 :]
            texts[text_of(headings[0])] = [text_of(cell) for cell in cells_after]
    return texts


def counts(response) -> dict[str, int]:
    """Return the numbers of tunnels by state label."""
    links = part(response, "counts").iter("a")
    return {e.text.strip(): int(text_of(e.find("strong"))) for e in links}


def links(response) -> dict[str, str]:
    """Return the links of the page by their text."""
    return {text_of(e): e.get("href") for e in read(response).iter("a")}
