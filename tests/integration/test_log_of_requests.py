"""The log of the web process: each sign-in, few lines of strangers, and no long or forged line."""

from __future__ import annotations

import logging
import logging.config
import re
from io import StringIO

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from tests.integration.test_sign_in import guess, sign_in

pytestmark = pytest.mark.django_db
REQUEST_ID = re.compile(r"\[[0-9a-f]{24}\] ")
PLACES = ("/nothing-here/", "/rest/v3/SoftLayer_Account/getObject.json", "/tunnels/9999999/")


@pytest.fixture
def lines():
    """Return a function that reads the log's lines so far, made by the portal's own handler."""
    stream = StringIO()
    logging.config.dictConfig(settings.LOGGING)
    root = logging.getLogger()
    (handler,) = [h for h in root.handlers if type(h) is logging.StreamHandler]
    handler.setStream(stream)
    yield lambda: [
        REQUEST_ID.sub("", line.partition(" ")[2].partition(" ")[2])
        for line in stream.getvalue().splitlines()
    ]
    root.removeHandler(handler)


def test_s6_requests_of_strangers_leave_few_and_short_lines(lines, page, client):
    for place in PLACES:
        for number in range(100):
            client.get(f"{place}?{number}", {"x": "y" * 2000})
    for number in range(100):
        client.get(f"/{number}{'z' * 7000}/")
        client.get("/tunnels/", headers={"Host": f"{'h' * 7000}{number}.example"})

    written = lines()

    assert len(written) <= 41
    assert max(map(len, written)) < 400
    assert any("/nothing-here/" in line for line in written)


def test_s6_the_number_of_lines_that_were_left_out_is_logged(lines, client, monkeypatch):
    for number in range(15):
        client.get(f"/{number}/")
    later = logging.LogRecord.__init__

    def a_minute_later(self, *args, **kwargs):
        later(self, *args, **kwargs)
        self.created += 60

    monkeypatch.setattr(logging.LogRecord, "__init__", a_minute_later)
    client.get("/later/")

    assert "/14/" not in "".join(lines())
    assert "/later/" in lines()[-1]
    assert "(5 more of this kind since " in lines()[-1]


def test_s21_each_sign_in_is_logged_with_outcome_address_and_name(lines, user):
    sign_in("192.0.2.7")
    guess(1, "192.0.2.8", "ada\nWARNING vpnportal.sign_in: sign-in accepted from 127.0.0.1")
    guess(1, "192.0.2.9", "x" * 150)
    guess(12, "192.0.2.10")
    client = Client(REMOTE_ADDR="192.0.2.11")
    client.force_login(user)
    client.post(reverse("account_logout"))

    written = [line for line in lines() if "vpnportal.sign_in" in line]

    assert written[0] == "INFO vpnportal.sign_in: sign-in accepted from 192.0.2.7 for 'ada'"
    assert written[1].startswith(
        r"WARNING vpnportal.sign_in: sign-in refused from 192.0.2.8 for 'ada\\nWARNING"
    )
    assert len(written[2]) < 200
    assert "sign-in refused from 192.0.2.10 for 'name 0'" in written[3]
    assert "sign-in blocked from 192.0.2.10 for 'name 10'" in "".join(written)
    assert written[-1] == "INFO vpnportal.sign_in: sign-out from 192.0.2.11 of 'ada'"
    assert "no 0" not in "".join(lines()), "no password"
