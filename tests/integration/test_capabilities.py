"""Capabilities of a charon: saved by the monitor, shown in the options, checked by an apply."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.html import part, words
from vpnportal import services
from vpnportal.models import Concentrator, Tunnel
from vpnportal.reconciler import sa_status_store

CAPABILITIES = {
    "encryption": ["3DES_CBC", "AES_CBC"],
    "integrity": ["HMAC_MD5_96", "HMAC_SHA2_256_128"],
    "prf": ["PRF_HMAC_MD5", "PRF_HMAC_SHA2_256"],
    "dh": ["MODP_1024", "MODP_2048"],
}
CANNOT = "this concentrator's charon cannot do it"


@pytest.fixture
def online(concentrator) -> Concentrator:
    sa_status_store.save_capabilities(concentrator, CAPABILITIES, "5.9.8")
    sa_status_store.save_online(concentrator, userland_esp=True)
    return concentrator


def options(answer, field: str) -> dict[str, tuple[str, bool]]:
    """Return the text of each option, and True if the option is enabled."""
    return {
        e.get("value"): ("".join(e.itertext()), "disabled" not in e.attrib)
        for e in part(answer, f"id_{field}").iter("option")
    }


def test_capabilities_are_written_only_when_they_change(concentrator):
    sa_status_store.save_capabilities(concentrator, CAPABILITIES, "5.9.8")

    with CaptureQueriesContext(connection) as queries:
        sa_status_store.save_capabilities(concentrator, CAPABILITIES, "5.9.8")

    assert [q["sql"].split()[0] for q in queries] == ["SELECT"]
    sa_status_store.save_capabilities(concentrator, CAPABILITIES, "6.1.0")
    saved = Concentrator.objects.get()
    assert (saved.algorithms, saved.charon_version) == (CAPABILITIES, "6.1.0")
    assert saved.release == settings.VERSION


def test_each_option_has_its_strength_and_none_is_hidden(tunnel, page):
    answer = page.get(reverse("tunnel", args=[tunnel.pk]))

    encryption = options(answer, "phase_one_encryption")
    assert encryption["AES128"] == ("AES128 — good", True)
    assert encryption["3DES"] == ("3DES — weak: 64-bit blocks", True)
    assert encryption["DES"] == ("DES — broken: 56-bit key", True)
    assert options(answer, "phase_two_group")["2"] == ("group 2 — 1024-bit MODP, weak", True)
    assert len(encryption) == 9


def test_an_unsupported_option_is_disabled_with_the_reason(tunnel, online, page):
    answer = page.get(reverse("tunnel", args=[tunnel.pk]))

    assert options(answer, "phase_one_encryption")["AES256"] == ("AES256 — good", True)
    chacha = options(answer, "phase_two_encryption")["ChaCha20-Poly1305"]
    assert chacha == (f"ChaCha20-Poly1305 — good — {CANNOT}", False)
    assert options(answer, "phase_one_authentication")["SHA1"][1] is False
    assert options(answer, "phase_one_group")["0"] == ("0 — none", True)
    assert options(answer, "phase_one_group")["31"][1] is False


def test_an_unsupported_value_of_the_draft_stays_selected_and_an_apply_refuses_it(
    ready, online, user, page
):
    services.edit(ready, "phase_one_encryption", "DES", user)

    shown = options(page.get(reverse("tunnel", args=[ready.pk])), "phase_one_encryption")
    with pytest.raises(services.Refused) as refusal:
        services.apply(Tunnel.objects.get(pk=ready.pk), user)

    assert shown["DES"] == (f"DES — broken: 56-bit key — {CANNOT}", True)
    (problem,) = refusal.value.problems
    assert problem.field == "phase_one_encryption"
    assert problem.text.startswith("This concentrator does not support DES. Choose another")


def test_a_strongswan_that_may_lack_ikev1_is_named(tunnel, online, page):
    url = reverse("tunnel", args=[tunnel.pk])
    assert "is built without IKEv1" not in words(page.get(url), "more")

    sa_status_store.save_capabilities(online, CAPABILITIES, "6.1.0")

    answer = page.get(url)
    assert "This concentrator runs strongSwan 6.1.0." in words(answer, "more")
    assert options(answer, "ike_version")["1"] == (
        "IKEv1 only — probably not built into this concentrator's strongSwan",
        True,
    )
