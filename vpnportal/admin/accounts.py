"""Accounts with their members, and the API keys' users: who may act for a customer."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest

from vpnportal.models import Account, Membership


class Members(admin.StackedInline):
    model = Membership
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Account)
class Accounts(admin.ModelAdmin):
    """An account with tunnels cannot be deleted: its tunnels are cancelled first."""

    list_display = ("name", "present", "people")
    search_fields = ("name", "memberships__user__username")
    inlines = (Members,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        present = Count("tunnels", Q(tunnels__cancelled_at=None), distinct=True)
        people = Count("memberships", distinct=True)
        return super().get_queryset(request).annotate(present=present, people=people)

    @admin.display(description="Tunnels", ordering="present")
    def present(self, account: Account) -> int:
        return account.present  # type: ignore[attr-defined]

    @admin.display(description="Members", ordering="people")
    def people(self, account: Account) -> int:
        return account.people  # type: ignore[attr-defined]
