"""The accounts of a person: who belongs to them, and the roles, for their owners to change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db.models import Prefetch
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from vpnportal.models import Account, ApiKey, Invitation, Membership, Role
from vpnportal.services import Refused, input_parsing, memberships
from vpnportal.web.responses import OK, UNPROCESSABLE, HtmxRequest, render_page, status_of

ROLES = {
    Role.VIEWER: "sees the tunnels",
    Role.OPERATOR: "also edits and applies them",
    Role.OWNER: "also orders and cancels them, sees preshared keys, and manages members",
}


@require_safe
def accounts(request: HtmxRequest) -> HttpResponse:
    """All accounts of the person, with their members and the keys of programs."""
    return show(request)


@require_POST
@never_cache
def invite(request: HtmxRequest, pk: int) -> HttpResponse:
    """Make a link that lets somebody in; it is shown in this answer and never again."""
    account = get_object_or_404(Account.objects.owned_by(request.user), pk=pk)
    role, note = request.POST.get("role", ""), request.POST.get("note", "")
    try:
        if role not in Role:
            return show(request, UNPROCESSABLE, wrong={pk: "Choose one of the roles."})
        token = memberships.invite(account, role, input_parsing.name(note), request.user)
    except ValueError as error:
        return show(request, UNPROCESSABLE, wrong={pk: str(error)}, notes={pk: note})
    except Refused as refused:
        return show(request, status_of(refused), wrong={pk: str(refused)}, notes={pk: note})
    link = request.build_absolute_uri(reverse("invitation", args=[token]))
    return show(request, links={pk: link})


@require_POST
def revoke_invitation(request: HtmxRequest, pk: int, invitation: int) -> HttpResponse:
    """Close an invitation that nobody took yet."""
    account = get_object_or_404(Account.objects.owned_by(request.user), pk=pk)
    memberships.revoke_invitation(get_object_or_404(account.invitations.all(), pk=invitation))
    messages.success(request, "The invitation was withdrawn: its link lets nobody in any more.")
    return redirect("accounts")


@require_POST
def role(request: HtmxRequest, pk: int, member: int) -> HttpResponse:
    """Give a member another role."""
    wanted = request.POST.get("role", "")
    if wanted not in Role:
        wrong = {pk: "Choose one of the roles."}
        return show(request, UNPROCESSABLE, wrong=wrong)
    label = Role(wanted).label.lower()
    return _change(
        request, pk, member, lambda one: memberships.set_role(one, wanted), f"is {label} now"
    )


@require_POST
def remove(request: HtmxRequest, pk: int, member: int) -> HttpResponse:
    """Remove a member; anybody may leave by themselves."""
    return _change(request, pk, member, memberships.remove, "belongs to it no more", leaving=True)


def _change(
    request: HtmxRequest,
    pk: int,
    member: int,
    act: Callable[[Membership], None],
    told: str,
    leaving: bool = False,
) -> HttpResponse:
    mine = Membership.objects.filter(account__in=Account.objects.owned_by(request.user))
    if leaving:
        mine |= Membership.objects.filter(user=request.user)
    membership = get_object_or_404(mine.select_related("account", "user"), pk=member, account=pk)
    try:
        act(membership)
    except Refused as refused:
        return show(request, status_of(refused), wrong={pk: str(refused)})
    messages.success(request, f"{membership.account}: {membership.user} {told}.")
    return redirect("accounts")


def show(request: HtmxRequest, status: int = OK, **typed_or_made: dict[int, Any]) -> HttpResponse:
    """`wrong`, `notes`, `links` and `made` are texts by account, `key` what was typed for one."""
    by_name = Membership.objects.select_related("user").order_by("user__username")
    pending = Invitation.objects.open().select_related("author")
    rows = Account.objects.visible_to(request.user).order_by("name")
    keys = ApiKey.objects.managed_by(request.user).filter(revoked_at=None)
    rows = rows.prefetch_related(
        Prefetch("memberships", by_name),
        Prefetch("invitations", pending, to_attr="pending"),
        Prefetch("api_keys", keys.select_related("user"), to_attr="keys"),
    )
    owned = set(Account.objects.owned_by(request.user).values_list("pk", flat=True))
    shown = [
        {
            "account": row,
            "owned": row.pk in owned,
            "members": row.memberships.all(),
            **{name: texts.get(row.pk, "") for name, texts in typed_or_made.items()},
        }
        for row in rows
    ]
    context = {"rows": shown, "roles": [(role, role.label, ROLES[role]) for role in ROLES]}
    return render_page(request, "accounts/page.html", context, status)
