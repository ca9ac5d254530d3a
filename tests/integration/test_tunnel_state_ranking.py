"""Tunnel state in SQL: labels and pending changes equal those of the pages, for all tunnels."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network
from itertools import product

from django.core.management import call_command
from django.utils import timezone

from tests.unit.samples import EXAMPLE
from vpnportal import encryption, services
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.domain.tunnel.serialization import serialize
from vpnportal.fields import Sealed
from vpnportal.models import AddressRelease, Concentrator, Revision, Tunnel, TunnelSummary
from vpnportal.services import StateLabel, with_state_rank

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


def tunnels_in_all_states(account, here: Concentrator, there: Concentrator) -> list[Tunnel]:
    """Create a tunnel of each history, SA status, disconnect, deletion and concentrator."""
    now, rows, serialized = timezone.now(), [], serialize(EXAMPLE)
    statuses = (*SaStatus, "")
    times, places = (None, now), (here, there)
    states = product(HISTORIES, statuses, times, times, places, places)
    for number, state in enumerate(states, 1):
        history, sa_status, disconnected_at, cancelled_at, draft_at, live_at = state
        tunnel = Tunnel(
            pk=number,
            account=account,
            concentrator=draft_at,
            name=f"ipsec{number:03}",
            hosted_peer=str(IPv4Address("198.18.0.0") + number),
            sa_status=sa_status,
            disconnected_at=disconnected_at,
            cancelled_at=cancelled_at,
        )
        rows.append((tunnel, history, live_at))
    Tunnel.objects.bulk_create(tunnel for tunnel, _, _ in rows)
    Revision.objects.bulk_create(
        Revision(
            tunnel=tunnel,
            concentrator=live_at,
            number=number,
            specification=Sealed.of(serialized, Revision.context(tunnel.pk, number)),
            hosted_peer="203.0.113.1",
            remote_peer="203.0.113.2",
            outcome=outcome,
            responder_only=bool(tunnel.pk & 2),
        )
        for tunnel, history, live_at in rows
        for number, outcome in enumerate(history, 1)
    )
    AddressRelease.objects.bulk_create(
        AddressRelease(tunnel=tunnel, concentrator=here, hosted_peer=tunnel.hosted_peer)
        for tunnel, _, _ in rows
        if tunnel.pk % 2
    )
    return list(Tunnel.objects.all())


def test_the_label_in_sql_equals_the_label_of_the_page_in_every_state(account, concentrator):
    offline = Concentrator.objects.create(
        name="hou02-vpn02", datacenter=concentrator.datacenter, public_address="203.0.113.5"
    )
    concentrator.seen_at, offline.seen_at = timezone.now(), timezone.now() - timedelta(minutes=5)
    Concentrator.objects.bulk_update((concentrator, offline), ["seen_at"])
    tunnels = tunnels_in_all_states(account, concentrator, offline)

    ranks = dict(with_state_rank(TunnelSummary.objects.all()).values_list("pk", "state"))

    labels = tuple(StateLabel)
    expected = {pk: state.label for pk, state in services.states_of(tunnels).items()}
    assert {pk: labels[rank] for pk, rank in ranks.items()} == expected
    assert set(expected.values()) == set(StateLabel)


def changed_in_sql() -> set[str]:
    changed = TunnelSummary.objects.filter(is_changed=True)
    return set(changed.values_list("tunnel__name", flat=True))


def changed_by_page() -> set[str]:
    """Return the tunnels whose pages show pending changes."""
    rows = list(Tunnel.objects.all())
    states = services.states_of(rows)
    return {row.name for row in rows if states[row.pk].pending}


def test_sql_finds_the_tunnels_with_pending_changes_after_each_edit(
    ready, second_tunnel, user, gateway
):
    other = Concentrator.objects.create(
        name="hou02-vpn02", datacenter=ready.concentrator.datacenter, public_address="203.0.113.5"
    )
    other.pools.create(kind="hosted-peer", network=IPv4Network("198.51.100.0/29"))
    row = services.TranslationRow(
        IPv4Address("10.1.255.92"), IPv4Address("192.168.10.15"), "database"
    )
    applied = [services.apply(tunnel, user) for tunnel in (ready, second_tunnel)]

    def after(edit, *arguments) -> set[str]:
        edit(ready, *arguments)
        assert changed_in_sql() == changed_by_page()
        return changed_in_sql()

    assert changed_in_sql() == changed_by_page() == set()
    Revision.objects.update(outcome=Outcome.LIVE)
    assert after(services.edit, "friendly_name", "Dallas", user) == set()
    assert after(services.edit, "phase_two_group", 14, user) == {"ipsec001"}
    assert after(services.edit, "phase_two_group", 2, user) == set(), (
        "a reverted value is no change"
    )
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
    assert changed_in_sql() == changed_by_page() == {"ipsec001"}
    assert after(services.move, other, user) == {"ipsec001"}
    assert after(services.cancel, user) == set()
    assert [revision for revision in applied if not revision.digest] == []


def test_revisions_from_before_the_digests_do_not_count_as_changed(ready, second_tunnel, user):
    services.apply(ready, user)
    services.apply(second_tunnel, user)
    Revision.objects.update(outcome=Outcome.LIVE, digest="")
    services.edit(second_tunnel, "phase_two_group", 14, user)
    Tunnel.objects.update(draft_digest="")
    assert changed_in_sql() == {"ipsec001", second_tunnel.name}

    call_command("digests")

    assert changed_in_sql() == changed_by_page() == {second_tunnel.name}


def test_the_digest_of_an_unchanged_specification_depends_on_the_key(ready, user, settings):
    services.edit(ready, "friendly_name", "Dallas", user)
    before = Tunnel.objects.get(pk=ready.pk).draft_digest
    settings.FINGERPRINT_KEY_FILE = settings.KEYS / "another.key"
    settings.FINGERPRINT_KEY_FILE.write_text(encryption.new_key())

    services.edit(ready, "friendly_name", "Houston", user)

    assert len(before) == 32
    assert Tunnel.objects.get(pk=ready.pk).draft_digest not in ("", before)
