"""The keys of a gateway: a first one, another one, and one of a machine that was replaced."""

from __future__ import annotations

import shutil
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from tests.fake_gateway import FakeGateway
from tests.integration.as_gateway import as_gateway
from tests.integration.two_gateways import (
    ONE,
    Outcome,
    applied,
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
from vpnportal.enrolment.key_files import new_gateway_key
from vpnportal.fields import Sealed
from vpnportal.management.database_copy.seals import CONTEXTS
from vpnportal.models import Concentrator, HeldTunnel, PeerProbe, Revision, Tunnel
from vpnportal.reconciler import reconcile
from vpnportal.reconciler.local_target import _local_target, local_target
from vpnportal.reconciler.revision_cache import revisions as revision_cache

__all__ = ["full", "gateways", "live", "new_worker", "other"]
pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


def test_a_lost_gateway_is_replaced_by_one_command(full, concentrator, gateways):
    rows = list(sealed_rows())
    lost = shutil.copytree(settings.KEYS / ONE, settings.KEYS / "lost")
    replace_gateway(gateways, concentrator)
    line, public_key = new_gateway_key()
    (settings.KEYS / ONE / "gateway.key").write_text(line)
    encryption.forget_keys()
    with as_gateway(ONE):
        assert opened(rows) == set()

    out = StringIO()
    call_command("gateway_key", ONE, public_key, stdout=out)

    assert out.getvalue() == f"3 texts are sealed for the gateway of {ONE}.\n"
    HeldTunnel.objects.all().delete()
    reconcile.converge(concentrator.pk)
    assert gateways[concentrator.pk].connections.keys() == {f"ctx{full[0].pk}"}
    (stored,) = local_target(ONE).files().values()
    with as_gateway(ONE):
        assert stored.spec
    # The dump of that day no longer opens with the keys of the lost one.
    (settings.KEYS / ONE / "gateway.key").write_text((lost / "gateway.key").read_text())
    encryption.forget_keys()
    with as_gateway(ONE):
        assert opened(row for row in sealed_rows_now() if row[1] == full[0].pk) == set()


def sealed_rows_now() -> list[tuple[str, int, Sealed, str]]:
    return [
        ("revision", row.tunnel_id, row.specification, CONTEXTS[type(row)][0](row))
        for model in (Revision, PeerProbe)
        for row in model.objects.all()
    ]


def replace_gateway(gateways: dict[int, FakeGateway], concentrator: Concentrator) -> None:
    """Let the gateway be a new machine: it has no file, and charon and kernel hold nothing."""
    gateways[concentrator.pk] = FakeGateway()
    shutil.rmtree(local_target(concentrator.name).folder)
    revision_cache.retain(())
    _local_target.cache_clear()


def test_a_text_that_does_not_open_stays_and_the_others_are_sealed_again(full, concentrator, user):
    revision = Revision.objects.get(tunnel=full[0])
    broken = Sealed(revision.specification.token[:-4])
    Revision.objects.filter(pk=revision.pk).update(specification=broken)

    count = services.set_envelope_key(concentrator, new_gateway_key()[1])

    assert count == 2
    assert Revision.objects.get(pk=revision.pk).specification == broken


def test_a_revision_that_a_trial_may_choose_is_sealed_again_and_older_history_is_not(
    live, concentrator, user
):
    for seconds in (1000, 1100):
        services.edit(Tunnel.objects.get(pk=live.pk), "phase_two_keylife", seconds, user)
        applied(live, user)
    first, second, _ = Revision.objects.order_by("number")
    Revision.objects.update(first_up_at=first.created_at)

    count = services.set_envelope_key(concentrator, concentrator.envelope_key)

    assert count == 2
    assert Revision.objects.get(pk=first.pk).specification == first.specification
    assert Revision.objects.get(pk=second.pk).specification != second.specification


def test_for_a_gateway_that_was_removed_nothing_is_sealed_any_more(live, concentrator, user):
    services.set_envelope_key(concentrator, "")
    services.edit(Tunnel.objects.get(pk=live.pk), "dpd_seconds", 40, user)

    revision = services.apply(Tunnel.objects.get(pk=live.pk), user)

    assert revision.spec().dpd_seconds == 40
    with as_gateway(ONE), pytest.raises(CannotOpen):
        revision.spec()


def test_another_key_than_one_of_x25519_is_refused_and_nothing_changes(full, concentrator):
    before = {row[2] for row in sealed_rows()}

    with pytest.raises(services.Refused, match="32 bytes in base64"):
        services.set_envelope_key(concentrator, "AAAA")
    with pytest.raises(CommandError, match="32 bytes in base64"):
        call_command("gateway_key", ONE, "AAAA")
    with pytest.raises(CommandError, match=f"There is no concentrator 'x'. There are: {ONE}"):
        call_command("gateway_key", "x", new_gateway_key()[1])

    assert {row[2] for row in sealed_rows()} == before
    assert Concentrator.objects.get(pk=concentrator.pk).envelope_key == concentrator.envelope_key


@pytest.fixture
def earlier(concentrator, tmp_path) -> Path:
    """Let gateway 1 be one of the version before, which the portal knows no key of."""
    Concentrator.objects.filter(pk=concentrator.pk).update(envelope_key="")
    concentrator.refresh_from_db()
    folder = settings.KEYS / ONE
    shutil.move(folder, tmp_path / "keys of its own")
    folder.mkdir()
    for name in ("seal.key", "fingerprint.key"):
        shutil.copy(settings.KEYS / name, folder)
    encryption.forget_keys()
    return tmp_path / "keys of its own"


def test_a_gateway_without_a_key_of_its_own_works_as_before(
    earlier, live, user, concentrator, gateways
):
    first = Revision.objects.get()
    assert not first.specification.is_envelope
    assert first.specification.open(f"tunnel {live.pk} revision 1")
    services.edit(Tunnel.objects.get(pk=live.pk), "phase_two_keylife", 1800, user)
    Revision.objects.update(first_up_at=first.created_at)
    gateways[concentrator.pk].peer_answers = False
    trial = services.apply(Tunnel.objects.get(pk=live.pk), user, services.Trial(30))
    reconcile.converge(concentrator.pk)
    Revision.objects.filter(pk=trial.pk).update(trial_ends_at=trial.created_at)

    reconcile.converge(concentrator.pk)

    restored = Revision.objects.get(number=3)
    assert (restored.outcome, restored.spec()) == (Outcome.LIVE, first.spec())
    assert restored.specification.open(f"tunnel {live.pk} revision 3")


def test_after_its_first_key_a_gateway_needs_none_of_the_portals_also_for_its_files(
    earlier, live, concentrator, gateways
):
    services.set_envelope_key(concentrator, (earlier / "gateway.pub").read_text().strip())
    shutil.copy(earlier / "gateway.key", settings.KEYS / ONE)
    shutil.copy(earlier / "concentrator.key", settings.KEYS / ONE)
    encryption.forget_keys()
    _local_target.cache_clear()
    names = gateways[concentrator.pk].connections[f"ctx{live.pk}"].as_loaded

    # The start of the worker after the upgrade, and the advice of `doctor`.
    reconcile.converge(concentrator.pk)
    for name in ("seal.key", "fingerprint.key"):
        (settings.KEYS / ONE / name).unlink()
    encryption.forget_keys()
    revision_cache.retain(())
    reconcile.converge(concentrator.pk)

    assert gateways[concentrator.pk].connections[f"ctx{live.pk}"].as_loaded == names
    with as_gateway(ONE):
        (stored,) = local_target(ONE).files().values()
        assert stored.spec == Revision.objects.get().spec()


def test_the_portal_prints_a_lost_key_of_a_concentrator(concentrator, live):
    printed, file = StringIO(), settings.KEYS / ONE / "concentrator.key"
    file.unlink()
    call_command("gateway_key", ONE, "--concentrator", stdout=printed)
    file.write_text(printed.getvalue())
    encryption.forget_keys()

    with as_gateway(ONE):
        assert Revision.objects.get().spec().tunnel_id == live.pk
