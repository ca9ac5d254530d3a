"""Roles of members, and querysets that look up and check permission in one query."""

from __future__ import annotations

from typing import Self, TypeVar

from django.contrib.auth.models import AnonymousUser, User
from django.db import models

Row = TypeVar("Row", bound=models.Model)


class Role(models.TextChoices):
    """The role of a member in an account; each role includes the rights of the roles before it."""

    VIEWER = "viewer", "Viewer"
    OPERATOR = "operator", "Operator"
    OWNER = "owner", "Owner"


class Scope(models.TextChoices):
    """The most that an API key may do, with the role of its user; each includes those before it.

    READ is everything but preshared keys.
    """

    READ = "read", "Read"
    EDIT = "edit", "Edit drafts"
    APPLY = "apply", "Apply"
    ORDER = "order", "Order and cancel"

    def includes(self, other: Scope) -> bool:
        """Return True if a key of this scope may do what needs the other one."""
        scopes = list(Scope)
        return scopes.index(other) <= scopes.index(self)


class PermissionQuerySet(models.QuerySet[Row]):
    """Rows that belong to an account, restricted to what a user's role permits.

    `memberships` is the lookup path from a row to the memberships of its account. An anonymous
    user gets no row: in a filter, a missing id would match accounts without any member.
    """

    memberships = "memberships"

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """Return the rows of the accounts that the user is a member of."""
        return self._with_role(user, *Role)

    def editable_by(self, user: User | AnonymousUser) -> Self:
        """Return the rows of the accounts in which the user is operator or owner."""
        return self._with_role(user, Role.OPERATOR, Role.OWNER)

    def owned_by(self, user: User | AnonymousUser) -> Self:
        """Return the rows of the accounts that the user owns."""
        return self._with_role(user, Role.OWNER)

    def _with_role(self, user: User | AnonymousUser, *roles: Role) -> Self:
        if user.pk is None:
            return self.none()
        lookup: dict[str, object] = {f"{self.memberships}__user_id": user.pk}
        if len(roles) < len(Role):
            lookup[f"{self.memberships}__role__in"] = roles
        return self.filter(**lookup)
