"""Accounts with their members."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet
from django.forms import ModelForm
from django.forms.formsets import DELETION_FIELD_NAME
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest

from vpnportal.admin.recorded import RecordedAdmin
from vpnportal.models import Account, Event, Membership, Role, record_event
from vpnportal.services import Refused, lock_account, refuse_last_owners


class MembershipFormSet(BaseInlineFormSet):
    """Formset of an account's members, which refuses to remove the last owner."""

    def clean(self) -> None:
        super().clean()
        former_owners = [
            form.instance.pk for form in self.initial_forms if self._loses_ownership(form)
        ]
        if not former_owners or any(self._gains_ownership(form) for form in self.forms):
            return
        # The admin saves in the same transaction, so the lock lasts until then.
        with lock_account(self.instance):
            try:
                refuse_last_owners(self.instance, former_owners)
            except Refused as refused:
                raise ValidationError(str(refused)) from None

    def _loses_ownership(self, form: ModelForm) -> bool:
        return form.initial["role"] == Role.OWNER and not self._will_own(form)

    def _gains_ownership(self, form: ModelForm) -> bool:
        return form.has_changed() and self._will_own(form)

    def _will_own(self, form: ModelForm) -> bool:
        entered = getattr(form, "cleaned_data", {})
        return entered.get("role") == Role.OWNER and not entered.get(DELETION_FIELD_NAME)


class Members(admin.StackedInline):
    model = Membership
    formset = MembershipFormSet
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Account)
class Accounts(RecordedAdmin):
    """The database protects an account that has tunnels: delete its tunnels first."""

    list_display = ("name", "tunnel_count", "member_count")
    search_fields = ("name", "memberships__user__username")
    inlines = (Members,)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Save the members, and record each change of one."""
        earlier = dict(formset.instance.memberships.values_list("pk", "role"))
        for member in (entry.instance for entry in formset.deleted_forms if entry.instance.pk):
            _record(Event.Action.ACCOUNT_MEMBER_REMOVED, member, before=earlier[member.pk])
        super().save_formset(request, form, formset, change)
        for member in formset.new_objects:
            _record(Event.Action.ACCOUNT_MEMBER_ADDED, member, after=member.role)
        for member, _ in formset.changed_objects:
            _record(
                Event.Action.ACCOUNT_MEMBER_ROLE_CHANGED,
                member,
                before=earlier[member.pk],
                after=member.role,
            )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        tunnels = Count("tunnels", Q(tunnels__cancelled_at=None), distinct=True)
        members = Count("memberships", distinct=True)
        accounts = super().get_queryset(request)
        return accounts.annotate(tunnel_count=tunnels, member_count=members)

    @admin.display(description="Tunnels", ordering="tunnel_count")
    def tunnel_count(self, account: Account) -> int:
        return account.tunnel_count  # type: ignore[attr-defined]

    @admin.display(description="Members", ordering="member_count")
    def member_count(self, account: Account) -> int:
        return account.member_count  # type: ignore[attr-defined]


def _record(action: Event.Action, member: Membership, before: str = "", after: str = "") -> None:
    record_event(
        action,
        account=member.account,
        subject=member.user.get_username(),
        before={"role": before} if before else {},
        after={"role": after} if after else {},
    )
