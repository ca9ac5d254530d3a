"""Accounts: who belongs to them, in which role, and how somebody gets in."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.html import read, typed
from vpnportal.models import Account, Invitation, Membership, Profile, Role
from vpnportal.services import Refused, memberships

pytestmark = pytest.mark.django_db
Role = Role
LONG = "a long password for a new user"


@pytest.fixture
def owner(account) -> Client:
    """A browser of somebody who manages the account."""
    person = User.objects.create_user("olga", password=LONG)
    Membership.objects.create(account=account, user=person, role=Role.OWNER)
    client = Client()
    client.force_login(person)
    return client


def membership(name: str) -> Membership:
    return Membership.objects.get(user__username=name)


def link_of(answer) -> str:
    quoted = [one for one in read(answer).iter("p") if one.get("class") == "quoted"]
    return urlsplit("".join(quoted[0].itertext())).path


def invite(owner: Client, account: Account, role: str = Role.OPERATOR) -> str:
    return link_of(owner.post(reverse("invite", args=[account.pk]), {"role": role, "note": "bob"}))


def test_a_link_makes_a_new_user_a_member_once(owner, account, tunnel):
    link = invite(owner, account)
    newcomer = Client()

    answer = newcomer.post(link, {"username": "bob", "password1": LONG, "password2": LONG})

    assert answer.status_code == 302
    assert membership("bob").role == Role.OPERATOR
    assert newcomer.get(reverse("tunnel", args=[tunnel.pk])).status_code == 200
    assert Client().get(link).status_code == 404, "it lets in once"


def test_a_link_takes_somebody_who_has_a_user_already(owner, account, stranger):
    link = invite(owner, account, Role.VIEWER)

    assert stranger.post(link).status_code == 302

    assert Membership.objects.get(account=account, user__username="eve").role == Role.VIEWER


def test_a_weak_password_keeps_the_door_shut_and_the_user_name_typed(owner, account):
    link = invite(owner, account)

    answer = Client().post(link, {"username": "bob", "password1": "short", "password2": "short"})

    assert answer.status_code == 422
    assert read(answer).find(".//input[@name='username']").get("value") == "bob"
    assert not User.objects.filter(username="bob").exists()


@pytest.mark.parametrize("how", ["withdrawn", "old", "guessed"])
def test_a_link_that_is_not_good_any_more_is_a_page_that_is_not_there(owner, account, how):
    link = invite(owner, account)
    if how == "withdrawn":
        url = reverse("withdraw", args=[account.pk, Invitation.objects.get().pk])
        assert owner.post(url).status_code == 302
    if how == "old":
        Invitation.objects.update(created_at=timezone.now() - timedelta(days=8))
    if how == "guessed":
        link = reverse("invitation", args=["x" * 43])

    assert Client().get(link).status_code == 404
    filled = {"username": "bob", "password1": LONG, "password2": LONG}
    assert Client().post(link, filled).status_code == 404
    assert not User.objects.filter(username="bob").exists()


def test_the_link_itself_is_kept_nowhere(owner, account):
    token = invite(owner, account).rstrip("/").rpartition("/")[2]

    assert token not in repr(Invitation.objects.values_list())
    assert token not in owner.get(reverse("accounts")).content.decode()


def test_an_account_never_loses_its_last_owner(owner, account):
    olga = membership("olga")

    for act in (memberships.remove, lambda one: memberships.set_role(one, Role.VIEWER)):
        with pytest.raises(Refused) as refused:
            act(olga)
        assert str(refused.value) == memberships.LAST_OWNER
    page = owner.post(reverse("member-remove", args=[account.pk, olga.pk]))

    assert page.status_code == 422
    assert membership("olga").role == Role.OWNER


def test_a_role_counts_from_the_next_request_on(owner, account, user, page, tunnel):
    edit = reverse("edit", args=[tunnel.pk])
    filled = {"fieldset": "general", "friendly_name": "one"}
    assert page.post(edit, filled).status_code == 302

    owner.post(reverse("member-role", args=[account.pk, membership("ada").pk]), {"role": "viewer"})
    assert page.post(edit, filled).status_code == 404
    owner.post(reverse("member-remove", args=[account.pk, membership("ada").pk]))

    assert page.get(reverse("tunnel", args=[tunnel.pk])).status_code == 404


def test_a_member_may_leave_by_themselves(owner, account, viewer):
    vic = membership("vic")

    assert viewer.post(reverse("member-remove", args=[account.pk, vic.pk])).status_code == 302

    assert not Membership.objects.filter(pk=vic.pk).exists()


@pytest.mark.parametrize("who", ["page", "viewer", "stranger"])
def test_only_an_owner_changes_members_and_invites(request, owner, account, who):
    client, olga = request.getfixturevalue(who), membership("olga")
    pending = memberships.invite(account, Role.VIEWER, "", olga.user)
    invitation = memberships.invitation_of(pending)
    before = list(Membership.objects.values_list())

    answers = [
        client.post(reverse("invite", args=[account.pk]), {"role": Role.OWNER}),
        client.post(reverse("withdraw", args=[account.pk, invitation.pk])),
        client.post(reverse("member-role", args=[account.pk, olga.pk]), {"role": Role.VIEWER}),
        client.post(reverse("member-remove", args=[account.pk, olga.pk])),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert list(Membership.objects.values_list()) == before
    assert memberships.invitation_of(pending)


def test_an_owner_of_one_account_reaches_no_member_of_another(account, user, stranger):
    own = Account.objects.get(name="Another account")

    answer = stranger.post(
        reverse("member-role", args=[own.pk, membership("ada").pk]), {"role": Role.OWNER}
    )

    assert answer.status_code == 404
    assert membership("ada").role == Role.OPERATOR


def test_strangers_are_not_named_to_each_other(user, stranger):
    assert "ada" not in stranger.get(reverse("accounts")).content.decode()


def test_a_person_chooses_the_zone_of_all_times(page, user):
    # What is shown as chosen is what is used, before anything was.
    assert typed(page.get(reverse("profile")), "time_zone") == "UTC"
    page.post(reverse("profile"), {"time_zone": "America/Chicago"})
    assert Profile.objects.get(user=user).time_zone == "America/Chicago"

    refused = page.post(reverse("profile"), {"time_zone": "Nowhere/Else"})

    assert refused.status_code == 422
    assert Profile.objects.get(user=user).time_zone == "America/Chicago"


def test_a_new_password_ends_the_sessions_of_the_old_one(page, user):
    other = Client()
    other.force_login(user)
    old = "a password for the tests"

    page.post(
        reverse("password"),
        {"old_password": old, "new_password1": LONG, "new_password2": LONG},
    )

    assert page.get(reverse("tunnels")).status_code == 200
    assert other.get(reverse("tunnels")).status_code == 302
