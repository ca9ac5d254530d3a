"""Users. The last owner of an account cannot be deleted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from allauth.account.models import EmailAddress, EmailConfirmation
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest

from vpnportal import services
from vpnportal.admin.recorded import RecordedAdmin
from vpnportal.models import Account, Membership, Role, Tunnel
from vpnportal.models.row_locks import lock_accounts, lock_tunnels

admin.site.unregister(User)
# Sessions and second factors are their users' own.
for model in (EmailAddress, EmailConfirmation, Authenticator, UserSession):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


class NameCheck(forms.ModelForm):
    """Mixin of Django's forms for users, with the portal's check of a new name."""

    def clean_username(self) -> str:
        name: str = self.cleaned_data["username"]
        if "username" not in self.changed_data:
            return name
        if problem := services.user_name_problem(name, self.instance.pk):
            raise ValidationError(problem)
        return name


class NewUserForm(NameCheck, AdminUserCreationForm):
    """Django's form for a new user."""


class UserForm(NameCheck, UserChangeForm):
    """Django's form for a user."""


@admin.register(User)
class Users(RecordedAdmin, UserAdmin):
    """Django's admin of users, without the deletion of an account's last owner."""

    add_form = NewUserForm
    form = UserForm

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        to_delete, counts, needed, protected = super().get_deleted_objects(objs, request)
        orphans = [f"{account}, which would have no owner" for account in _owned_only_by(objs)]
        return to_delete, counts, needed, [*protected, *orphans]

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        self.delete_queryset(request, User.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Delete users. Raises PermissionDenied if one of them became an account's last owner."""
        with transaction.atomic():
            lock_accounts(Account.objects.filter(memberships__user__in=queryset))
            lock_tunnels(
                Tunnel.objects.filter(Q(ordered_by__in=queryset) | Q(disconnected_by__in=queryset))
            )
            if _owned_only_by(queryset).exists():
                raise PermissionDenied
            super().delete_queryset(request, queryset)


def _owned_only_by(users: Iterable[User]) -> QuerySet[Account]:
    owners = Membership.objects.filter(account=OuterRef("pk"), role=Role.OWNER)
    return Account.objects.filter(
        Exists(owners.filter(user__in=users)), ~Exists(owners.exclude(user__in=users))
    )
