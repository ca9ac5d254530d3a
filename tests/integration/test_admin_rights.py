"""The admin: operators gain no rights there, join no account, and read no draft."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.core import mail
from django.test import Client
from django.urls import reverse

from tests.integration.conftest import member
from tests.integration.test_handed_out import membership_form
from vpnportal import portal_tasks
from vpnportal.admin.accounts import OWN_MEMBERSHIP
from vpnportal.admin.base import PortalAdmin
from vpnportal.models import OutgoingMail, Role, Tunnel

pytestmark = pytest.mark.django_db
NEW = "a new password of the tests"


@pytest.fixture
def stan(db) -> User:
    """Return an operator with every permission, who is no superuser."""
    stan = User.objects.create_user("stan", password="x", is_staff=True)
    stan.user_permissions.set(Permission.objects.all())
    return stan


@pytest.fixture
def staff(stan) -> Client:
    """Return the browser of `stan`."""
    client = Client()
    client.force_login(stan)
    return client


def user_form(user: User, **changes: object) -> dict[str, object]:
    form = {"username": user.username, "date_joined_0": "2026-01-01", "date_joined_1": "00:00"}
    flags = {name: "on" for name in ("is_active", "is_staff") if getattr(user, name)}
    return form | flags | changes


def rights_of(user: User) -> tuple[object, ...]:
    user = User.objects.get(pk=user.pk)
    return user.is_staff, user.is_superuser, user.password, set(user.groups.all())


def test_s11_staff_give_no_rights_and_change_no_other_operator(staff, stan):
    """Neither to themselves, nor to customers, nor by a group."""
    otto = User.objects.create_superuser("otto", password="x")
    cleo = User.objects.create_user("cleo", password="x")
    group = Group.objects.create(name="readers")
    stan.groups.add(group)
    before = [rights_of(user) for user in (otto, cleo, stan)]
    gain = {"is_superuser": "on", "is_staff": "on", "groups": [group.pk]}
    gain |= {"user_permissions": [Permission.objects.first().pk]}

    own = staff.post(reverse("admin:auth_user_change", args=[stan.pk]), user_form(stan, **gain))
    answers = [
        staff.post(reverse("admin:auth_user_change", args=[otto.pk]), user_form(otto)),
        staff.post(
            reverse("admin:auth_user_password_change", args=[otto.pk]),
            {"password1": NEW, "password2": NEW},
        ),
        staff.post(reverse("admin:auth_user_delete", args=[otto.pk]), {"post": "yes"}),
        staff.post(reverse("admin:auth_group_change", args=[group.pk]), {"name": "all"}),
        staff.post(reverse("admin:auth_group_add"), {"name": "all"}),
    ]
    customer = staff.post(
        reverse("admin:auth_user_change", args=[cleo.pk]), user_form(cleo, **gain)
    )

    assert {answer.status_code for answer in (own, *answers)} == {403}
    assert customer.status_code == 302, "a customer's other fields may be changed"
    assert [rights_of(user) for user in (otto, cleo, stan)] == before
    assert Group.objects.get().permissions.count() == 0


@pytest.mark.parametrize("is_superuser", [False, True], ids=["staff", "superuser"])
def test_s11_no_operator_makes_themselves_a_member(staff, stan, account, owner, is_superuser):
    User.objects.filter(pk=stan.pk).update(is_superuser=is_superuser)
    form = membership_form(account)
    added = {"memberships-TOTAL_FORMS": 2, "memberships-1-user": stan.pk}
    added |= {"memberships-1-account": account.pk, "memberships-1-role": "owner"}

    url = reverse("admin:vpnportal_account_change", args=[account.pk])
    for entered in (form | added, form | {"memberships-0-user": stan.pk}):
        response = staff.post(url, entered)
        assert OWN_MEMBERSHIP in response.content.decode()
    added = {"name": "New", "memberships-TOTAL_FORMS": 1, "memberships-INITIAL_FORMS": 0}
    added |= {"memberships-0-user": stan.pk, "memberships-0-role": "owner"}
    assert (
        OWN_MEMBERSHIP in staff.post(reverse("admin:vpnportal_account_add"), added).content.decode()
    )

    assert not stan.memberships.exists()


def test_s11_the_owners_see_and_get_by_mail_what_operators_did_to_members(
    staff, account, owner, user, settings
):
    settings.MAIL_URL = "smtp://mail.example.com"
    gina = member(account, "gina", Role.OWNER)
    for person, address in ((owner, "owner@example.com"), (gina, "gina@example.com")):
        person.emailaddress_set.create(email=address, verified=True, primary=True)
    url = reverse("admin:vpnportal_account_change", args=[account.pk])

    form = membership_form(account, ada="owner", gina="")
    assert staff.post(url, form).status_code == 302
    password = reverse("admin:auth_user_password_change", args=[user.pk])
    assert staff.post(password, {"password1": NEW, "password2": NEW}).status_code == 302
    changed = user_form(User.objects.get(pk=user.pk), email="mallory@example.com")
    staff.post(reverse("admin:auth_user_change", args=[user.pk]), changed)

    texts = [
        "stan removed gina, who was Owner.",
        "stan made ada Owner.",
        "stan changed the password of ada.",
        "stan changed the e-mail address of ada.",
    ]
    client = Client()
    client.force_login(owner)
    page = client.get(reverse("accounts")).content.decode()
    assert [text for text in texts if text not in page] == []
    User.objects.filter(username="stan").delete()
    assert texts[0] in client.get(reverse("accounts")).content.decode(), "the rows stay"

    for pk in OutgoingMail.objects.order_by("created_at").values_list("pk", flat=True):
        portal_tasks.send_mail(str(pk))
    assert {(message.to[0], texts[0] in message.body) for message in mail.outbox} >= {
        ("owner@example.com", True),
        ("gina@example.com", True),
    }
    sent = "".join(message.body for message in mail.outbox)
    assert [text for text in texts if text not in sent] == []


def test_s16_every_model_of_the_admin_has_the_base_that_refuses_filters():
    others = {
        model.__name__: type(model_admin).__mro__
        for model, model_admin in admin.site._registry.items()
        if not isinstance(model_admin, PortalAdmin)
        or type(model_admin).lookup_allowed is not PortalAdmin.lookup_allowed
    }

    assert others == {}


def test_s16_no_filter_or_search_tells_a_value_that_no_page_of_the_admin_shows(ready):
    client = Client()
    client.force_login(User.objects.create_superuser("otto", password="x"))
    Tunnel.objects.filter(pk=ready.pk).update(friendly_name="canary", notes="canary")

    for model, model_admin in admin.site._registry.items():
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        fields = [field.name for field in model._meta.concrete_fields]
        offered = {item if isinstance(item, str) else item[0] for item in model_admin.list_filter}
        for name in {*fields, "id"} - offered:
            for lookup in ("", "__startswith", "__isnull", "__gte"):
                response = client.get(url, {f"{name}{lookup}": "1"})
                assert response.status_code == 400, (model.__name__, name, lookup)
    tunnels = reverse("admin:vpnportal_tunnel_changelist")
    assert "ipsec001" not in client.get(tunnels, {"q": "canary"}).content.decode()
    # Those that the page offers work.
    for query in (
        {"sa_status__exact": "up"},
        {"concentrator__id__exact": ready.concentrator_id},
        {"cancelled_at__isempty": "1"},
    ):
        assert client.get(tunnels, query).status_code == 200
