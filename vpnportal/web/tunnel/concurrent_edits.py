"""What other people changed while a page was open: told, and shown where no hand is on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.forms import BoundField

from vpnportal.domain.tunnel.spec_diff import in_words
from vpnportal.models import LastEdit, Tunnel
from vpnportal.services.edit_conflicts import KEY, author_name, clock, edits_since
from vpnportal.web.responses import HtmxRequest
from vpnportal.web.tunnel.draft_version import version
from vpnportal.web.tunnel.forms import FORMS, label_of

# One paste may change thousands of translations.
MOST_TOLD = 12


def concurrent_edits(request: HtmxRequest, tunnel: Tunnel, editable: bool) -> dict[str, Any]:
    """What `tunnel/_others.html` shows, and the fields that changed since `since` was shown.

    The browser leaves a field alone that somebody is at, or that shows this already.
    """
    edits = list(edits_since(tunnel, version(request.GET.get("since", ""))))
    theirs = [edit for edit in edits if edit.author_id != request.user.pk]
    return {
        "others": [_told(edit) for edit in theirs[-MOST_TOLD:]],
        "more_others": max(0, len(theirs) - MOST_TOLD),
        "changed_fields": list(_fields(tunnel, edits, editable)),
    }


def _told(edit: LastEdit) -> dict[str, str]:
    return {
        "who": author_name(edit.author),
        "label": label_of(edit.field),
        "at": clock(edit.at),
    }


def _fields(tunnel: Tunnel, edits: Iterable[LastEdit], editable: bool) -> Iterator[BoundField]:
    by_field = {edit.field: edit for edit in edits}
    for form_class in FORMS.values():
        names = [name for name in form_class.base_fields if name in by_field]
        if not names:
            continue
        form = form_class(tunnel, None, editable)
        for name in names:
            form.told[name] = _sentence(tunnel, by_field[name])
            yield form[name]


def _sentence(tunnel: Tunnel, edit: LastEdit) -> str:
    value = "" if edit.field == KEY else f" to {in_words(edit.field, getattr(tunnel, edit.field))}"
    return f"{author_name(edit.author)} changed this{value} at {clock(edit.at)}"
