"""Pages of the tunnel list, found by the sort key of the row before or after them.

A link to a page holds the key of a row and no number of rows: while rows come and go, no row is
shown twice and none is left out. The database reads the rows of the page, and not those before it.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q
from django.db.models.expressions import Combinable
from django.db.models.functions import Lower
from django.utils.dateparse import parse_datetime

from vpnportal.services import RankedTunnels, with_state_rank

PER_PAGE = 50
# The names of the URL's parameters: the key of the row beside the page, and that row's position.
AFTER, BEFORE, AT = "after", "before", "at"
# The page before the end of the list.
END = "end"
# The key of the longest name has about 500 characters.
MAX_KEY_CHARACTERS = 700
BIGINT = 1 << 63


@dataclass(frozen=True, slots=True)
class Key:
    """The sort key of a row: the value of the sorted column, then that of the tunnel ID."""

    value: str | int | datetime | None
    name: str
    pk: int

    def __str__(self) -> str:
        value = self.value.isoformat() if isinstance(self.value, datetime) else self.value
        text = json.dumps([value, self.name, self.pk], ensure_ascii=False, separators=(",", ":"))
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class SortColumn:
    """A column by which the list can be sorted, with the type of its values."""

    value: Combinable
    kind: type[str] | type[int] | type[datetime] = str
    is_nullable: bool = False


SORT_COLUMNS: Mapping[str, SortColumn] = {
    "name": SortColumn(F("name_key")),
    "tunnel-name": SortColumn(F("friendly_key"), is_nullable=True),
    "state": SortColumn(F("state"), int),
    "remote-peer": SortColumn(F("remote_number"), int, is_nullable=True),
    "hosted-peer": SortColumn(F("hosted_number"), int),
    "location": SortColumn(Lower("concentrator__datacenter__long_name")),
    "account": SortColumn(Lower("account__name")),
    "applied": SortColumn(F("applied_at"), datetime, is_nullable=True),
}


@dataclass(frozen=True, slots=True)
class ListPage:
    """The tunnel ids of one page, their positions from 1 on, and the places of other pages.

    A place is a mapping of URL parameters; {} is the first page. `None` means that there is none.
    `place` is that of this page.
    """

    ids: list[int]
    start: int
    total: int
    place: dict[str, str]
    previous: dict[str, str] | None
    next: dict[str, str] | None

    @property
    def end(self) -> int:
        """The position of the last row, 0 without rows."""
        return self.start + len(self.ids) - 1


@dataclass(frozen=True, slots=True)
class Order:
    """The order of the list: by a column, then by tunnel ID. Rows without a value are last."""

    column: SortColumn
    is_descending: bool

    @classmethod
    def of(cls, name: str) -> Order:
        """Return the order by a column's name, with the prefix "-" for descending."""
        return cls(SORT_COLUMNS[name.removeprefix("-")], name.startswith("-"))

    def page(self, listed: RankedTunnels, place: Mapping[str, str], total: int) -> ListPage:
        """Return the page at a place; the first one if the place is none of this order.

        `total` is the number of listed tunnels, which the state counts contain already.
        """
        if self.column is SORT_COLUMNS["state"]:
            listed = with_state_rank(listed)
        return self._page(listed.annotate(sort_value=self.column.value), place, total)

    def _page(self, listed: RankedTunnels, place: Mapping[str, str], total: int) -> ListPage:
        is_end, backwards = place.get(BEFORE) == END, BEFORE in place
        key = self._key(place.get(BEFORE if backwards else AFTER, ""))
        if key is None and not is_end:
            place, backwards = {}, False
        found = self._rows(listed, key, backwards)
        has_more, rows = len(found) > PER_PAGE, found[:PER_PAGE]
        if backwards and not has_more and place:
            return self._page(listed, {}, total)
        if key and not rows:
            return self._page(listed, {BEFORE: END}, total)
        if backwards:
            rows.reverse()
        has_previous = has_more if backwards else key is not None
        has_next = key is not None if backwards else has_more
        start = 1
        if has_previous:
            at = _number(place.get(AT, ""))
            start = at - len(rows) if backwards else at + 1
            # What the link says may be long ago. At the end of the list it is known.
            last = max(total - len(rows) + 1, 1)
            start = min(max(start, 1), last) if has_next else last
        end = start + len(rows) - 1
        return ListPage(
            ids=[row.pk for row in rows],
            start=start,
            total=max(total, end),
            place={name: place[name] for name in (AFTER, BEFORE, AT) if name in place},
            previous={BEFORE: str(rows[0]), AT: str(start)} if has_previous else None,
            next={AFTER: str(rows[-1]), AT: str(end)} if has_next else None,
        )

    def _rows(self, listed: RankedTunnels, key: Key | None, backwards: bool) -> list[Key]:
        """Return the keys of up to one row more than a page, from a key on in one direction."""
        parts = [Q(sort_value__isnull=False), Q(sort_value=None)]
        if not self.column.is_nullable:
            parts = [Q()]
        if backwards:
            parts.reverse()
        found: list[Key] = []
        is_reversed = self.is_descending != backwards
        for part in parts:
            is_null = part == Q(sort_value=None)
            rows = listed.filter(part)
            if key is not None:
                if self.column.is_nullable and is_null != (key.value is None):
                    continue
                rows, key = rows.filter(_beyond(key, is_reversed)), None
            names = ("name_key", "pk") if is_null else ("sort_value", "name_key", "pk")
            rows = rows.order_by(*(f"-{name}" if is_reversed else name for name in names))
            values = rows.values_list("sort_value", "name_key", "pk")
            found += [Key(*row) for row in values[: PER_PAGE + 1 - len(found)]]
            if len(found) > PER_PAGE:
                break
        return found

    def _key(self, text: str) -> Key | None:
        """Return the key of a URL, or None if it is no key of this order."""
        if not text or len(text) > MAX_KEY_CHARACTERS:
            return None
        try:
            value, name, pk = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            value = self._value(value)
            is_text = isinstance(name, str) and "\0" not in name and name.encode()
        except (ValueError, TypeError, RecursionError):
            return None
        return Key(value, name, pk) if is_text and _is_number(pk) else None

    def _value(self, value: object) -> str | int | datetime | None:
        """Return the value of a column from JSON. Raises ValueError if it cannot be one."""
        if value is None and self.column.is_nullable:
            return None
        if self.column.kind is int and _is_number(value):
            return value  # type: ignore[return-value]
        if not isinstance(value, str) or "\0" in value or self.column.kind is int:
            raise ValueError(value)
        value.encode()
        if self.column.kind is str:
            return value
        moment = parse_datetime(value)
        if moment is None or moment.tzinfo is None:
            raise ValueError(value)
        return moment


def place_of(query: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a URL that say which page it shows."""
    return {name: query[name][:MAX_KEY_CHARACTERS] for name in (AFTER, BEFORE, AT) if name in query}


def _beyond(key: Key, is_reversed: bool) -> Q:
    """Return the condition of the rows behind a key. Its first part is one that an index has."""
    beyond = "lt" if is_reversed else "gt"
    rest = Q(**{f"pk__{beyond}": key.pk})
    columns = [("name_key", key.name)]
    if key.value is not None:
        columns.append(("sort_value", key.value))  # type: ignore[arg-type]
    for column, value in columns:
        rest = Q(**{f"{column}__{beyond}": value}) | (Q(**{column: value}) & rest)
    return Q(**{f"{columns[-1][0]}__{beyond}e": columns[-1][1]}) & rest


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -BIGINT <= value < BIGINT


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0
