"""The database says of every tunnel the word that its page says, and whether it has changes."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network
from itertools import product

from django.core.management import call_command
from django.utils import timezone

from tests.unit.samples import EXAMPLE
from vpnportal import encryption, services
from vpnportal.domain.tunnel.serialization import serialize
from vpnportal.fields import Sealed
from vpnportal.models import AddressRelease, Concentrator, Revision, Tunnel
from vpnportal.services import StateLabel, with_changes, with_state_rank

Outcome = Revision.Outcome
HISTORIES = (
    (),
    ("queued",),
    ("applying",),
    ("live",),
    ("failed",),
    ("withdrawn",),
    ("live", "queued"),
    ("live", "failed"),
    ("live", "replaced"),
    ("replaced",),
    ("fallback", "withdrawn", "live"),
)


def every_way_to_stand(account, here: Concentrator, there: Concentrator) -> list[Tunnel]:
    """A tunnel for each history, association, hold, cancellation, and place where it is seen."""
    now, made, frozen = timezone.now(), [], serialize(EXAMPLE)
    seen = (*Tunnel.SaStatus, "")
    ways = product(HISTORIES, seen, (None, now), (None, now), (here, there), (here, there))
    for number, (history, association, held, cancelled, draft_at, ran_at) in enumerate(ways, 1):
        tunnel = Tunnel(
            pk=number,
            account=account,
            concentrator=draft_at,
            name=f"ipsec{number:03}",
            hosted_peer=str(IPv4Address("198.18.0.0") + number),
            sa_status=association,
            disconnected_at=held,
            cancelled_at=cancelled,
        )
        made.append((tunnel, history, ran_at))
    Tunnel.objects.bulk_create(tunnel for tunnel, _, _ in made)
    Revision.objects.bulk_create(
        Revision(
            tunnel=tunnel,
            concentrator=ran_at,
            number=number,
            specification=Sealed.of(frozen, Revision.context(tunnel.pk, number)),
            hosted_peer="203.0.113.1",
            remote_peer="203.0.113.2",
            outcome=outcome,
            responder_only=bool(tunnel.pk & 2),
        )
        for tunnel, history, ran_at in made
        for number, outcome in enumerate(history, 1)
    )
    AddressRelease.objects.bulk_create(
        AddressRelease(tunnel=tunnel, concentrator=here, hosted_peer=tunnel.hosted_peer)
        for tunnel, _, _ in made
        if tunnel.pk % 2
    )
    return list(Tunnel.objects.all())


def test_the_database_finds_the_word_that_the_page_says_however_a_tunnel_stands(
    account, concentrator
):
    away = Concentrator.objects.create(
        name="hou02-vpn02", datacenter=concentrator.datacenter, public_address="203.0.113.5"
    )
    concentrator.seen_at, away.seen_at = timezone.now(), timezone.now() - timedelta(minutes=5)
    Concentrator.objects.bulk_update((concentrator, away), ["seen_at"])
    tunnels = every_way_to_stand(account, concentrator, away)

    found = dict(with_state_rank(Tunnel.objects.all()).values_list("pk", "rank"))

    labels = tuple(StateLabel)
    said = {pk: state.label for pk, state in services.states_of(tunnels).items()}
    assert {pk: labels[rank] for pk, rank in found.items()} == said
    assert set(said.values()) == set(StateLabel)


def changed() -> set[str]:
    return set(with_changes(Tunnel.objects.all()).values_list("name", flat=True))


def told() -> set[str]:
    """The tunnels whose pages list changes."""
    rows = list(Tunnel.objects.all())
    states = services.states_of(rows)
    return {row.name for row in rows if states[row.pk].pending}


def test_the_database_finds_the_tunnels_whose_pages_list_changes_after_each_edit(
    ready, second_tunnel, user, gateway
):
    other = Concentrator.objects.create(
        name="hou02-vpn02", datacenter=ready.concentrator.datacenter, public_address="203.0.113.5"
    )
    other.pools.create(kind="hosted-peer", network=IPv4Network("198.51.100.0/29"))
    row = services.TranslationRow(
        IPv4Address("10.1.255.92"), IPv4Address("192.168.10.15"), "database"
    )
    applied = [services.apply(one, user) for one in (ready, second_tunnel)]

    def after(edit, *arguments) -> set[str]:
        edit(ready, *arguments)
        assert changed() == told()
        return changed()

    assert changed() == told() == set()
    Revision.objects.update(outcome=Outcome.LIVE)
    assert after(services.edit, "friendly_name", "Dallas", user) == set()
    assert after(services.edit, "phase_two_group", 14, user) == {"ipsec001"}
    assert after(services.edit, "phase_two_group", 2, user) == set(), "changed back is not changed"
    assert after(services.set_preshared_key, "another key", user) == {"ipsec001"}
    assert after(services.set_preshared_key, "a key", user) == set()
    assert after(
        services.set_translations, [services.TranslationRow(row.internal, None)], user
    ) == {"ipsec001"}
    assert after(services.set_translations, [row], user) == set()
    assert after(services.add_remote_subnet, IPv4Network("192.168.30.0/24"), user) == {"ipsec001"}
    assert after(services.discard, user) == set()
    assert after(services.undo, user) == {"ipsec001"}
    assert after(services.apply, user) == set()
    Revision.objects.filter(tunnel=ready, outcome=Outcome.QUEUED).update(outcome=Outcome.FAILED)
    assert changed() == told() == {"ipsec001"}
    assert after(services.move, other, user) == {"ipsec001"}
    assert after(services.cancel, user) == set()
    assert [one.digest for one in applied if not one.digest] == []


def test_what_was_applied_before_there_were_digests_is_not_taken_for_changed(
    ready, second_tunnel, user
):
    services.apply(ready, user)
    services.apply(second_tunnel, user)
    Revision.objects.update(outcome=Outcome.LIVE, digest="")
    services.edit(second_tunnel, "phase_two_group", 14, user)
    Tunnel.objects.update(draft_digest="")
    assert changed() == {"ipsec001", second_tunnel.name}

    call_command("digests")

    assert changed() == told() == {second_tunnel.name}


def test_a_digest_tells_nothing_without_its_key(ready, user, settings):
    """Two drafts with everything in common but their numbers, and one draft under two keys."""
    services.edit(ready, "friendly_name", "Dallas", user)
    before = Tunnel.objects.get(pk=ready.pk).draft_digest
    settings.FINGERPRINT_KEY_FILE = settings.KEYS / "another.key"
    settings.FINGERPRINT_KEY_FILE.write_text(encryption.new_key())

    services.edit(ready, "friendly_name", "Houston", user)

    assert len(before) == 32
    assert Tunnel.objects.get(pk=ready.pk).draft_digest not in ("", before)
