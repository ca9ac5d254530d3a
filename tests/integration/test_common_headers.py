"""Headers of all responses, and /.well-known/security.txt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from vpnportal.settings import security_contacts

pytestmark = pytest.mark.django_db
SECURITY_TXT = "/.well-known/security.txt"
PLACES = (
    "/sign-in/",
    "/tunnels/",
    "/nothing-here/",
    "/healthz",
    "/rest/v3/SoftLayer_Account/getObject.json",
    "/xmlrpc/v3/SoftLayer_Account",
    SECURITY_TXT,
    "/gateway/join",
    "/operators/",
)
EXPECTED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


@pytest.mark.parametrize("place", PLACES)
def test_every_answer_forbids_other_sites_and_unused_features(page, place):
    for response in (page.get(place), Client().post(place), page.get(place, headers={"Host": "x"})):
        assert {name: response.headers.get(name) for name in EXPECTED} == EXPECTED
        assert "camera=()" in response.headers["Permissions-Policy"]


def test_security_txt_names_the_contact_and_a_day_within_a_year(client, settings):
    assert client.get(SECURITY_TXT).status_code == 404

    settings.SECURITY_CONTACTS = ["mailto:security@example.net", "https://example.net/report"]
    response = client.get(SECURITY_TXT)

    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    text = response.content.decode()
    fields = [line.split(": ", 1) for line in text.removesuffix("\r\n").split("\r\n")]
    assert [value for name, value in fields if name == "Contact"] == settings.SECURITY_CONTACTS
    values = dict(fields)
    end = datetime.strptime(values["Expires"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert timedelta(days=30) < end - datetime.now(UTC) < timedelta(days=365)
    assert values["Canonical"] == f"http://testserver{SECURITY_TXT}"
    assert client.post(SECURITY_TXT).status_code == 405


@pytest.mark.parametrize(
    "uri", ["security@example.net", "http://example.net", "mailto:a b", "tel:"]
)
def test_a_contact_that_is_no_uri_of_rfc_9116_is_refused(uri):
    with pytest.raises(ImproperlyConfigured, match=r"Write mailto:security@example\.net"):
        security_contacts([uri])
