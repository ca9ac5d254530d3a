"""Every page that a person reaches from the list of tunnels."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urldefrag, urljoin, urlsplit

from tests.system.faults.person import Person

LIMIT = 1_000


class _Links(HTMLParser):
    """The addresses that a page leads to, loads, or asks for again by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {"href", "src", "hx-get"}
        self.found += [value for name, value in attrs if name in names and value]


def crawl(person: Person, starts: Iterable[str]) -> dict[str, int]:
    """Return the status of these pages, and of all that they lead to, by address.

    Of addresses that differ only in the values of their query, the first one is asked for.
    """
    statuses: dict[str, int] = {}
    waiting = deque(starts)
    kinds = set(map(_kind, waiting))
    while waiting:
        address = waiting.popleft()
        answer = person.get(address)
        statuses[address] = answer.status
        assert len(statuses) < LIMIT, "the pages lead to more and more pages"
        for target in _targets(address, answer.text):
            if (kind := _kind(target)) not in kinds:
                kinds.add(kind)
                waiting.append(target)
    return statuses


def _targets(address: str, page: str) -> Iterator[str]:
    """Yield the links of a page with and without their query; of the admin without."""
    links = _Links()
    links.feed(page)
    for link in links.found:
        target = urldefrag(urljoin(address, link)).url
        if target.startswith("/"):
            path = urlsplit(target).path
            yield path
            if not path.startswith("/operators/"):
                yield target


def _kind(address: str) -> tuple[str, frozenset[str]]:
    parts = urlsplit(address)
    return parts.path, frozenset(name for name, _ in parse_qsl(parts.query))
