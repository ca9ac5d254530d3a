"""Rotation of the portal's key: every value is sealed again, and the old key can go."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from allauth.mfa.utils import decrypt
from django.conf import settings
from django.core.management import CommandError, call_command

from tests.integration.as_gateway import as_gateway
from tests.integration.two_gateways import (
    ONE,
    full,
    gateways,
    live,
    new_worker,
    opened,
    other,
    sealed_rows,
)
from vpnportal import encryption, services
from vpnportal.encryption import CannotOpen
from vpnportal.fields import Sealed
from vpnportal.management import seal_keys
from vpnportal.management.database_copy.seals import sealed_values
from vpnportal.models import Revision, Tunnel
from vpnportal.root_commands import programs

__all__ = ["full", "gateways", "live", "new_worker", "other"]
pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def keys(*words: str) -> str:
    out = StringIO()
    call_command("keys", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def lines() -> list[str]:
    return settings.SEAL_KEY_FILE.read_text().split()


def uses() -> dict[int, int]:
    return {
        use["line"]: sum(use["values"].values()) for use in json.loads(keys("status", "--json"))
    }


def test_after_a_rotation_the_old_key_can_go_and_everything_opens(full):
    (old,), before = lines(), list(sealed_rows())
    keys("rotate")
    assert lines()[1:] == [old]
    assert uses() == {1: 0, 2: len(before)}
    with pytest.raises(CommandError, match="still need an earlier key"):
        keys("retire")

    assert f"Sealed {len(before):,} values" in keys("reseal")
    keys("retire")

    (new,) = lines()
    assert new != old
    assert uses() == {1: len(before)}
    after = list(sealed_rows())
    assert opened(after) == {(column, pk) for column, pk, *_ in before}
    with as_gateway(ONE):
        assert opened(after) == opened(row for row in before if row[2].is_envelope) != set()
    # A thief of the old key opens what is in an old dump, and nothing of today.
    settings.SEAL_KEY_FILE.write_text(old)
    encryption.forget_keys()
    assert opened(after) == set()
    assert len(opened(before)) == len(before)


def test_a_reseal_that_was_stopped_goes_on(full, monkeypatch):
    keys("rotate")
    total = uses()[2]
    monkeypatch.setattr(seal_keys, "BATCH_ROWS", 1)
    done = []

    def stop(count: int, of: int) -> None:
        done.append((count, of))
        if count == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seal_keys.reseal(stop)
    assert done == [(1, total), (2, total), (3, total)]

    assert f"Sealed {total - 3:,} values" in keys("reseal")
    assert uses() == {1: total, 2: 0}


def test_second_factors_work_after_a_rotation(user):
    TOTP.activate(user, "JBSWY3DPEHPK3PXP")
    codes = RecoveryCodes.activate(user).get_unused_codes()
    keys("rotate")
    assert uses() == {1: 0, 2: 2}

    keys("reseal")
    keys("retire")

    assert uses() == {1: 2}
    totp, recovery = Authenticator.objects.order_by("pk")
    assert decrypt(totp.data["secret"]) == "JBSWY3DPEHPK3PXP"
    assert RecoveryCodes(recovery).get_unused_codes() == codes


def test_a_key_that_is_typed_while_values_are_sealed_again_is_kept(live, user, monkeypatch):
    keys("rotate")
    current, seal_again = "typed meanwhile", encryption.seal_for_current_key

    def slow(token: str, context: str) -> str:
        if context == live.preshared_key_context:
            services.set_preshared_key(Tunnel.objects.get(pk=live.pk), current, user)
        return seal_again(token, context)

    monkeypatch.setattr(encryption, "seal_for_current_key", slow)
    keys("reseal")

    tunnel = Tunnel.objects.get(pk=live.pk)
    assert tunnel.preshared_key.open(tunnel.preshared_key_context) == current
    assert all(value.opens for value in sealed_values("default"))


def test_a_value_that_does_not_open_is_named_and_stays(live):
    keys("rotate")
    revision = Revision.objects.get(tunnel=live)
    token = revision.specification.token
    # Its end is bound to both keys of the envelope.
    damaged = Sealed(token[:-8] + ("AAAAAAA=" if token[-8:] != "AAAAAAA=" else "BBBBBBA="))
    Revision.objects.filter(pk=revision.pk).update(specification=damaged)

    with pytest.raises(CommandError, match=f"revision {revision.pk} did not open with the keys"):
        keys("reseal")

    assert Revision.objects.get(pk=revision.pk).specification == damaged
    with pytest.raises(CommandError, match="1 values still need"):
        keys("retire")


def test_each_service_opens_what_the_new_key_seals_before_one_seals_with_it(live, monkeypatch):
    (old,), restarted = lines(), []
    monkeypatch.setattr(settings, "MACHINE", "portal")

    def restart(*words: str) -> str:
        restarted.append((words, lines()))
        return ""

    monkeypatch.setattr(programs, "systemctl", restart)
    keys("rotate")

    new = next(line for line in lines() if line != old)
    restart_all = ("try-restart", *programs.PORTAL_SERVICES)
    assert restarted == [(restart_all, [old, new]), (restart_all, [new, old])]


def test_without_its_key_an_old_value_does_not_open(live):
    keys("rotate")
    settings.SEAL_KEY_FILE.write_text(lines()[0])
    encryption.forget_keys()

    with pytest.raises(CannotOpen):
        Revision.objects.get(tunnel=live).spec()
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("keys", "status", stdout=out)
    assert "missing, key" in out.getvalue()
