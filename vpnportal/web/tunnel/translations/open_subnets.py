"""How the static NAT subnets are looked at: which are open, at which page, and all rows or some.

It travels with each request, in the URL or in the table's form, and is kept nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse

from vpnportal.domain.addresses import number, parse_address
from vpnportal.models import Tunnel

PAGE_ROWS = 256


@dataclass(frozen=True, slots=True)
class OpenSubnet:
    """One open subnet. `only` shows nothing but translated rows; `at` is a row to go to."""

    page: int = 1
    only: bool = False
    at: str = ""
    problem: str = ""


OpenSubnets = Mapping[int, OpenSubnet]


def open_ids(texts: Iterable[str]) -> set[int]:
    """The ids that a request names; anything else in it is ignored."""
    return {pk for text in texts if (pk := _number(text))}


def open_subnets_from(given: QueryDict) -> dict[int, OpenSubnet]:
    """The open subnets by id; anything else is ignored."""
    return {
        pk: OpenSubnet(_number(given.get(f"page-{pk}", "")) or 1, bool(given.get(f"only-{pk}")))
        for pk in sorted(open_ids(given.getlist("open")))
    }


def after_button(
    looks: OpenSubnets, pk: int, first: int, pressed: QueryDict
) -> dict[int, OpenSubnet]:
    """The same after one button of a subnet was pressed; `first` is its first address."""
    look = looks.get(pk, OpenSubnet())
    if "go" in pressed or "enter" in pressed:
        look = _gone_to(look, first, pressed.get(f"to-{pk}", ""))
    elif "only" in pressed:
        look = OpenSubnet(only=pressed["only"] == "1")
    elif pressed.get("show") == "0":
        return {other: one for other, one in looks.items() if other != pk}
    else:
        look = replace(look, page=_number(pressed.get("show", "")) or 1)
    return {**looks, pk: look}


def wants_to_go(posted: QueryDict) -> int | None:
    """The subnet in whose field "Go to address" somebody pressed Enter."""
    if "enter" not in posted:
        return None
    filled = (key.removeprefix("to-") for key in posted if key.startswith("to-") and posted[key])
    return next((pk for text in filled if (pk := _number(text))), None)


def url_of(tunnel: Tunnel, looks: OpenSubnets, place: str) -> str:
    """The page of the tunnel with these subnets open, at one of its places."""
    query: list[tuple[str, int]] = []
    for pk, look in looks.items():
        query.append(("open", pk))
        query += [(f"page-{pk}", look.page)] if look.page > 1 else []
        query += [(f"only-{pk}", 1)] if look.only else []
    asked = f"?{urlencode(query)}" if query else ""
    return f"{reverse('tunnel', args=[tunnel.pk])}{asked}#{place}"


def page_of(address: int, first: int) -> int:
    """On which page of a subnet, all of whose rows are shown, an address is."""
    return (address - first) // PAGE_ROWS + 1


def _gone_to(look: OpenSubnet, first: int, text: str) -> OpenSubnet:
    try:
        address = str(parse_address(text))
    except ValueError as error:
        return replace(look, at=text, problem=str(error))
    return OpenSubnet(page=page_of(number(address), first), at=address)


def _number(text: str) -> int:
    """A number of at most 18 digits, or 0."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
