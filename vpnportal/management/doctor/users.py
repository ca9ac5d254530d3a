"""Checks of users: names that a reader can take for each other, and operators' second factors."""

from __future__ import annotations

from collections.abc import Iterator

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.models import User

from vpnportal.gateway.requirements.findings import Finding, at_risk, met
from vpnportal.models import UserIdentity


def names() -> Iterator[Finding]:
    """Check that no user's name is similar to another one, as names before this version may be."""
    similar = UserIdentity.objects.filter(name_skeleton=None, user__is_active=True)
    names = similar.order_by("pk").values_list("user__username", flat=True)
    found = [repr(name) for name in names]
    if not found:
        yield met("users/names", "No two users have similar names.")
        return
    be = "is" if len(found) == 1 else "are"
    yield at_risk(
        "users/names",
        f"{', '.join(found[:3])} {be} too similar to the names of other users ({len(found):,}).",
        "Rename the users under Administration. They sign in with the new names.",
    )


def second_factors() -> Iterator[Finding]:
    """Check that operators need a second factor, and have one."""
    if not settings.OPERATORS_NEED_SECOND_FACTOR:
        text = "Operators open Administration with a password alone, as the settings say."
        yield met("users/factors", text)
        return
    having = Authenticator.objects.exclude(type=Authenticator.Type.RECOVERY_CODES)
    without = User.objects.filter(is_staff=True, is_active=True)
    missing = without.exclude(pk__in=having.values("user")).count()
    text = (
        "Each operator has a second factor."
        if not missing
        else (f"{missing:,} operators have no second factor yet: Administration asks them for one.")
    )
    yield met("users/factors", text)
