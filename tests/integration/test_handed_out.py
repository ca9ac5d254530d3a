"""Invitations and API keys end with the rights of the member who made them."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.integration.conftest import member
from vpnportal import services
from vpnportal.models import Account, ApiKey, Invitation, Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def author(account) -> User:
    """Return an owner beside another owner."""
    member(account, "olga", Role.OWNER)
    return member(account, "gina", Role.OWNER)


@pytest.fixture
def otto(db) -> Client:
    """Return the browser of a superuser."""
    client = Client()
    client.force_login(User.objects.create_superuser("otto", password="x"))
    return client


def membership_form(account: Account, **changes: str) -> dict[str, object]:
    """Return the admin's form of an account, with the changed roles by user name; "" removes."""
    rows = list(account.memberships.select_related("user"))
    form = {"name": account.name}
    form |= {f"memberships-{total}_FORMS": len(rows) for total in ("TOTAL", "INITIAL")}
    for number, row in enumerate(rows):
        role = changes.get(row.user.username, row.role)
        fields = {
            "id": row.pk,
            "account": account.pk,
            "user": row.user_id,
            "role": role or "viewer",
        }
        fields |= {} if role else {"DELETE": "on"}
        form |= {f"memberships-{number}-{name}": value for name, value in fields.items()}
    return form


def end_by(how: str, author: User, account: Account, otto: Client) -> None:
    """Take the right to invite from the author."""
    membership = account.memberships.get(user=author)
    url = reverse("admin:vpnportal_account_change", args=[account.pk])
    user_url = reverse("admin:auth_user_change", args=[author.pk])
    if how == "removal":
        services.remove_member(membership)
    elif how == "demotion":
        services.set_member_role(membership, Role.OPERATOR)
    elif how == "removal in the admin":
        assert otto.post(url, membership_form(account, gina="")).status_code == 302
    elif how == "demotion in the admin":
        assert otto.post(url, membership_form(account, gina="operator")).status_code == 302
    elif how == "deactivation in the admin":
        form = {"username": "gina", "date_joined_0": "2026-01-01", "date_joined_1": "00:00"}
        assert otto.post(user_url, form).status_code == 302
    else:
        author.delete()


def give_back(author: User, account: Account) -> None:
    """Make a former owner one again."""
    User.objects.filter(pk=author.pk).update(is_active=True)
    account.memberships.update_or_create(user=author, defaults={"role": Role.OWNER})


WAYS = (
    "removal",
    "demotion",
    "removal in the admin",
    "demotion in the admin",
    "deactivation in the admin",
    "deletion",
)


@pytest.mark.parametrize("how", WAYS)
def test_s5_an_invitation_ends_with_the_right_of_its_author_to_invite(
    account, author, otto, stranger, how
):
    token = services.invite(account, Role.OWNER, "", author)
    link = reverse("invitation", args=[token])
    assert stranger.get(link).status_code == 200

    end_by(how, author, account, otto)

    assert stranger.get(link).status_code == stranger.post(link).status_code == 404
    if how != "deletion":
        give_back(author, account)
        assert stranger.post(link).status_code == 404, "it stays revoked"
    assert not account.memberships.filter(user__username="eve").exists()


@pytest.mark.parametrize("how", [way for way in WAYS if "demotion" not in way])
def test_s5_an_api_key_ends_with_the_membership_of_its_user(account, author, otto, how):
    services.create_api_key(account, author, "script")
    usable = ApiKey.objects.usable(timezone.now()).filter(account=account)
    assert usable.exists()

    end_by(how, author, account, otto)

    if how != "deletion":
        assert not usable.exists()
        give_back(author, account)
    assert not usable.exists()


def test_s5_the_query_alone_refuses_the_invitation_of_a_former_owner(account, author, stranger):
    """As when a statement in the database changes the role."""
    link = reverse("invitation", args=[services.invite(account, Role.OWNER, "", author)])
    account.memberships.filter(user=author).update(role=Role.OPERATOR)

    assert stranger.post(link).status_code == 404
    assert Invitation.objects.get().withdrawn_at is None
