"""Rows that an operation of `test_races.py` needs, and writes of worker, monitor and admin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from tests.integration.race_scene import SHARED, UNUSED, Scene
from vpnportal import encryption, models, services
from vpnportal.domain.diagnosis import log_lines
from vpnportal.domain.diagnosis.log_collector import TunnelLog
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.domain.traffic.accounting import TrafficDelta
from vpnportal.enrolment.key_files import new_gateway_key
from vpnportal.models import Revision, Subnet, Tunnel
from vpnportal.models.revisions import LOCK_DURATION
from vpnportal.monitor import log_recorder, traffic_recorder, translation_usage
from vpnportal.reconciler import revision_outcomes, sa_status_store

Run = Callable[[Scene, Tunnel], Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """A write for one of the tunnels. `prepare` returns what it needs, before both begin."""

    name: str
    run: Callable[[Scene, Tunnel, Any], object]
    prepare: Run = lambda scene, tunnel: None
    # Documented answers besides services.Refused.
    answers: tuple[type[Exception], ...] = ()

    def __str__(self) -> str:
        return self.name


def translation(scene: Scene, tunnel: Tunnel) -> models.AddressTranslation:
    return tunnel.translations.get()


def changes(scene: Scene, tunnel: Tunnel) -> list[services.Change]:
    """Return a change of the name of the tunnel's translation."""
    (row,) = services.saved_rows(tunnel).values()
    return [services.Change(row.internal, row, replace(row, name="z"))]


def unfinished_import(scene: Scene, tunnel: Tunnel) -> int:
    """Return the id of an import whose next step is its last."""
    row = services.request_import(tunnel, changes(scene, tunnel), scene.ada)
    services.run_import_step(row.pk)
    return row.pk


def unused_subnet(scene: Scene, tunnel: Tunnel) -> Subnet:
    return services.make_customer_subnet(scene.account, UNUSED)


def discarded(scene: Scene, tunnel: Tunnel) -> None:
    services.discard(tunnel, scene.bob)


def with_new_key(scene: Scene, tunnel: Tunnel) -> None:
    models.Concentrator.objects.update(release=settings.VERSION)
    services.set_preshared_key(tunnel, "a new key", scene.bob)


def rotating(scene: Scene, tunnel: Tunnel) -> None:
    """Begin a rotation of which the peer has the new key, and whose time is over."""
    with_new_key(scene, tunnel)
    revision_outcomes.mark_live([services.begin_rotation(tunnel, 7, scene.bob)])
    now = timezone.now()
    models.KeyRotation.objects.update(
        signs_with="new", loaded="new", loaded_at=now, used="new", used_at=now, ends_at=now
    )


def probe(scene: Scene, tunnel: Tunnel) -> models.PeerProbe:
    answer = {"remote_peer": tunnel.remote_peer, "phase_one_group": 15, "phase_two_group": 16}
    return models.PeerProbe.objects.create(
        tunnel=tunnel, author=scene.bob, state="answered", answer=answer
    )


def without_shared(tunnel: Tunnel, scene: Scene) -> None:
    services.remove_remote_subnet(tunnel, scene.subnet(SHARED).pk, scene.bob)


def queued(scene: Scene, tunnel: Tunnel, trial: services.Trial | None = None) -> Revision:
    """Return a queued revision that no longer locks its tunnel."""
    if tunnel.subnets.filter(network=SHARED).exists():
        without_shared(tunnel, scene)
    revision = services.apply(tunnel, scene.bob, trial)
    old = timezone.now() - 2 * LOCK_DURATION
    Revision.objects.filter(pk=revision.pk).update(created_at=old)
    return Revision.objects.get(pk=revision.pk)


def queued_trial(scene: Scene, tunnel: Tunnel) -> Revision:
    return queued(scene, tunnel, services.Trial(5))


def due_trial(scene: Scene, tunnel: Tunnel) -> Revision:
    revision = queued_trial(scene, tunnel)
    revision_outcomes.mark_live([revision])
    over = timezone.now() - timedelta(seconds=1)
    Revision.objects.filter(pk=revision.pk).update(trial_ends_at=over)
    return Revision.objects.get(pk=revision.pk)


def due_release(scene: Scene, tunnel: Tunnel) -> models.AddressRelease:
    """Return the release of a tunnel that moved, and that nothing holds at its old place."""
    services.move(tunnel, scene.other_concentrator, scene.bob)
    Revision.objects.filter(tunnel=tunnel).update(outcome=Revision.Outcome.FAILED)
    return tunnel.releases.get()


