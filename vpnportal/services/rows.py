"""Rows of the translation table: what was entered for an address, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from vpnportal.domain.spec import Problem, Translation, translation_problem
from vpnportal.models import Subnet, Tunnel


@dataclass(frozen=True, slots=True)
class Row:
    """What somebody entered for one address; no customer address removes the translation."""

    internal: IPv4Address
    customer: IPv4Address | None
    name: str = ""


def kept_rows(tunnel: Tunnel) -> dict[IPv4Address, Row]:
    """The translations of the draft, by internal address."""
    values = (row.as_value() for row in tunnel.translations.all())
    return {value.internal: Row(value.internal, value.customer, value.name) for value in values}


def row_problems(tunnel: Tunnel, rows: Iterable[Row]) -> tuple[Problem, ...]:
    """Why these rows cannot be kept, one problem for each wrong one; nothing is written."""
    return tuple(problems(tunnel, {row.internal: row for row in rows}, kept_rows(tunnel)))


def problems(
    tunnel: Tunnel, entered: Mapping[IPv4Address, Row], kept: Mapping[IPv4Address, Row]
) -> Iterator[Problem]:
    """The same for rows by address, and for what is kept."""
    static_nat = tunnel.networks(Subnet.Kind.STATIC_NAT)
    remote = tunnel.networks(Subnet.Kind.CUSTOMER)
    taken: dict[IPv4Address | None, list[IPv4Address]] = {}
    for at, row in {**kept, **entered}.items():
        taken.setdefault(row.customer, []).append(at)
    for row in entered.values():
        if row.customer is None:
            if row.name:
                text = f"Enter the Customer IP for {row.internal}, or clear its name too."
                yield Problem(f"translation {row.internal}", text)
            continue
        value = Translation(row.internal, row.customer, row.name)
        if problem := translation_problem(value, static_nat, remote):
            yield problem
        elif other := next((at for at in taken[row.customer] if at != row.internal), None):
            text = f"{row.customer} is the Customer IP for {other} too: keep one of the two."
            yield Problem(f"translation {row.internal}", text)
