"""Sign-in: the lock-out of an IP address after ten wrong passwords."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from tests.html import read

pytestmark = pytest.mark.django_db
RIGHT = {"username": "ada", "password": "a password for the tests"}
MAX_ATTEMPTS = 10


def sign_in(address: str = "192.0.2.1", /, **fields: str) -> int:
    client = Client(REMOTE_ADDR=address)
    return client.post(reverse("login"), {**RIGHT, **fields}).status_code


def guess(times: int, address: str = "192.0.2.1", name: str = "ada") -> list[int]:
    return [sign_in(address, username=name, password=f"no {number}") for number in range(times)]


def test_after_ten_wrong_passwords_the_right_password_is_refused_too(user):
    guess(MAX_ATTEMPTS)

    assert sign_in() == 429


def test_another_address_is_not_locked_out(user):
    guess(MAX_ATTEMPTS)

    assert sign_in("192.0.2.2") == 302


def test_a_successful_sign_in_permits_no_further_guesses(user):
    guess(MAX_ATTEMPTS - 1, name="bob")
    assert sign_in() == 302
    guess(1, name="bob")

    assert sign_in() == 429


def test_the_page_shows_the_duration_of_the_lock_out(user):
    guess(MAX_ATTEMPTS)

    response = Client(REMOTE_ADDR="192.0.2.1").post(reverse("login"), RIGHT)

    alert = "".join(read(response).find(".//p[@role='alert']").itertext())
    assert alert == (
        "Too many failed sign-ins from your IP address. Sign-in from this address is blocked for "
        "ten minutes."
    )


@pytest.mark.parametrize(("behind_proxy", "expected"), [(True, 302), (False, 429)])
def test_only_the_configured_proxy_may_name_the_client_address(
    user, settings, behind_proxy, expected
):
    settings.BEHIND_PROXY = behind_proxy

    def post(forwarded_for: str, **fields: str) -> int:
        client = Client(REMOTE_ADDR="127.0.0.1")
        headers = {"X-Forwarded-For": forwarded_for}
        return client.post(reverse("login"), {**RIGHT, **fields}, headers=headers).status_code

    for number in range(MAX_ATTEMPTS):
        post(f"10.9.8.{number}, 192.0.2.1", password="no")

    assert post("10.9.8.7, 192.0.2.1") == 429, "the first address is the client's own claim"
    assert post("192.0.2.9") == expected


def test_a_line_break_in_a_user_name_forges_no_log_line(user, caplog):
    sign_in(username="ada\nINFO signed in as root", password="no")

    assert not [record for record in caplog.records if "\n" in record.getMessage()]