def expired(scene: Scene, tunnel: Tunnel) -> None:
    """Let the time be over in which the other tunnels keep the networks of this draft."""
    others = Tunnel.objects.exclude(pk=tunnel.pk)
    others.update(claims_until=timezone.now() - timedelta(days=1))


def held(scene: Scene, tunnel: Tunnel) -> None:
    """Hold the tunnel with settings that no revision in the database has."""
    spec = replace(Tunnel.objects.get(pk=tunnel.pk).draft(), dpd_seconds=40)
    models.HeldTunnel.objects.get_or_create(
        concentrator=scene.concentrator,
        tunnel_id=tunnel.pk,
        defaults={
            "kind": models.HeldTunnel.Kind.CHANGED,
            "number": 7,
            "specification": Revision.sealed(spec, 7, scene.concentrator.reader),
            "mark": Tunnel.objects.get(pk=tunnel.pk).mark,
            "account_id": tunnel.account_id,
            "name": tunnel.name,
            "hosted_peer": tunnel.hosted_peer,
        },
    )


def new_key(scene: Scene, tunnel: Tunnel) -> str:
    """Return the public key of another line in the file of the gateway."""
    line, public_key = new_gateway_key()
    with (settings.KEYS / scene.concentrator.name / "gateway.key").open("a") as file:
        file.write(line + "\n")
    encryption.forget_keys()
    return public_key


def save_all(scene: Scene, tunnel: Tunnel, value: SaStatus) -> None:
    status = dict.fromkeys(Tunnel.objects.values_list("pk", flat=True), value)
    sa_status_store.save_all(scene.concentrator, status, timezone.now())


def save_traffic(scene: Scene, tunnel: Tunnel) -> None:
    now = timezone.now()
    pks = Tunnel.objects.order_by("-pk").values_list("pk", flat=True)
    traffic_recorder.save_traffic(scene.concentrator, {pk: TrafficDelta(now) for pk in pks})


def save_log(scene: Scene, tunnel: Tunnel) -> None:
    line = log_lines.LogLine(timezone.now(), log_lines.Role.INITIATOR, "no answer")
    pks = Tunnel.objects.order_by("-pk").values_list("pk", flat=True)
    log_recorder.save_log(scene.concentrator, {pk: TunnelLog(lines=[line]) for pk in pks}, {})


def save_usage(scene: Scene, tunnel: Tunnel) -> None:
    rows = models.AddressTranslation.objects.order_by("-pk")
    uses = {
        (int(IPv4Address(row.internal_address)), int(IPv4Address(row.customer_address))): 30_000_000
        for row in rows
    }
    translation_usage.save_usage(scene.concentrator, uses)


def add_pool(scene: Scene, tunnel: Tunnel, data: None) -> None:
    """Save the page of a concentrator with another address pool, as an operator does."""
    pools = list(scene.concentrator.pools.order_by("pk"))
    form: dict[str, Any] = {
        "datacenter": scene.concentrator.datacenter_id,
        "public_address": scene.concentrator.public_address,
        "pools-TOTAL_FORMS": len(pools) + 1,
        "pools-INITIAL_FORMS": len(pools),
    }
    new = models.AddressPool(kind="static-nat", network=IPv4Network("10.150.0.0/24"))
    for number, pool in enumerate((*pools, new)):
        form |= {
            f"pools-{number}-id": pool.pk or "",
            f"pools-{number}-concentrator": scene.concentrator.pk,
            f"pools-{number}-kind": pool.kind,
            f"pools-{number}-network": str(pool.network),
        }
    url = reverse("admin:vpnportal_concentrator_change", args=[scene.concentrator.pk])
    assert scene.page.post(url, form).status_code in (200, 302)


def add_provider_subnet(scene: Scene, tunnel: Tunnel, data: None) -> None:
    """Save a new subnet that overlaps the one that the next order would get."""
    form = {"account": scene.account.pk, "kind": "hosted", "network": "10.101.0.0/24", "name": ""}
    url = reverse("admin:vpnportal_subnet_add")
    assert scene.page.post(url, form).status_code in (200, 302)


def delete_offered(scene: Scene, tunnel: Tunnel, data: None) -> None:
    url = reverse("admin:vpnportal_subnet_delete", args=[scene.offered.pk])
    assert scene.page.post(url, {"post": "yes"}).status_code in (302, 403)


def membership_of(name: str) -> Run:
    return lambda scene, tunnel: scene.membership(getattr(scene, name))
