"""Users and groups. Only superusers make operators and give rights to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from allauth.account.models import EmailAddress, EmailConfirmation
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse

from vpnportal import services
from vpnportal.admin.base import PortalAdmin
from vpnportal.models import Account, Membership, Role, Tunnel
from vpnportal.models.row_locks import lock_accounts, lock_tunnels
from vpnportal.services import tell_owners, withdraw_access

# A change of one of these makes an operator, or gives one more rights.
RIGHTS = ("is_staff", "is_superuser", "groups", "user_permissions")
# With a change of one of these an operator could sign in as the user, or lock the user out.
SIGN_IN_FIELDS = {"username": "name", "email": "e-mail address", "is_active": "activation"}

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


admin.site.unregister(Group)


@admin.register(User)
class Users(PortalAdmin, UserAdmin):
    """Django's admin of users, in which only superusers change operators and rights.

    It does not delete an account's last owner. A change of a user's sign-in is mailed to the
    owners of the user's accounts.
    """

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if _is_superuser(request) else (*fields, *RIGHTS)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return _may_change(request, obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return _may_change(request, obj) and super().has_delete_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            return
        changed = [SIGN_IN_FIELDS[name] for name in form.changed_data if name in SIGN_IN_FIELDS]
        if not obj.is_active:
            withdraw_access(obj)
        _tell(request, [obj], *(f"changed the {name} of {obj}" for name in changed))

    def user_change_password(
        self, request: HttpRequest, id: str, form_url: str = ""
    ) -> HttpResponse:
        with transaction.atomic():
            user = self.get_object(request, id)
            response = super().user_change_password(request, id, form_url)
            if user and User.objects.filter(pk=user.pk).exclude(password=user.password).exists():
                _tell(request, [user], f"changed the password of {user}")
        return response

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
            for user in queryset:
                _tell(request, [user], f"deleted the user {user}")
            super().delete_queryset(request, queryset)


@admin.register(Group)
class Groups(PortalAdmin, GroupAdmin):
    """Django's admin of groups, which only superusers change: a group gives its members rights."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return _is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return _is_superuser(request)


def _is_superuser(request: HttpRequest) -> bool:
    return cast(User, request.user).is_superuser


def _may_change(request: HttpRequest, user: User | None) -> bool:
    """Return True for superusers, and for users who are no operators."""
    return user is None or not (user.is_staff or user.is_superuser) or _is_superuser(request)


def _tell(request: HttpRequest, users: Iterable[User], *changes: str) -> None:
    for account in Account.objects.filter(memberships__user__in=users).distinct():
        tell_owners(account, cast(User, request.user), changes)


def _owned_only_by(users: Iterable[User]) -> QuerySet[Account]:
    owners = Membership.objects.filter(account=OuterRef("pk"), role=Role.OWNER)
    return Account.objects.filter(
        Exists(owners.filter(user__in=users)), ~Exists(owners.exclude(user__in=users))
    )
