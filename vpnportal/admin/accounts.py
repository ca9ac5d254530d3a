"""Accounts with their members."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet
from django.forms import ModelForm
from django.forms.formsets import DELETION_FIELD_NAME
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest

from vpnportal.admin.base import PortalAdmin
from vpnportal.models import Account, Event, Membership, Role, record_event
from vpnportal.services import (
    Quota,
    Refused,
    lock_account,
    owners_of,
    quota_uses,
    refuse_last_owners,
    tell_owners,
    withdraw_access,
    withdraw_invitations,
)

OWN_MEMBERSHIP = (
    "You cannot make yourself a member or change your own role here. An owner of the account can."
)


class MembershipFormSet(BaseInlineFormSet):
    """Formset of an account's members.

    It refuses to remove the last owner, and to make `operator`, its user, a member.
    """

    operator: User

    def clean(self) -> None:
        super().clean()
        if any(self._makes_operator_member(form) for form in self.forms):
            raise ValidationError(OWN_MEMBERSHIP)
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

    def _makes_operator_member(self, form: ModelForm) -> bool:
        entered = getattr(form, "cleaned_data", {})
        is_kept = form.has_changed() and not entered.get(DELETION_FIELD_NAME)
        return is_kept and entered.get("user") == self.operator

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

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        return type(formset.__name__, (formset,), {"operator": request.user})


@admin.register(Account)
class Accounts(PortalAdmin):
    """Accounts with their members. Each change of a member is mailed to the owners.

    The database protects an account that has tunnels: delete its tunnels first.
    """

    list_display = ("name", "tunnel_count", "member_count")
    search_fields = ("name", "memberships__user__username")
    inlines = (Members,)
    readonly_fields = ("quotas_used",)
    fieldsets = (
        (None, {"fields": ("name",)}),
        (
            "Quotas",
            {
                "description": "The most that the account may have. An empty field is the default "
                "of the site. What the account has already stays.",
                "fields": ("quotas_used", *(f"max_{quota}" for quota in Quota)),
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        tunnels = Count("tunnels", Q(tunnels__cancelled_at=None), distinct=True)
        members = Count("memberships", distinct=True)
        accounts = super().get_queryset(request)
        return accounts.annotate(tunnel_count=tunnels, member_count=members)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        account: Account = form.instance
        with lock_account(account):
            before, owners = _members(account), owners_of(account)
            super().save_related(request, form, formsets, change)
            changes = _apply_member_changes(account, before, _members(account))
            tell_owners(account, cast(User, request.user), changes, also=owners)

    def get_form(
        self, request: HttpRequest, obj: Account | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        labels = {f"max_{quota}": f"Most {quota.label}" for quota in Quota}
        helps = {f"max_{quota}": f"Default: {settings.QUOTAS[quota]:,}" for quota in Quota}
        return super().get_form(
            request, obj, change=change, labels=labels, help_texts=helps, **kwargs
        )

    @admin.display(description="In use")
    def quotas_used(self, account: Account) -> str:
        if account.pk is None:
            return "nothing"
        return ", ".join(
            f"{use.used:,} {use.label}" for use in quota_uses([account.pk])[account.pk]
        )

    @admin.display(description="Tunnels", ordering="tunnel_count")
    def tunnel_count(self, account: Account) -> int:
        return account.tunnel_count  # type: ignore[attr-defined]

    @admin.display(description="Members", ordering="member_count")
    def member_count(self, account: Account) -> int:
        return account.member_count  # type: ignore[attr-defined]


def _members(account: Account) -> dict[User, Role]:
    memberships = account.memberships.select_related("user").order_by("user__username")
    return {row.user: Role(row.role) for row in memberships}


def _apply_member_changes(
    account: Account, before: dict[User, Role], after: dict[User, Role]
) -> list[str]:
    """Record each change; revoke keys and links of former members and owners.

    Returns a phrase for each change.
    """
    changes = []
    for user, role in before.items():
        if user not in after:
            _record(Event.Action.ACCOUNT_MEMBER_REMOVED, account, user, before=role)
            withdraw_access(user, account)
            changes.append(f"removed {user}, who was {role.label}")
        elif role == Role.OWNER and after[user] != Role.OWNER:
            withdraw_invitations(user, account)
    for user, role in after.items():
        earlier = before.get(user)
        if earlier is None:
            _record(Event.Action.ACCOUNT_MEMBER_ADDED, account, user, after=role)
        elif earlier != role:
            _record(Event.Action.ACCOUNT_MEMBER_ROLE_CHANGED, account, user, earlier, role)
        if earlier != role:
            changes.append(f"made {user} {role.label}")
    return changes


def _record(
    action: Event.Action, account: Account, user: User, before: str = "", after: str = ""
) -> None:
    record_event(
        action,
        account=account,
        subject=user.get_username(),
        before={"role": before} if before else {},
        after={"role": after} if after else {},
    )
