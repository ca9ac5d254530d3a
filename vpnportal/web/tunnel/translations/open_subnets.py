"""Open static NAT subnets of a tunnel's page: the shown rows of each subnet.

Every request carries this state, in its URL or in the table's form. The server stores none of it.
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
    """The shown rows of one open static NAT subnet.

    `only` hides rows without a translation. `address` is the internal address whose row takes the
    focus, or the text typed in "Go to address". `problem` is the error in that text.
    """

    page: int = 1
    only: bool = False
    address: str = ""
    problem: str = ""


OpenSubnets = Mapping[int, OpenSubnet]


def open_ids(texts: Iterable[str]) -> set[int]:
    """Return the ids in a request; texts that are no ids are ignored."""
    return {pk for text in texts if (pk := _number(text))}


def open_subnets_from(query: QueryDict) -> dict[int, OpenSubnet]:
    """Return the open subnets of a request by id; malformed values are ignored."""
    return {
        pk: OpenSubnet(_number(query.get(f"page-{pk}", "")) or 1, bool(query.get(f"only-{pk}")))
        for pk in sorted(open_ids(query.getlist("open")))
    }


def after_button(
    open_subnets: OpenSubnets, pk: int, first: int, pressed: QueryDict
) -> dict[int, OpenSubnet]:
    """Return the open subnets after a press of a button in subnet `pk`, which begins at `first`."""
    subnet = open_subnets.get(pk, OpenSubnet())
    if "go" in pressed or "enter" in pressed:
        subnet = _go_to(subnet, first, pressed.get(f"to-{pk}", ""))
    elif "only" in pressed:
        subnet = OpenSubnet(only=pressed["only"] == "1")
    elif pressed.get("show") == "0":
        return {other: state for other, state in open_subnets.items() if other != pk}
    else:
        subnet = replace(subnet, page=_number(pressed.get("show", "")) or 1)
    return {**open_subnets, pk: subnet}


def subnet_to_go_to(posted: QueryDict) -> int | None:
    """Return the subnet in whose field "Go to address" the user pressed Enter."""
    if "enter" not in posted:
        return None
    filled = (key.removeprefix("to-") for key in posted if key.startswith("to-") and posted[key])
    return next((pk for text in filled if (pk := _number(text))), None)


def url_of(tunnel: Tunnel, open_subnets: OpenSubnets, fragment: str) -> str:
    """Return the URL of a tunnel's page with these subnets open, at an element of the page."""
    query: list[tuple[str, int]] = []
    for pk, subnet in open_subnets.items():
        query.append(("open", pk))
        query += [(f"page-{pk}", subnet.page)] if subnet.page > 1 else []
        query += [(f"only-{pk}", 1)] if subnet.only else []
    text = f"?{urlencode(query)}" if query else ""
    return f"{reverse('tunnel', args=[tunnel.pk])}{text}#{fragment}"


def page_of(address: int, first: int) -> int:
    """Return the page number, from 1, of an address in a subnet that begins at `first`."""
    return (address - first) // PAGE_ROWS + 1


def _go_to(subnet: OpenSubnet, first: int, text: str) -> OpenSubnet:
    try:
        address = str(parse_address(text))
    except ValueError as error:
        return replace(subnet, address=text, problem=str(error))
    return OpenSubnet(page=page_of(number(address), first), address=address)


def _number(text: str) -> int:
    """Return a number of at most 18 digits, which every database holds; otherwise 0."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
