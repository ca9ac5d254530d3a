"""Sign-in: limits of guesses by network, user name and browser, and the mails about sign-ins."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Thread

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.html import read, words
from vpnportal import services
from vpnportal.models import AttemptCounter
from vpnportal.services import sign_in_limits

pytestmark = pytest.mark.django_db
RIGHT = {"username": "ada", "password": "a password for the tests"}
# Of one network, and at one user name.
MAX_ATTEMPTS, MAX_AT_NAME = 10, 5


def sign_in(address: str = "192.0.2.1", client: Client | None = None, /, **fields: str) -> int:
    client = client or Client()
    posted = client.post(reverse("account_login"), {**RIGHT, **fields}, REMOTE_ADDR=address)
    return posted.status_code


def guess(times: int, address: str = "192.0.2.1", name: str = "") -> list[int]:
    """Send wrong passwords, for names that differ or for one."""
    return [
        sign_in(address, username=name or f"name {number}", password=f"no {number}")
        for number in range(times)
    ]


def later() -> datetime:
    return timezone.now() + timedelta(minutes=1)


def alert(response) -> str:
    return "".join(read(response).find(".//p[@role='alert']").itertext())


def test_after_ten_wrong_passwords_the_right_password_is_refused_too(user):
    assert set(guess(MAX_ATTEMPTS)) == {200}

    assert sign_in() == 429


def test_another_address_is_not_locked_out(user):
    guess(MAX_ATTEMPTS)

    assert sign_in("192.0.2.2") == 302


@pytest.mark.parametrize(
    ("first", "other", "expected"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", 429),
        ("2001:db8::1", "2001:db8:0:1::1", 302),
        ("192.0.2.1", "::ffff:192.0.2.1", 429),
    ],
)
def test_s10_the_addresses_of_one_network_have_one_limit(user, first, other, expected):
    guess(MAX_ATTEMPTS, first)

    assert sign_in(other) == expected


def test_a_successful_sign_in_permits_no_further_guesses(user):
    guess(MAX_ATTEMPTS - 1)
    assert sign_in() == 302
    guess(1)

    assert sign_in() == 429


def test_the_page_shows_the_duration_of_the_lock_out(user):
    guess(MAX_ATTEMPTS)

    response = Client(REMOTE_ADDR="192.0.2.1").post(reverse("account_login"), RIGHT)

    assert alert(response) == (
        "Too many failed sign-ins from your IP address. Sign-in from this address is blocked for "
        "ten minutes."
    )


def test_s10_ten_thousand_guesses_from_a_thousand_addresses_do_not_lock_the_user_out(
    user, monkeypatch
):
    """The passwords themselves are not compared here: that costs too much time."""
    own_browser = Client(REMOTE_ADDR="198.51.100.1")
    assert sign_in("198.51.100.1", own_browser) == 302
    own_browser.post(reverse("account_logout"))
    now, evaluated = sign_in_limits.timezone.now(), 0
    # This test takes longer than the first delay.
    monkeypatch.setattr(sign_in_limits.timezone, "now", lambda: now)
    for number in range(10_000):
        try:
            services.begin_attempt(f"192.0.{number % 4}.{number // 4 % 250}", "ada")
            evaluated += 1
        except services.TooManyAttempts:
            pass

    monkeypatch.undo()
    assert evaluated == MAX_AT_NAME
    AttemptCounter.objects.exclude(blocked_until=None).update(blocked_until=later())
    assert sign_in("203.0.113.9") == 429, "the right password from an unknown browser waits, too"
    assert sign_in("198.51.100.1", own_browser) == 302


def test_s10_the_delay_after_guesses_at_a_name_grows(user, monkeypatch):
    now = sign_in_limits.timezone.now()
    monkeypatch.setattr(sign_in_limits.timezone, "now", lambda: now)
    evaluated = []
    for minute in range(6 * 60):
        try:
            services.begin_attempt(f"10.0.{minute // 250}.{minute % 250}", "ada")
            evaluated.append(minute)
        except services.TooManyAttempts:
            pass
        now += timedelta(minutes=1)

    assert evaluated[:8] == [0, 1, 2, 3, 4, 5, 6, 8]
    assert len(evaluated) < 20, "in six hours"


def test_s10_a_name_that_no_user_has_is_limited_alike(user):
    answers = [guess(MAX_AT_NAME + 1, name=name) for name in ("ada", "nobody-has-it")]
    AttemptCounter.objects.all().delete()
    responses = []
    for name in ("ada", "nobody-has-it"):
        for number in range(MAX_AT_NAME + 1):
            response = Client(REMOTE_ADDR=f"192.0.2.{number}").post(
                reverse("account_login"), {"username": name, "password": "no"}
            )
        responses.append((response.status_code, alert(response)))

    assert answers[0][-1] == 429
    assert responses[0] == responses[1]


def test_the_cookie_of_a_known_browser_is_limited_too_and_is_for_one_user(user, bob):
    browser = Client(REMOTE_ADDR="192.0.2.1")
    assert sign_in("192.0.2.1", browser) == 302
    browser.post(reverse("account_logout"))
    tried = [
        sign_in(f"192.0.2.{number}", browser, username="bob", password="no")
        for number in range(MAX_AT_NAME + 1)
    ]
    own = [
        sign_in(f"198.51.100.{number}", browser, password="no")
        for number in range(MAX_ATTEMPTS + MAX_AT_NAME + 1)
    ]

    assert tried == [200] * MAX_AT_NAME + [429]
    assert own == [200] * (MAX_ATTEMPTS + MAX_AT_NAME) + [429]


def test_a_user_sees_failed_sign_ins_since_the_last_one(user):
    guess(3, name="ada")
    browser = Client(REMOTE_ADDR="198.51.100.1")

    assert sign_in("198.51.100.1", browser) == 302
    page = browser.get(reverse("profile"))

    assert words(page, "live") == "3 failed sign-ins with your user name since you were here last."
    assert "0 since your last sign-in, 3 before it" in words(page, "failed")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_s10_parallel_guesses_are_counted_one_by_one(transactional_db, user):
    evaluated = []

    def guess_once(number: int) -> None:
        try:
            services.begin_attempt(f"192.0.2.{number}", "ada")
            evaluated.append(number)
        except services.TooManyAttempts:
            pass
        finally:
            connection.close()

    threads = [Thread(target=guess_once, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(evaluated) == MAX_AT_NAME


@pytest.mark.parametrize(("behind_proxy", "expected"), [(True, 302), (False, 429)])
def test_only_the_configured_proxy_may_name_the_client_address(
    user, settings, behind_proxy, expected
):
    settings.BEHIND_PROXY = behind_proxy

    def post(forwarded_for: str, **fields: str) -> int:
        client = Client(REMOTE_ADDR="127.0.0.1")
        headers = {"X-Forwarded-For": forwarded_for}
        posted = client.post(reverse("account_login"), {**RIGHT, **fields}, headers=headers)
        return posted.status_code

    for number in range(MAX_ATTEMPTS):
        post(f"10.9.8.{number}, 192.0.2.1", username=f"name {number}", password="no")

    assert post("10.9.8.7, 192.0.2.1") == 429, "the first address is the client's own claim"
    assert post("192.0.2.9") == expected


def test_a_name_beyond_the_limit_is_refused_and_no_internal_error(user):
    response = Client().post(reverse("account_login"), {**RIGHT, "username": "x" * 5000})

    assert response.status_code == 200
    assert "A user name has at most 150 characters." in response.content.decode()


def test_a_line_break_in_a_user_name_forges_no_log_line(user, caplog):
    sign_in(username="ada\nINFO signed in as root", password="no")

    logged = [record.getMessage() for record in caplog.records]
    assert any("sign-in refused" in line for line in logged)
    assert not [line for line in logged if "\n" in line]


def test_a_disabled_user_gets_the_answer_of_a_wrong_password(user):
    User.objects.update(is_active=False)

    response = Client().post(reverse("account_login"), RIGHT)

    assert alert(response).startswith("The user name or the password is wrong.")
