"""Guessing passwords is slow for whoever does it, and for nobody else."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from tests.html import read

pytestmark = pytest.mark.django_db
RIGHT = {"username": "ada", "password": "a password for the tests"}
GUESSES = 10


def sign_in(address: str = "192.0.2.1", /, **typed: str) -> int:
    client = Client(REMOTE_ADDR=address)
    return client.post(reverse("login"), {**RIGHT, **typed}).status_code


def guess(times: int, address: str = "192.0.2.1", name: str = "ada") -> list[int]:
    return [sign_in(address, username=name, password=f"no {number}") for number in range(times)]


def test_after_ten_wrong_passwords_an_address_waits_also_with_the_right_one(user):
    guess(GUESSES)

    assert sign_in() == 429


def test_whoever_comes_from_elsewhere_is_not_locked_out_by_that(user):
    guess(GUESSES)

    assert sign_in("192.0.2.2") == 302


def test_having_one_password_gives_no_further_guesses_of_others(user):
    guess(GUESSES - 1, name="bob")
    assert sign_in() == 302
    guess(1, name="bob")

    assert sign_in() == 429


def test_the_page_says_how_long_it_takes(user):
    guess(GUESSES)

    answer = Client(REMOTE_ADDR="192.0.2.1").post(reverse("login"), RIGHT)

    told = "".join(read(answer).find(".//p[@role='alert']").itertext())
    assert told == (
        "Too many wrong passwords came from your address: nobody can sign in from there for ten "
        "minutes."
    )


@pytest.mark.parametrize(("behind", "expected"), [(True, 302), (False, 429)])
def test_only_our_own_proxy_is_believed_where_a_request_comes_from(
    user, settings, behind, expected
):
    settings.BEHIND_PROXY = behind

    def post(forwarded: str, **typed: str) -> int:
        client = Client(REMOTE_ADDR="127.0.0.1")
        headers = {"X-Forwarded-For": forwarded}
        return client.post(reverse("login"), {**RIGHT, **typed}, headers=headers).status_code

    for number in range(GUESSES):
        post(f"10.9.8.{number}, 192.0.2.1", password="no")

    assert post("10.9.8.7, 192.0.2.1") == 429, "what the client itself said counts for nothing"
    assert post("192.0.2.9") == expected


def test_a_user_name_with_a_line_break_forges_no_line_of_the_log(user, caplog):
    sign_in(username="ada\nINFO signed in as root", password="no")

    assert not [one for one in caplog.records if "\n" in one.getMessage()]
