"""Rows of the translation table as a request brings them, and which of them the user changed."""

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
from vpnportal.services import EditConflict, Refused, TranslationRow

UNSAVED = (
    "Not saved yet: click Add/Modify Context Address Translations, or restore the saved value."
)


class CustomerPair(NamedTuple):
    """The texts of the two inputs of a row."""

    customer: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class SubmittedRow:
    """A changed row: its texts, the texts that the page had shown, and its problem."""

    now: CustomerPair
    before: CustomerPair
    problem: str = ""


def saved_pairs(tunnel: Tunnel) -> dict[str, CustomerPair]:
    """Return the draft's translations as the inputs show them, by internal address; one query."""
    # Tuples instead of model instances: there may be the 65,536 rows of a /16.
    rows = tunnel.translations.values_list("internal_address", "customer_address", "name")
    return {address: CustomerPair(customer, name) for address, customer, name in rows.iterator()}


def changed_rows(saved: Mapping[str, CustomerPair], posted: QueryDict) -> dict[str, SubmittedRow]:
    """Return the submitted rows that differ from the shown rows, by internal address.

    Without shown values in the request, the rows are compared with `saved`. Raises BadRequest for
    an input whose name contains no valid IPv4 address.
    """
    shown_pairs = _shown_pairs(posted) if "was" in posted else saved
    changed = {}
    for key in posted:
        if not key.startswith("customer-"):
            continue
        address = _checked_address(key.removeprefix("customer-"))
        now = CustomerPair(posted.get(key, ""), posted.get(f"name-{address}", ""))
        before = shown_pairs.get(address, CustomerPair())
        if CustomerPair(now.customer.strip(" "), now.name.strip(" ")) != before:
            changed[address] = SubmittedRow(now, before)
    return changed


def shown_values(rows: Iterable[tuple[str, CustomerPair]]) -> str:
    """Return a line "address TAB Customer IP TAB name" for each row that is not empty."""
    return "\n".join(
        f"{address}\t{pair.customer}\t{pair.name}" for address, pair in rows if any(pair)
    )


def save(tunnel: Tunnel, changed: Mapping[str, SubmittedRow], author: User) -> None:
    """Save all changed rows in the draft, or none.

    Raises Refused with a problem for every malformed or misplaced row.
    """
    rows, problems = [], []
    for address, submitted in changed.items():
        try:
            rows.append(_row(address, submitted.now))
        except ValueError as error:
            problems.append(Problem(translation_field(address), str(error)))
    seen_rows = {
        IPv4Address(address): _seen_row(address, submitted.before)
        for address, submitted in changed.items()
    }
    # The rows without a problem are saved in a transaction that the problems of the others undo.
    with transaction.atomic():
        try:
            services.set_translations(tunnel, rows, author, seen_rows)
        except Refused as refused:
            raise type(refused)(*problems, *refused.problems) from None
        if problems:
            raise Refused(*problems)


def unsaved(changed: Iterable[str]) -> list[Problem]:
    """Return a problem for each row that the user changed and did not save."""
    return [Problem(translation_field(address), UNSAVED) for address in changed]


def with_problems(
    changed: Mapping[str, SubmittedRow], refused: Refused | None, saved: Mapping[str, CustomerPair]
) -> dict[str, SubmittedRow]:
    """Return the changed rows, each with the texts of its problems.

    After an edit conflict, `before` of a well-formed row with a problem becomes the saved row. The
    problem shows the saved values to the user, so that the next attempt may overwrite them.
    """
    texts: dict[str, str] = {}
    for problem in refused.problems if refused else ():
        if (address := translation_address(problem.field)) is not None:
            texts[address] = f"{texts.get(address, '')} {problem.text}".strip()
    is_conflict = isinstance(refused, EditConflict)
    return {
        address: replace(
            row,
            problem=texts.get(address, ""),
            before=saved.get(address, CustomerPair())
            if is_conflict and address in texts and _is_well_formed(address, row)
            else row.before,
        )
        for address, row in changed.items()
    }


def _is_well_formed(address: str, row: SubmittedRow) -> bool:
    try:
        _row(address, row.now)
    except ValueError:
        return False
    return True


def _shown_pairs(posted: QueryDict) -> dict[str, CustomerPair]:
    pairs = {}
    for text in map(str, posted.getlist("was")):
        # Browsers send line ends as CR LF (HTML, form submission).
        for line in text.replace("\r", "").split("\n"):
            address, customer, name = (*line.split("\t", 2), "", "")[:3]
            pairs[address] = CustomerPair(customer, name)
    return pairs


def _checked_address(text: str) -> str:
    try:
        if str(parse_address(text)) == text:
            return text
    except ValueError:
        pass
    raise BadRequest("There is no such row.")


def _row(address: str, pair: CustomerPair) -> TranslationRow:
    return TranslationRow(
        IPv4Address(address), services.parse_address(pair.customer), services.parse_name(pair.name)
    )


def _seen_row(address: str, pair: CustomerPair) -> TranslationRow:
    """Return the row that the page had shown; raise BadRequest if `pair` is malformed."""
    try:
        return _row(address, pair)
    except ValueError:
        raise BadRequest("There is no such row.") from None
