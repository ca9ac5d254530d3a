"""The page of a user's accounts: members, roles, invitations and API keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from vpnportal import services
from vpnportal.models import Account, ApiKey, Invitation, MemberChange, Membership, Role, Scope
from vpnportal.services import QuotaUse, Refused, quota_uses
from vpnportal.web.accounts.confirmation import confirmed
from vpnportal.web.responses import OK, UNPROCESSABLE, HtmxRequest, render_page, status_of

PERMISSIONS = {
    Role.VIEWER: "can view tunnels",
    Role.OPERATOR: "can view, edit and apply tunnels",
    Role.OWNER: "can view, edit, apply, order and delete tunnels, show preshared keys, and "
    "manage members",
}
SHOWN_CHANGES = 20
UNKNOWN_ROLE = "Choose a role from the list."


@dataclass(frozen=True, slots=True)
class FormResult:
    """The result of a form in the section of one account.

    After a refusal: `error` and the input. After a success: a new link or API key, shown once.
    """

    account_id: int = 0
    error: str = ""
    invitation_note: str = ""
    invitation_email: str = ""
    invitation_link: str = ""
    api_key: str = ""
    api_key_input: Mapping[str, str] = field(default_factory=dict)


NO_RESULT = FormResult()


@dataclass(frozen=True, slots=True)
class AccountSection:
    """The section of one account. `is_owned` is True if the user may manage its members.

    `changes` are those that operators of the service made to the members; only owners see them.
    """

    account: Account
    is_owned: bool
    members: Sequence[Membership]
    changes: Sequence[MemberChange]
    result: FormResult
    quotas: Sequence[QuotaUse]


@require_safe
def accounts(request: HtmxRequest) -> HttpResponse:
    """Render the accounts of the user."""
    return accounts_page(request)


@require_POST
@never_cache
@confirmed
def invite(request: HtmxRequest, pk: int) -> HttpResponse:
    """Create an invitation, and mail it if there is an address.

    Only this response shows the link.
    """
    account = get_object_or_404(Account.objects.owned_by(request.user), pk=pk)
    role, note, email = (request.POST.get(name, "") for name in ("role", "note", "email"))
    if role not in Role:
        return accounts_page(request, UNPROCESSABLE, FormResult(pk, UNKNOWN_ROLE))
    typed = FormResult(pk, invitation_note=note, invitation_email=email)
    try:
        with transaction.atomic():
            token = services.invite(account, role, services.parse_name(note), request.user)
            link = request.build_absolute_uri(reverse("invitation", args=[token]))
            if email and settings.MAIL_URL:
                services.mail_invitation(email, account, link, request.user)
    except ValueError as error:
        return accounts_page(request, UNPROCESSABLE, replace(typed, error=str(error)))
    except Refused as refused:
        return accounts_page(request, status_of(refused), replace(typed, error=str(refused)))
    result = FormResult(pk, invitation_email=email, invitation_link=link)
    return accounts_page(request, result=result)


@require_POST
@confirmed
def revoke_invitation(request: HtmxRequest, pk: int, invitation: int) -> HttpResponse:
    """Revoke an invitation to an account, so that its link no longer works."""
    account = get_object_or_404(Account.objects.owned_by(request.user), pk=pk)
    services.revoke_invitation(get_object_or_404(account.invitations.all(), pk=invitation))
    messages.success(request, "Invitation revoked. Its link no longer works.")
    return redirect("accounts")


@require_POST
@confirmed
def role(request: HtmxRequest, pk: int, member: int) -> HttpResponse:
    """Change the role of a member."""
    new_role = request.POST.get("role", "")
    if new_role not in Role:
        return accounts_page(request, UNPROCESSABLE, FormResult(pk, UNKNOWN_ROLE))
    label = Role(new_role).label.lower()
    membership = get_object_or_404(_managed_by(request.user), pk=member, account=pk)
    return _change(
        request,
        membership,
        lambda membership: services.set_member_role(membership, new_role),
        f"{membership.user} is now {label} in {membership.account}.",
    )


@require_POST
@confirmed
def remove(request: HtmxRequest, pk: int, member: int) -> HttpResponse:
    """Remove a member; members other than owners may only remove themselves."""
    removable = _managed_by(request.user) | Membership.objects.filter(user=request.user)
    removable = removable.select_related("account", "user")
    membership = get_object_or_404(removable, pk=member, account=pk)
    return _change(
        request,
        membership,
        services.remove_member,
        f"{membership.user} is no longer a member of {membership.account}.",
    )


def _managed_by(user: User) -> QuerySet[Membership]:
    managed = Membership.objects.filter(account__in=Account.objects.owned_by(user))
    return managed.select_related("account", "user")


def _change(
    request: HtmxRequest,
    membership: Membership,
    change: Callable[[Membership], None],
    message: str,
) -> HttpResponse:
    try:
        change(membership)
    except Refused as refused:
        result = FormResult(membership.account_id, str(refused))
        return accounts_page(request, status_of(refused), result)
    messages.success(request, message)
    return redirect("accounts")


def accounts_page(
    request: HtmxRequest, status: int = OK, result: FormResult = NO_RESULT
) -> HttpResponse:
    """Render the page of all accounts, with the result of a form in the section of its account."""
    by_name = Membership.objects.select_related("user").order_by("user__username")
    invitations = Invitation.objects.open().select_related("author")
    keys = ApiKey.objects.managed_by(request.user).filter(revoked_at=None)
    newest_changes = MemberChange.objects.all()[:SHOWN_CHANGES]
    rows = Account.objects.visible_to(request.user).order_by("name")
    rows = rows.prefetch_related(
        Prefetch("memberships", by_name),
        Prefetch("invitations", invitations, to_attr="open_invitations"),
        Prefetch("api_keys", keys.select_related("user"), to_attr="current_keys"),
        Prefetch("member_changes", newest_changes, to_attr="newest_changes"),
    )
    owned = set(Account.objects.owned_by(request.user).values_list("pk", flat=True))
    quotas = quota_uses([account.pk for account in rows])
    sections = [
        AccountSection(
            account=account,
            is_owned=account.pk in owned,
            members=list(account.memberships.all()),
            changes=getattr(account, "newest_changes", []) if account.pk in owned else [],
            result=result if account.pk == result.account_id else NO_RESULT,
            quotas=quotas[account.pk],
        )
        for account in rows
    ]
    roles = [(role, role.label, permissions) for role, permissions in PERMISSIONS.items()]
    return render_page(
        request,
        "accounts/page.html",
        {
            "sections": sections,
            "roles": roles,
            "scopes": Scope.choices,
            "sends_mail": bool(settings.MAIL_URL),
        },
        status,
    )
