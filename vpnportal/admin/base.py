"""The base of all model admins: only the filters that a page offers, and an event for a change."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Model, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest

from vpnportal.models import Account, Concentrator, Event, record_event

CHANGES = "recorded_changes"
# What Django's filters of `list_filter` send after the name of their field.
FILTER_LOOKUPS = frozenset({"", "exact", "id__exact", "isnull", "isempty", "gte", "lt"})


class PortalAdmin(admin.ModelAdmin):
    """A ModelAdmin that refuses every filter in a URL that `list_filter` does not name.

    Django permits a filter by each column: by `column__startswith` a user who sees the list could
    find out the value of a column that no page shows. Additions, changes and deletions are events,
    beside Django's own log.
    """

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        offered = self.get_list_filter(request) if request is not None else self.list_filter
        return any(_belongs(lookup, item) for item in offered)

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """Note the values of the changed fields, without passwords, for the event."""
        names = [name for name in form.changed_data if "password" not in name]
        before = {name: form.initial.get(name) for name in names if not add}
        after = {name: form.cleaned_data.get(name) for name in names}
        setattr(request, CHANGES, (before, after))
        return super().construct_change_message(request, form, formsets, add)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Record the addition."""
        self._record(request, Event.Action.ADMIN_ADDED, obj, message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Record the change."""
        self._record(request, Event.Action.ADMIN_CHANGED, obj, message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Record the deletions."""
        for obj in queryset:
            self._record(request, Event.Action.ADMIN_DELETED, obj, [])
        return super().log_deletions(request, queryset)

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any) -> Any:
        """Run an action on several rows in one transaction with its events."""
        with transaction.atomic():
            return super().response_action(request, queryset, *args)

    def _record(self, request: HttpRequest, action: Event.Action, obj: Model, message: Any) -> None:
        noted: tuple[dict[str, Any], dict[str, Any]] = getattr(request, CHANGES, ({}, {}))
        before, after = noted
        account = obj if isinstance(obj, Account) else getattr(obj, "account", None)
        concentrator = obj if isinstance(obj, Concentrator) else getattr(obj, "concentrator", None)
        # The user's own row may be the one that is deleted.
        user = request.user if isinstance(request.user, User) else None
        rows = [part for part in message if _is_of_inline(part)] if message else []
        record_event(
            action,
            actor=user,
            account=account,
            concentrator=concentrator,
            subject=f"{obj._meta.verbose_name} {obj}",
            before=before,
            after={**after, **({"rows": rows} if rows else {})},
        )


def _belongs(lookup: str, item: Any) -> bool:
    if isinstance(item, type) and issubclass(item, admin.SimpleListFilter):
        return lookup == item.parameter_name
    name = item[0] if isinstance(item, tuple | list) else item
    if lookup == name:
        return True
    head, _, tail = lookup.partition(f"{name}{LOOKUP_SEP}")
    return head == "" and tail in FILTER_LOOKUPS


def _is_of_inline(part: Any) -> bool:
    return isinstance(part, dict) and any(part.values())
