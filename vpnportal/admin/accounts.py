"""Accounts with their members, and the API keys' users: who may act for a customer."""

from __future__ import annotations

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet
from django.forms import ModelForm
from django.forms.formsets import DELETION_FIELD_NAME
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest

from vpnportal.models import Account, Membership, Role
from vpnportal.services.errors import Refused
from vpnportal.services.memberships import lock_account, refuse_last_owners

OWNER = Role.OWNER


class SomebodyOwns(BaseInlineFormSet):
    """The members of an account, which never loses its last owner."""

    def clean(self) -> None:
        super().clean()
        leaving = [one.instance.pk for one in self.initial_forms if self._gives_up(one)]
        if not leaving or any(self._becomes_owner(one) for one in self.forms):
            return
        # The admin saves in the transaction that this lock belongs to.
        with lock_account(self.instance):
            try:
                refuse_last_owners(self.instance, leaving)
            except Refused as refused:
                raise ValidationError(str(refused)) from None

    def _gives_up(self, form: ModelForm) -> bool:
        return form.initial["role"] == OWNER and not self._owns(form)

    def _becomes_owner(self, form: ModelForm) -> bool:
        return form.has_changed() and self._owns(form)

    def _owns(self, form: ModelForm) -> bool:
        """Whether this member is an owner once the form is saved."""
        entered = getattr(form, "cleaned_data", {})
        return entered.get("role") == OWNER and not entered.get(DELETION_FIELD_NAME)


class Members(admin.StackedInline):
    model = Membership
    formset = SomebodyOwns
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
