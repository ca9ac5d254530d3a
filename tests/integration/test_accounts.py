"""Accounts: members, roles, invitations, and the settings of a user."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.html import read, typed, words
from vpnportal import services
from vpnportal.models import Account, Invitation, Membership, Profile, Role
from vpnportal.services import Refused, memberships

pytestmark = pytest.mark.django_db
PASSWORD = "a long password for a new user"


@pytest.fixture
def owner(account) -> Client:
    """Return a browser of an owner of the account."""
    olga = User.objects.create_user("olga", password=PASSWORD)
    Membership.objects.create(account=account, user=olga, role=Role.OWNER)
    client = Client()
    client.force_login(olga)
    return client


def membership(name: str) -> Membership:
    return Membership.objects.get(user__username=name)


def link_of(response) -> str:
    quoted = [element for element in read(response).iter("p") if element.get("class") == "quoted"]
    return urlsplit("".join(quoted[0].itertext())).path


def invite(owner: Client, account: Account, role: str = Role.OPERATOR) -> str:
    return link_of(owner.post(reverse("invite", args=[account.pk]), {"role": role, "note": "bob"}))


def test_an_invitation_link_makes_a_new_user_a_member_once(owner, account, tunnel):
    link = invite(owner, account)
    newcomer = Client()

    response = newcomer.post(
        link, {"username": "bob", "password1": PASSWORD, "password2": PASSWORD}
    )

    assert response.status_code == 302
    assert membership("bob").role == Role.OPERATOR
    assert newcomer.get(reverse("tunnel", args=[tunnel.pk])).status_code == 200
    assert Client().get(link).status_code == 404, "an invitation is for single use"


def test_an_invitation_link_adds_an_existing_user(owner, account, stranger):
    link = invite(owner, account, Role.VIEWER)

    response = stranger.post(link, follow=True)

    assert words(response, "live") == "You are now a member of Example account."
    assert Membership.objects.get(account=account, user__username="eve").role == Role.VIEWER


def test_a_weak_password_creates_no_user_and_the_user_name_stays_in_the_form(owner, account):
    link = invite(owner, account)

    response = Client().post(link, {"username": "bob", "password1": "short", "password2": "short"})

    assert response.status_code == 422
    assert read(response).find(".//input[@name='username']").get("value") == "bob"
    assert not User.objects.filter(username="bob").exists()


@pytest.mark.parametrize("reason", ["revoked", "expired", "guessed"])
def test_an_invalid_invitation_link_is_not_found(owner, account, reason):
    link = invite(owner, account)
    if reason == "revoked":
        url = reverse("withdraw", args=[account.pk, Invitation.objects.get().pk])
        assert owner.post(url).status_code == 302
    if reason == "expired":
        Invitation.objects.update(created_at=timezone.now() - timedelta(days=8))
    if reason == "guessed":
        link = reverse("invitation", args=["x" * 43])

    assert Client().get(link).status_code == 404
    filled = {"username": "bob", "password1": PASSWORD, "password2": PASSWORD}
    assert Client().post(link, filled).status_code == 404
    assert not User.objects.filter(username="bob").exists()


def test_the_token_of_an_invitation_is_neither_stored_nor_shown_again(owner, account):
    token = invite(owner, account).rstrip("/").rpartition("/")[2]

    assert token not in repr(Invitation.objects.values_list())
    assert token not in owner.get(reverse("accounts")).content.decode()


def test_an_account_never_loses_its_last_owner(owner, account):
    olga = membership("olga")

    for change in (
        services.remove_member,
        lambda member: services.set_member_role(member, Role.VIEWER),
    ):
        with pytest.raises(Refused) as refused:
            change(olga)
        assert str(refused.value) == memberships.LAST_OWNER
    response = owner.post(reverse("member-remove", args=[account.pk, olga.pk]))

    assert response.status_code == 422
    assert membership("olga").role == Role.OWNER


def test_a_new_role_takes_effect_at_the_next_request(owner, account, user, page, tunnel):
    edit = reverse("edit", args=[tunnel.pk])
    filled = {"fieldset": "general", "friendly_name": "one"}
    assert page.post(edit, filled).status_code == 302

    role_url = reverse("member-role", args=[account.pk, membership("ada").pk])
    changed = owner.post(role_url, {"role": "viewer"}, follow=True)
    assert words(changed, "live") == "ada is now viewer in Example account."
    assert page.post(edit, filled).status_code == 404
    remove_url = reverse("member-remove", args=[account.pk, membership("ada").pk])
    removed = owner.post(remove_url, follow=True)

    assert words(removed, "live") == "ada is no longer a member of Example account."
    assert page.get(reverse("tunnel", args=[tunnel.pk])).status_code == 404


def test_a_member_can_leave_an_account(owner, account, viewer):
    vic = membership("vic")

    assert viewer.post(reverse("member-remove", args=[account.pk, vic.pk])).status_code == 302

    assert not Membership.objects.filter(pk=vic.pk).exists()


@pytest.mark.parametrize("browser", ["page", "viewer", "stranger"])
def test_only_an_owner_changes_members_and_invites(request, owner, account, browser):
    client, olga = request.getfixturevalue(browser), membership("olga")
    token = services.invite(account, Role.VIEWER, "", olga.user)
    invitation = services.invitation_of(token)
    before = list(Membership.objects.values_list())

    responses = [
        client.post(reverse("invite", args=[account.pk]), {"role": Role.OWNER}),
        client.post(reverse("withdraw", args=[account.pk, invitation.pk])),
        client.post(reverse("member-role", args=[account.pk, olga.pk]), {"role": Role.VIEWER}),
        client.post(reverse("member-remove", args=[account.pk, olga.pk])),
    ]

    assert {response.status_code for response in responses} == {404}
    assert list(Membership.objects.values_list()) == before
    assert services.invitation_of(token)


def test_an_owner_of_one_account_changes_no_member_of_another(account, user, stranger):
    other = Account.objects.get(name="Another account")

    response = stranger.post(
        reverse("member-role", args=[other.pk, membership("ada").pk]), {"role": Role.OWNER}
    )

    assert response.status_code == 404
    assert membership("ada").role == Role.OPERATOR


def test_members_of_other_accounts_are_not_listed(user, stranger):
    assert "ada" not in stranger.get(reverse("accounts")).content.decode()


def test_a_user_chooses_the_time_zone_of_all_times(page, user):
    # The preselected zone is the zone in use.
    assert typed(page.get(reverse("profile")), "time_zone") == "UTC"
    saved = page.post(reverse("profile"), {"time_zone": "America/Chicago"}, follow=True)
    assert words(saved, "live") == "Saved. Times are shown in America/Chicago."
    assert Profile.objects.get(user=user).time_zone == "America/Chicago"

    refused = page.post(reverse("profile"), {"time_zone": "Nowhere/Else"})

    assert refused.status_code == 422
    assert Profile.objects.get(user=user).time_zone == "America/Chicago"


def test_a_new_password_ends_all_other_sessions(page, user):
    other = Client()
    other.force_login(user)
    old = "a password for the tests"

    page.post(
        reverse("account_change_password"),
        {"oldpassword": old, "password1": PASSWORD, "password2": PASSWORD},
    )

    assert page.get(reverse("tunnels")).status_code == 200
    assert other.get(reverse("tunnels")).status_code == 302
