"""Those who sign in, as Django's admin has them, but for who may not go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest

from vpnportal.models import Account, Membership, Role

OWNER = Role.OWNER

admin.site.unregister(User)


@admin.register(User)
class People(UserAdmin):
    """Whoever is an account's last owner stays until somebody else is one."""

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        told, counts, needed, protected = super().get_deleted_objects(objs, request)
        orphans = [f"{account}, which would have no owner" for account in _owned_by_none_but(objs)]
        return told, counts, needed, [*protected, *orphans]


def _owned_by_none_but(people: Iterable[User]) -> QuerySet[Account]:
    theirs = Membership.objects.filter(account=OuterRef("pk"), role=OWNER, user__in=people)
    others = Membership.objects.filter(account=OuterRef("pk"), role=OWNER).exclude(user__in=people)
    return Account.objects.filter(Exists(theirs), ~Exists(others))
