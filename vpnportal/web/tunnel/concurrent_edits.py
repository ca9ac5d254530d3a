"""Edits by other users while a page is open: a list of them, and the fields to render again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from django.contrib.auth.models import User
from django.forms import BoundField

from vpnportal.clock import time_of_day
from vpnportal.domain.tunnel.spec_diff import in_words
from vpnportal.models import LastEdit, Tunnel
from vpnportal.services import KEY_FIELD, author_name, edits_since
from vpnportal.web.tunnel.forms import FORMS, label_of

# One paste may change thousands of translations.
MAX_LISTED = 12


@dataclass(frozen=True, slots=True)
class ConcurrentEdit:
    """The last edit of one field by another user."""

    author: str
    label: str
    at: str


@dataclass(frozen=True, slots=True)
class ConcurrentEdits:
    """Edits since the page was loaded, as `tunnel/sections/concurrent_edits.html` shows them.

    `fields` are the form fields of all edits, those of the user included. The browser replaces a
    field only if it is not in use and shows another value.
    """

    listed: list[ConcurrentEdit] = field(default_factory=list)
    omitted: int = 0
    fields: list[BoundField] = field(default_factory=list)


def concurrent_edits(
    user: User, tunnel: Tunnel, since: datetime | None, editable: bool
) -> ConcurrentEdits:
    """Return the edits after the version `since`, and list those by others than `user`."""
    edits = list(edits_since(tunnel, since))
    by_others = [edit for edit in edits if edit.author_id != user.pk]
    return ConcurrentEdits(
        listed=[
            ConcurrentEdit(author_name(edit.author), label_of(edit.field), time_of_day(edit.at))
            for edit in by_others[-MAX_LISTED:]
        ],
        omitted=max(0, len(by_others) - MAX_LISTED),
        fields=list(_fields(tunnel, edits, editable)),
    )


def _fields(tunnel: Tunnel, edits: Iterable[LastEdit], editable: bool) -> Iterator[BoundField]:
    by_field = {edit.field: edit for edit in edits}
    for form_class in FORMS.values():
        names = [name for name in form_class.base_fields if name in by_field]
        if not names:
            continue
        form = form_class(tunnel, None, editable)
        for name in names:
            form.edit_notes[name] = _sentence(tunnel, by_field[name])
            yield form[name]


def _sentence(tunnel: Tunnel, edit: LastEdit) -> str:
    value = (
        ""
        if edit.field == KEY_FIELD
        else f" to {in_words(edit.field, getattr(tunnel, edit.field))}"
    )
    return f"{author_name(edit.author)} changed this{value} at {time_of_day(edit.at)}"
