"""The rows of the translation table as a request brings them: which of them somebody changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import NamedTuple

from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.db import transaction
from django.http import QueryDict

from vpnportal import services
from vpnportal.domain.addresses import parse_address
from vpnportal.domain.tunnel.spec import Problem, translation_address, translation_field
from vpnportal.models import Tunnel
from vpnportal.services import EditConflict, Refused, TranslationRow, input_parsing

UNSAVED = (
    "Typed, but not saved yet: press Add/Modify Context Address Translations, or put back what "
    "was there."
)


class CustomerPair(NamedTuple):
    """The texts of a row's two inputs."""

    customer: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class SubmittedRow:
    """A changed row: what it says, what it said before, and what is wrong with it."""

    now: CustomerPair
    before: CustomerPair
    problem: str = ""


def saved_pairs(tunnel: Tunnel) -> dict[str, CustomerPair]:
    """The translations of the draft, as the inputs of their rows show them; one query."""
    # Without a model for each: there may be a /16 of them.
    rows = tunnel.translations.values_list("internal_address", "customer_address", "name")
    return {at: CustomerPair(customer, name) for at, customer, name in rows.iterator()}


def changed_rows(kept: Mapping[str, CustomerPair], posted: QueryDict) -> dict[str, SubmittedRow]:
    """The rows that do not say what they said when their page was made, by address.

    A page tells what it showed; of a request that does not, what is kept counts. A row that no page
    of ours has is a bad request.
    """
    shown = _shown(posted) if "was" in posted else kept
    changed = {}
    for key in posted:
        if not key.startswith("customer-"):
            continue
        at = _address(key.removeprefix("customer-"))
        now = CustomerPair(posted.get(key, ""), posted.get(f"name-{at}", ""))
        before = shown.get(at, CustomerPair())
        if CustomerPair(now.customer.strip(" "), now.name.strip(" ")) != before:
            changed[at] = SubmittedRow(now, before)
    return changed


def shown_values(rows: Iterable[tuple[str, CustomerPair]]) -> str:
    """What a page shows, for `changed_rows` to compare with; empty rows need not be told."""
    return "\n".join(f"{at}\t{pair.customer}\t{pair.name}" for at, pair in rows if any(pair))


def keep(tunnel: Tunnel, changed: Mapping[str, SubmittedRow], author: User) -> None:
    """All or nothing; Refused names every row that is wrong, whether ill-formed or misplaced."""
    rows, wrong = [], []
    for at, typed_row in changed.items():
        try:
            rows.append(_row(at, typed_row.now))
        except ValueError as error:
            wrong.append(Problem(translation_field(at), str(error)))
    seen = {IPv4Address(at): _seen(at, one.before) for at, one in changed.items()}
    with transaction.atomic():
        try:
            services.set_translations(tunnel, rows, author, seen)
        except Refused as refused:
            raise type(refused)(*wrong, *refused.problems) from None
        if wrong:
            raise Refused(*wrong)


def unsaved(changed: Iterable[str]) -> list[Problem]:
    """A problem for each row that somebody typed into and did not save."""
    return [Problem(translation_field(at), UNSAVED) for at in changed]


def explained(
    changed: Mapping[str, SubmittedRow], refused: Refused | None, kept: Mapping[str, CustomerPair]
) -> dict[str, SubmittedRow]:
    """The same rows, each with what is wrong with it.

    Of those that were overtaken their reader is told, and has seen what is kept now.
    """
    texts: dict[str, str] = {}
    for problem in refused.problems if refused else ():
        if (at := translation_address(problem.field)) is not None:
            texts[at] = f"{texts.get(at, '')} {problem.text}".strip()
    told = isinstance(refused, EditConflict)
    return {
        at: replace(
            row,
            problem=texts.get(at, ""),
            before=kept.get(at, CustomerPair())
            if told and at in texts and _is_one(at, row)
            else row.before,
        )
        for at, row in changed.items()
    }


def _is_one(at: str, row: SubmittedRow) -> bool:
    try:
        _row(at, row.now)
    except ValueError:
        return False
    return True


def _shown(posted: QueryDict) -> dict[str, CustomerPair]:
    shown = {}
    for told in map(str, posted.getlist("was")):
        # A browser sends line ends of two characters.
        for line in told.replace("\r", "").split("\n"):
            at, customer, name = (*line.split("\t", 2), "", "")[:3]
            shown[at] = CustomerPair(customer, name)
    return shown


def _address(text: str) -> str:
    try:
        if str(parse_address(text)) == text:
            return text
    except ValueError:
        pass
    raise BadRequest("There is no such row.")


def _row(at: str, pair: CustomerPair) -> TranslationRow:
    return TranslationRow(
        IPv4Address(at), input_parsing.address(pair.customer), input_parsing.name(pair.name)
    )


def _seen(at: str, pair: CustomerPair) -> TranslationRow:
    """What a page showed; it was made from a row, unless somebody made the request up."""
    try:
        return _row(at, pair)
    except ValueError:
        raise BadRequest("There is no such row.") from None
