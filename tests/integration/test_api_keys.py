"""API keys: one account each, shown once, with the current role of their user."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.api_client import CONTEXT, CUSTOMER_SUBNET, Program
from tests.html import read
from vpnportal import services
from vpnportal.api import authentication
from vpnportal.api.authentication import Credentials, authenticate
from vpnportal.api.faults import Fault
from vpnportal.api.methods import SERVICES
from vpnportal.models import Account, ApiKey, Membership, OutgoingMail, Role, Scope
from vpnportal.rate_limit import TokenBuckets
from vpnportal.services import Refused, api_keys

pytestmark = pytest.mark.django_db
ADDRESS = "192.0.2.1"
URL = "create-api-key"
KINDS = ("Private", "Service", "Customer")


@pytest.fixture
def key(account, user) -> str:
    return services.create_api_key(account, user, "a script").text


def authenticates(key: str, name: str = "ada", address: str = ADDRESS) -> bool:
    try:
        return bool(authenticate(Credentials(name, key), address))
    except Fault as fault:
        if fault.status != 401:
            raise
        assert fault.text == "Invalid API token."
        return False


def shown_key(response) -> str:
    paragraphs = [p for p in read(response).iter("p") if p.get("class") == "quoted"]
    return "".join(paragraphs[0].itertext())


def test_a_key_of_64_characters_is_shown_once_and_not_stored(page, account, user):
    response = page.post(reverse(URL, args=[account.pk]), {"name": "a script"})

    key = shown_key(response)
    assert len(key) == 64
    assert authenticates(key)
    assert key not in repr(ApiKey.objects.values_list())
    accounts_page = page.get(reverse("accounts")).content.decode()
    assert "a script" in accounts_page and key not in accounts_page


def test_a_key_acts_as_its_user_in_its_account_alone(account, user, key):
    other = Account.objects.create(name="Another account")
    Membership.objects.create(account=other, user=user, role=Role.OWNER)

    caller = authenticate(Credentials("ada", key), ADDRESS)

    assert (caller.user, caller.account) == (user, account)


@pytest.mark.parametrize("reason", ["revoked", "expired", "no member", "inactive user"])
def test_a_key_that_is_no_longer_valid_gets_the_fault_of_a_wrong_key(account, user, key, reason):
    assert authenticates(key)
    if reason == "revoked":
        services.revoke_api_key(ApiKey.objects.get())
    if reason == "expired":
        ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    if reason == "no member":
        Membership.objects.filter(user=user).delete()
    if reason == "inactive user":
        User.objects.update(is_active=False)

    assert not authenticates(key)


@pytest.mark.parametrize(
    ("address", "expected"), [("198.51.100.7", True), ("2001:db8::1", True), (ADDRESS, False)]
)
def test_a_key_authenticates_only_from_its_networks(account, user, address, expected):
    key = services.create_api_key(
        account, user, "a", sources=["198.51.100.0/24", "2001:db8::/32"]
    ).text

    assert authenticates(key, address=address) is expected


# The methods that a key of less than each scope may not call.
CHANGING = {
    Scope.EDIT: {
        f"{CONTEXT}.editObject",
        f"{CONTEXT}.createAddressTranslation",
        f"{CONTEXT}.createAddressTranslations",
        f"{CONTEXT}.editAddressTranslation",
        f"{CONTEXT}.editAddressTranslations",
        f"{CONTEXT}.deleteAddressTranslation",
        *(f"{CONTEXT}.add{kind}SubnetToNetworkTunnel" for kind in KINDS),
        *(f"{CONTEXT}.remove{kind}SubnetFromNetworkTunnel" for kind in KINDS),
        f"{CUSTOMER_SUBNET}.createObject",
        f"{CUSTOMER_SUBNET}.deleteObject",
    },
    Scope.APPLY: {f"{CONTEXT}.applyConfigurationsToDevice"},
    Scope.ORDER: {
        "SoftLayer_Product_Order.placeOrder",
        "SoftLayer_Billing_Item.cancelItem",
        "SoftLayer_Billing_Item.cancelService",
    },
}


@pytest.mark.parametrize("scope", Scope)
def test_a_key_may_call_the_methods_of_its_scope_and_no_other(scope, owner, account):
    program = Program(owner, account, scope)
    refused = set()
    for service in SERVICES.values():
        for method in service.methods:
            name = f"{service.name}.{method}"
            try:
                program.call(name)
            except Fault as fault:
                if "This API key may not do that" in fault.text:
                    assert fault.status == 403
                    refused.add(name)

    larger = list(Scope)[list(Scope).index(scope) + 1 :]
    assert refused == {name for needed in larger for name in CHANGING[needed]}


def test_a_key_that_may_only_read_gets_no_preshared_key(ready, owner, account):
    shown = {
        scope: Program(owner, account, scope).call(
            "getObject", on=ready.pk, mask="mask[presharedKey]"
        )
        for scope in (Scope.READ, Scope.EDIT)
    }

    assert shown == {Scope.READ: {}, Scope.EDIT: {"presharedKey": "a key"}}
    filtered = Program(owner, account, Scope.READ).call(
        "SoftLayer_Account.getNetworkTunnelContexts",
        filter={"networkTunnelContexts": {"presharedKey": {"operation": "a key"}}},
    )
    assert filtered == []


def test_a_key_of_the_page_may_read_unless_more_is_chosen(page, account):
    for chosen in ({}, {"scope": "apply"}):
        page.post(reverse(URL, args=[account.pk]), {"name": "a", **chosen})
    refused = page.post(reverse(URL, args=[account.pk]), {"name": "a", "scope": "root"})

    assert [key.scope for key in ApiKey.objects.order_by("pk")] == [Scope.READ, Scope.APPLY]
    assert "Choose the permission of the key from the list." in refused.content.decode()


def test_a_key_is_valid_from_its_first_day(page, account):
    tomorrow = timezone.localdate() + timedelta(days=1)
    form = {"name": "a", "first_day": tomorrow, "last_day": tomorrow - timedelta(days=1)}
    refused = page.post(reverse(URL, args=[account.pk]), form)
    assert "a last day that is not before the first day" in refused.content.decode()

    key = shown_key(page.post(reverse(URL, args=[account.pk]), {**form, "last_day": tomorrow}))

    assert not authenticates(key)
    assert "not yet" in page.get(reverse("accounts")).content.decode()
    ApiKey.objects.update(starts_at=timezone.now())
    assert authenticates(key)


def test_the_user_of_a_key_gets_one_mail_before_it_ends(account, user, settings):
    day = timezone.localdate()
    for name, days in (("soon", 5), ("late", 60)):
        services.create_api_key(account, user, name, day + timedelta(days=days))
    services.create_api_key(account, user, "for ever")
    settings.MAIL_URL = "smtp://localhost"
    user.emailaddress_set.create(email="ada@example.com", verified=True, primary=True)

    assert [services.warn_of_ending_keys() for _ in range(2)] == [1, 0]

    (mail,) = OutgoingMail.objects.all()
    assert mail.recipient == "ada@example.com"
    assert mail.subject.startswith("The API key soon ends on ")


def test_a_key_is_valid_until_the_end_of_its_last_day(page, account, user):
    today = timezone.localdate()

    key = shown_key(page.post(reverse(URL, args=[account.pk]), {"name": "a", "last_day": today}))

    assert authenticates(key)
    assert timezone.localdate(ApiKey.objects.get().expires_at) == today


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"name": ""}, "Enter a name for the program that uses the key."),
        ({"last_day": "2020-01-01"}, "Enter a date from today on, within ten years."),
        ({"last_day": "9999-12-31"}, "Enter a date from today on, within ten years."),
        ({"last_day": "soon"}, "Enter a date such as 2027-12-31, or leave it empty."),
        (
            {"sources": "192.0.2.0/24, here"},
            "Enter networks such as 192.0.2.0/24, separated by commas, or leave it empty.",
        ),
    ],
)
def test_an_invalid_form_shows_its_error_and_the_submitted_values(page, account, changes, error):
    submitted = {"name": "a script", "sources": "192.0.2.0/24", **changes}

    response = page.post(reverse(URL, args=[account.pk]), submitted)

    document = read(response)
    assert response.status_code == 422
    assert "".join(document.find(".//p[@role='alert']").itertext()) == error
    for name, text in submitted.items():
        inputs = [field for field in document.iter("input") if field.get("name") == name]
        values = [field.get("value") for field in inputs]
        assert text in values
    assert not ApiKey.objects.exists()


def test_strangers_manage_no_keys_and_viewers_only_their_own(account, key, stranger):
    existing = ApiKey.objects.get()
    assert stranger.post(reverse(URL, args=[account.pk]), {"name": "a"}).status_code == 404
    revoke_url = reverse("revoke-api-key", args=[account.pk, existing.pk])
    assert stranger.post(revoke_url).status_code == 404

    viewer = User.objects.create_user("vic")
    Membership.objects.create(account=account, user=viewer, role=Role.VIEWER)
    browser = Client()
    browser.force_login(viewer)
    assert browser.post(revoke_url).status_code == 404
    assert "a script" not in browser.get(reverse("accounts")).content.decode()
    browser.post(reverse(URL, args=[account.pk]), {"name": "reads"})
    own = ApiKey.objects.get(name="reads")
    assert own.user == viewer
    assert browser.post(reverse("revoke-api-key", args=[account.pk, own.pk])).status_code == 302
    assert authenticates(key)


def test_an_owner_sees_and_revokes_the_keys_of_all_members(account, key):
    olga = User.objects.create_user("olga")
    Membership.objects.create(account=account, user=olga, role=Role.OWNER)
    browser = Client()
    browser.force_login(olga)

    assert "a script" in browser.get(reverse("accounts")).content.decode()
    browser.post(reverse("revoke-api-key", args=[account.pk, ApiKey.objects.get().pk]))

    assert not authenticates(key)


def test_removing_a_member_invalidates_the_keys_even_after_a_new_invitation(account, user, key):
    Membership.objects.create(account=account, user=User.objects.create_user("olga"), role="owner")
    services.remove_member(Membership.objects.get(account=account, user=user))
    Membership.objects.create(account=account, user=user, role=Role.OPERATOR)

    assert not authenticates(key)


def test_the_page_costs_as_many_queries_with_many_keys_as_with_one(
    page, account, user, key, django_assert_num_queries, django_assert_max_num_queries
):
    with django_assert_max_num_queries(20) as queries:
        page.get(reverse("accounts"))
    for number in range(10):
        services.create_api_key(account, user, f"script {number}")

    with django_assert_num_queries(len(queries)):
        page.get(reverse("accounts"))


def test_the_last_use_is_shown_and_recorded_once_a_minute(key, page, django_assert_num_queries):
    assert authenticates(key, address="198.51.100.7")
    first_use = ApiKey.objects.get()
    with django_assert_num_queries(1):
        assert authenticates(key)

    assert first_use.last_used_from == "198.51.100.7"
    assert ApiKey.objects.get().last_used_at == first_use.last_used_at
    assert "198.51.100.7" in page.get(reverse("accounts")).content.decode()
    ApiKey.objects.update(last_used_at=timezone.now() - timedelta(minutes=1))
    assert authenticates(key)
    assert ApiKey.objects.get().last_used_from == ADDRESS


def test_wrong_keys_are_limited_for_their_address_only_and_not_for_keys_in_use(account, key, user):
    other = services.create_api_key(account, user, "another").text
    assert authenticates(key)
    for number in range(10):
        assert not authenticates(f"{number:064}")

    with pytest.raises(Fault) as fault:
        authenticates("f" * 64)
    assert fault.value.status == 429
    assert int(fault.value.headers["Retry-After"]) in range(1, 61)
    assert authenticates(key), "a key in use is not limited"
    assert authenticates(other, address="192.0.2.2")


def test_a_key_beyond_its_rate_must_wait(monkeypatch, key):
    now = [0.0]
    monkeypatch.setattr(authentication, "CALLS", TokenBuckets(3, 0.5, clock=lambda: now[0]))
    for _ in range(3):
        assert authenticates(key)

    with pytest.raises(Fault) as fault:
        authenticates(key)
    assert fault.value.code == "SoftLayer_Exception_WebService_RateLimitExceeded"
    assert fault.value.headers == {"Retry-After": "2"}
    now[0] += 2
    assert authenticates(key)


def test_the_longest_unused_bucket_is_dropped_beyond_the_limit():
    buckets = TokenBuckets(1, 1, max_names=3, clock=lambda: 0.0)
    for name in "abcd":
        assert buckets.take_token(name) == 0

    assert "a" not in buckets and "d" in buckets
    assert buckets.take_token("d") == 1


def test_the_command_prints_the_key_alone_on_its_last_line(account, user):
    output = StringIO()
    call_command(
        "apikey", "create", "ada", "--name", "cron", "--source", "192.0.2.0/24", stdout=output
    )

    assert authenticates(output.getvalue().splitlines()[-1])
    key_list = StringIO()
    call_command("apikey", "list", stdout=key_list)
    columns = key_list.getvalue().rstrip("\n").split("\t")
    assert columns[1:4] == ["ada", "Example account", "cron"]
    call_command("apikey", "revoke", columns[0], stdout=StringIO())
    assert not authenticates(output.getvalue().splitlines()[-1])


def test_the_command_requires_an_account_if_the_user_has_more_than_one(account, user):
    other = Account.objects.create(name="Another account")
    Membership.objects.create(account=other, user=user)
    for arguments in (["nobody", "--name", "a"], ["ada", "--name", "a"]):
        with pytest.raises(CommandError):
            call_command("apikey", "create", *arguments)

    options = ["ada", "--name", "a", "--account", "Another account"]
    call_command("apikey", "create", *options, stdout=StringIO(), stderr=StringIO())
    assert ApiKey.objects.get().account == other


def test_beyond_the_maximum_a_key_must_be_revoked_before_the_next(account, user):
    for number in range(api_keys.MAX_KEYS):
        services.create_api_key(account, user, str(number))

    with pytest.raises(Refused):
        services.create_api_key(account, user, "one more")
    services.revoke_api_key(ApiKey.objects.first())
    assert services.create_api_key(account, user, "one more")
