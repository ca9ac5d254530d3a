"""The pages of errors."""

from __future__ import annotations

import re

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from tests.html import read, words
from vpnportal.web.accounts import views


def heading(response) -> str:
    return "".join(next(read(response).iter("h1")).itertext())


def test_a_missing_page_is_not_found(page):
    response = page.get("/nothing-here/")

    assert response.status_code == 404
    assert heading(response) == "Page not found"


def test_an_internal_error_has_an_id_on_the_page_and_in_the_log(page, monkeypatch, caplog):
    def fail(*_: object) -> None:
        raise RuntimeError("an error of this test")

    monkeypatch.setattr(views, "render_page", fail)
    browser = Client(raise_request_exception=False)
    browser.cookies = page.cookies

    response = browser.get("/accounts/?line=\nforged")

    assert response.status_code == 500
    assert heading(response) == "Something went wrong"
    request_id = re.search("Request ([0-9a-f]{24})", words(response, "main"))[1]
    assert response["X-Request-ID"] == request_id
    messages = [record.getMessage() for record in caplog.records]
    assert f"Request {request_id}: GET '/accounts/'" in messages


@pytest.mark.parametrize("error", [OperationalError("could not connect"), InterfaceError("closed")])
def test_a_database_that_does_not_answer_is_no_error_of_the_portal(page, monkeypatch, error):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(views, "render_page", fail)
    browser = Client(raise_request_exception=False)
    browser.cookies = page.cookies

    response = browser.get("/accounts/")

    assert (response.status_code, response.headers["Retry-After"]) == (503, "10")
    assert heading(response) == "The database does not answer"
    assert "could not connect" not in response.content.decode()
