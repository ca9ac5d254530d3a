"""Keys of programs: to one account, shown once, and no better than their user is at the moment."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.html import read
from vpnportal.api import authentication
from vpnportal.api.authentication import Credentials, authenticate
from vpnportal.api.calls import Call
from vpnportal.api.faults import Fault
from vpnportal.api.rate_limit import TokenBuckets
from vpnportal.models import Account, ApiKey, Membership, Role
from vpnportal.services import Refused, api_keys, memberships

pytestmark = pytest.mark.django_db
CALL = Call("SoftLayer_Account", "getObject")
HOME = "192.0.2.1"
URL = "create-api-key"


@pytest.fixture
def key(account, user) -> str:
    return api_keys.create(account, user, "a script").text


def is_let_in(key: str, name: str = "ada", address: str = HOME) -> bool:
    try:
        return bool(authenticate(CALL, Credentials(name, key), address))
    except Fault as fault:
        if fault.status != 401:
            raise
        assert fault.text == "Invalid API token."
        return False


def shown_key(answer) -> str:
    quoted = [one for one in read(answer).iter("p") if one.get("class") == "quoted"]
    return "".join(quoted[0].itertext())


def test_a_key_of_64_characters_is_shown_once_and_kept_nowhere(page, account, user):
    answer = page.post(reverse(URL, args=[account.pk]), {"name": "a script"})

    key = shown_key(answer)
    assert len(key) == 64
    assert is_let_in(key)
    assert key not in repr(ApiKey.objects.values_list())
    listed = page.get(reverse("accounts")).content.decode()
    assert "a script" in listed and key not in listed


def test_a_key_acts_as_its_user_in_its_account_alone(account, user, key):
    other = Account.objects.create(name="Another account")
    Membership.objects.create(account=other, user=user, role=Role.OWNER)

    caller = authenticate(CALL, Credentials("ada", key), HOME)

    assert (caller.user, caller.account) == (user, account)


@pytest.mark.parametrize("how", ["revoked", "expired", "no member", "may not sign in"])
def test_a_key_that_is_not_good_any_more_is_a_wrong_one(account, user, key, how):
    assert is_let_in(key)
    if how == "revoked":
        api_keys.revoke(ApiKey.objects.get())
    if how == "expired":
        ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    if how == "no member":
        Membership.objects.filter(user=user).delete()
    if how == "may not sign in":
        User.objects.update(is_active=False)

    assert not is_let_in(key)


@pytest.mark.parametrize(
    ("address", "expected"), [("198.51.100.7", True), ("2001:db8::1", True), (HOME, False)]
)
def test_a_key_is_good_from_its_networks_only(account, user, address, expected):
    key = api_keys.create(account, user, "a", sources=["198.51.100.0/24", "2001:db8::/32"]).text

    assert is_let_in(key, address=address) is expected


def test_a_day_that_is_chosen_is_the_last_one(page, account, user):
    today = timezone.localdate()

    key = shown_key(page.post(reverse(URL, args=[account.pk]), {"name": "a", "last_day": today}))

    assert is_let_in(key)
    assert timezone.localdate(ApiKey.objects.get().expires_at) == today


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"name": ""}, "Enter a name that says which program has the key."),
        ({"last_day": "2020-01-01"}, "Enter a day from today on, within ten years."),
        ({"last_day": "9999-12-31"}, "Enter a day from today on, within ten years."),
        ({"last_day": "soon"}, "Enter a day such as 2027-12-31, or leave it empty."),
        (
            {"sources": "192.0.2.0/24, here"},
            "Enter networks such as 192.0.2.0/24, one after the other, or leave it empty.",
        ),
    ],
)
def test_what_is_wrong_is_said_and_what_was_typed_stays(page, account, typed, told):
    filled = {"name": "a script", "sources": "192.0.2.0/24", **typed}

    answer = page.post(reverse(URL, args=[account.pk]), filled)

    document = read(answer)
    assert answer.status_code == 422
    assert "".join(document.find(".//p[@role='alert']").itertext()) == told
    for name, text in filled.items():
        values = [one.get("value") for one in document.iter("input") if one.get("name") == name]
        assert text in values
    assert not ApiKey.objects.exists()


def test_strangers_make_and_revoke_none_and_viewers_only_their_own(account, key, stranger):
    one = ApiKey.objects.get()
    assert stranger.post(reverse(URL, args=[account.pk]), {"name": "a"}).status_code == 404
    assert stranger.post(reverse("revoke-api-key", args=[account.pk, one.pk])).status_code == 404

    viewer = User.objects.create_user("vic")
    Membership.objects.create(account=account, user=viewer, role=Role.VIEWER)
    browser = Client()
    browser.force_login(viewer)
    assert browser.post(reverse("revoke-api-key", args=[account.pk, one.pk])).status_code == 404
    assert "a script" not in browser.get(reverse("accounts")).content.decode()
    browser.post(reverse(URL, args=[account.pk]), {"name": "reads"})
    mine = ApiKey.objects.get(name="reads")
    assert mine.user == viewer
    assert browser.post(reverse("revoke-api-key", args=[account.pk, mine.pk])).status_code == 302
    assert is_let_in(key)


def test_an_owner_sees_and_revokes_the_keys_of_all(account, key):
    olga = User.objects.create_user("olga")
    Membership.objects.create(account=account, user=olga, role=Role.OWNER)
    browser = Client()
    browser.force_login(olga)

    assert "a script" in browser.get(reverse("accounts")).content.decode()
    browser.post(reverse("revoke-api-key", args=[account.pk, ApiKey.objects.get().pk]))

    assert not is_let_in(key)


def test_whoever_is_removed_and_invited_again_makes_new_keys(account, user, key):
    Membership.objects.create(account=account, user=User.objects.create_user("olga"), role="owner")
    memberships.remove(Membership.objects.get(account=account, user=user))
    Membership.objects.create(account=account, user=user, role=Role.OPERATOR)

    assert not is_let_in(key)


def test_the_page_costs_the_same_with_many_keys(
    page, account, user, key, django_assert_num_queries, django_assert_max_num_queries
):
    with django_assert_max_num_queries(20) as one:
        page.get(reverse("accounts"))
    for number in range(10):
        api_keys.create(account, user, f"script {number}")

    with django_assert_num_queries(len(one)):
        page.get(reverse("accounts"))


def test_the_last_use_is_told_and_written_once_a_minute(key, page, django_assert_num_queries):
    assert is_let_in(key, address="198.51.100.7")
    first = ApiKey.objects.get()
    with django_assert_num_queries(1):
        assert is_let_in(key)

    assert first.last_used_from == "198.51.100.7"
    assert ApiKey.objects.get().last_used_at == first.last_used_at
    assert "198.51.100.7" in page.get(reverse("accounts")).content.decode()
    ApiKey.objects.update(last_used_at=timezone.now() - timedelta(minutes=1))
    assert is_let_in(key)
    assert ApiKey.objects.get().last_used_from == HOME


def test_wrong_keys_are_slow_for_whoever_tries_them_and_for_nobody_else(account, key, user):
    other = api_keys.create(account, user, "another").text
    assert is_let_in(key)
    for number in range(10):
        assert not is_let_in(f"{number:064}")

    with pytest.raises(Fault) as fault:
        is_let_in("f" * 64)
    assert fault.value.status == 429
    assert int(fault.value.headers["Retry-After"]) in range(1, 61)
    assert is_let_in(key), "a key that is in use goes on"
    assert is_let_in(other, address="192.0.2.2")


def test_a_program_that_calls_too_often_waits(monkeypatch, key):
    now = [0.0]
    monkeypatch.setattr(authentication, "CALLS", TokenBuckets(3, 0.5, clock=lambda: now[0]))
    for _ in range(3):
        assert is_let_in(key)

    with pytest.raises(Fault) as fault:
        is_let_in(key)
    assert fault.value.code == "SoftLayer_Exception_WebService_RateLimitExceeded"
    assert fault.value.headers == {"Retry-After": "2"}
    now[0] += 2
    assert is_let_in(key)


def test_keys_in_memory_are_forgotten_before_they_are_too_many():
    rates = TokenBuckets(1, 1, max_names=3, clock=lambda: 0.0)
    for name in "abcd":
        assert rates.take_token(name) == 0

    assert "a" not in rates and "d" in rates
    assert rates.take_token("d") == 1


def test_the_command_prints_the_key_alone_on_its_last_line(account, user):
    out = StringIO()
    call_command(
        "apikey", "create", "ada", "--name", "cron", "--source", "192.0.2.0/24", stdout=out
    )

    assert is_let_in(out.getvalue().splitlines()[-1])
    listed = StringIO()
    call_command("apikey", "list", stdout=listed)
    words = listed.getvalue().rstrip("\n").split("\t")
    assert words[1:4] == ["ada", "Example account", "cron"]
    call_command("apikey", "revoke", words[0], stdout=StringIO())
    assert not is_let_in(out.getvalue().splitlines()[-1])


def test_the_command_asks_which_account_where_there_are_several(account, user):
    other = Account.objects.create(name="Another account")
    Membership.objects.create(account=other, user=user)
    for wrong in (["nobody", "--name", "a"], ["ada", "--name", "a"]):
        with pytest.raises(CommandError):
            call_command("apikey", "create", *wrong)

    options = ["ada", "--name", "a", "--account", "Another account"]
    call_command("apikey", "create", *options, stdout=StringIO(), stderr=StringIO())
    assert ApiKey.objects.get().account == other


def test_forgotten_keys_are_revoked_before_more_are_made(account, user):
    for number in range(api_keys.KEYS_AT_MOST):
        api_keys.create(account, user, str(number))

    with pytest.raises(Refused):
        api_keys.create(account, user, "one more")
    api_keys.revoke(ApiKey.objects.first())
    assert api_keys.create(account, user, "one more")
