"""Claims of remote networks: who may reserve which network, for how long, and what others learn."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Network
from itertools import product

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.integration.conftest import make_tunnel, member
from tests.portal_processes import Portal, run_at_once
from vpnportal import services
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.fields import Sealed
from vpnportal.models import (
    Account,
    Concentrator,
    NetworkGrant,
    RemoteClaim,
    Revision,
    Role,
    Tunnel,
    remote_claims,
)
from vpnportal.models.remote_claims import RemoteClaimQuerySet
from vpnportal.reconciler import reconcile, sa_status_store

Outcome = Revision.Outcome
NETWORK = "192.168.10.0/24"
REFUSAL = (
    f"{NETWORK} overlaps addresses of another tunnel of this concentrator. Use another remote "
    "subnet, or switch on Translated access only: the tunnel then reserves none."
)
CANARIES = ("Canary", "ipsec777", "canary-tunnel", "192.168.8.0/21", "198.51.100.77")
# Four accounts with the same network.
SEED = """
from ipaddress import IPv4Network
from django.contrib.auth.models import User
from vpnportal.fields import Sealed
from vpnportal.models import *
User.objects.create_user("ada")
houston = Datacenter.objects.create(name="hou02", long_name="Houston 2")
concentrator = Concentrator.objects.create(
    name="hou02-vpn01", datacenter=houston, public_address="203.0.113.1"
)
for number in range(4):
    account = Account.objects.create(name=f"Account {number}")
    tunnel = Tunnel.objects.create(
        account=account,
        concentrator=concentrator,
        name=f"ipsec00{number}",
        hosted_peer=f"203.0.113.{number + 10}",
        remote_peer=f"198.51.100.{number + 10}",
    )
    tunnel.preshared_key = Sealed.of("a key", tunnel.preshared_key_context)
    tunnel.save()
    for kind, network in (("hosted", f"10.{number}.0.0/24"), ("customer", "192.168.1.0/24")):
        network = IPv4Network(network)
        tunnel.subnets.add(Subnet.objects.create(account=account, kind=kind, network=network))
"""
APPLY = """
from unittest.mock import patch
from django.contrib.auth.models import User
from vpnportal import services
from vpnportal.models import *
tunnel, ada = Tunnel.objects.get(name="ipsec00{}"), User.objects.get()
print("ready", flush=True)
input()
try:
    with patch("vpnportal.tasks.request_converge"):
        services.apply(tunnel, ada)
except services.Refused as refused:
    print(refused)
else:
    print("applied")
"""
pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]


@pytest.fixture
def stranger(concentrator) -> User:
    """Return the user of an account whose tunnel has canaries for everything it is made of."""
    return member(Account.objects.create(name="Canary"), "canary-user", Role.OPERATOR)


@pytest.fixture
def other(stranger, concentrator) -> Tunnel:
    """Return the stranger's tunnel, whose remote subnet contains the one of `ready`."""
    account = Account.objects.get(name="Canary")
    tunnel = make_tunnel(
        account, concentrator, "ipsec777", hosted="10.77.0.0/24", customer="192.168.8.0/21"
    )
    tunnel.hosted_peer, tunnel.remote_peer = "203.0.113.77", "198.51.100.77"
    tunnel.friendly_name = "canary-tunnel"
    tunnel.preshared_key = Sealed.of("canary key", tunnel.preshared_key_context)
    tunnel.save()
    return tunnel


def on_kernel_plane(concentrator: Concentrator, kernel: bool = True) -> None:
    sa_status_store.save_online(concentrator, userland_esp=not kernel)


def switch(tunnel: Tunnel, on: bool, author: User) -> None:
    services.edit(tunnel, "translated_only", on, author)


def make_live(tunnel: Tunnel, author: User) -> Revision:
    revision = services.apply(tunnel, author)
    finish(revision)
    return revision


def finish(revision: Revision) -> None:
    older = revision.tunnel.revisions.holding().exclude(pk=revision.pk)
    older.update(outcome=Outcome.REPLACED)
    Revision.objects.filter(pk=revision.pk).update(outcome=Outcome.LIVE, finished_at=timezone.now())


def see(tunnel: Tunnel, status: SaStatus) -> None:
    """Save an SA status as the monitor does."""
    at = timezone.now()
    sa_status_store.save_one(tunnel.concentrator, tunnel.pk, {tunnel.pk: status}, at)


def let_pass(tunnel: Tunnel, days: float) -> None:
    """Shift the reservation of a tunnel as if `days` had passed."""
    until = Tunnel.objects.get(pk=tunnel.pk).claims_until
    if until is not None:
        shifted = until - timedelta(days=days)
        Tunnel.objects.filter(pk=tunnel.pk).update(claims_until=shifted)


def refusals(tunnel: Tunnel, author: User) -> list[str]:
    with pytest.raises(services.Refused) as refusal:
        services.apply(tunnel, author)
    return [problem.text for problem in refusal.value.problems]


# Who may have which network


@pytest.mark.parametrize("first_only", [False, True])
@pytest.mark.parametrize("second_only", [False, True])
def test_equal_networks_are_refused_only_if_both_tunnels_reserve_theirs(
    ready, other, user, stranger, concentrator, first_only, second_only
):
    on_kernel_plane(concentrator)
    switch(other, first_only, stranger)
    make_live(other, stranger)
    switch(ready, second_only, user)

    if first_only or second_only:
        assert services.apply(ready, user).number == 1
    else:
        assert refusals(ready, user) == [REFUSAL]


def test_a_tunnel_with_translated_access_only_claims_no_network(ready, user, concentrator):
    switch(ready, True, user)
    revision = services.apply(ready, user)

    assert list(revision.claims.values_list("is_peer", flat=True)) == [True]
    assert revision.spec().translated_only


def test_with_userland_esp_equal_networks_and_the_option_are_refused_in_words(
    ready, other, user, stranger, concentrator
):
    on_kernel_plane(concentrator, kernel=False)
    make_live(other, stranger)

    (text,) = refusals(ready, user)
    assert text == (
        f"{NETWORK} overlaps addresses of another tunnel of this concentrator. Use another remote "
        "subnet. Tunnels with equal subnets need a concentrator with ESP in the kernel: ask the "
        "service operators."
    )
    switch(ready, True, user)
    with pytest.raises(services.Refused) as refusal:
        services.apply(ready, user)
    (problem,) = refusal.value.problems
    assert problem.field == "translated_only"
    assert "its ESP runs in user space" in problem.text


def test_the_order_gives_a_new_tunnel_the_default_of_the_site(
    account, concentrator, user, settings
):
    settings.TRANSLATED_ONLY_DEFAULT = True
    for kind, network in (("hosted-peer", "203.0.113.16/28"), ("static-nat", "10.1.248.0/24")):
        concentrator.pools.create(kind=kind, network=IPv4Network(network))

    on_kernel_plane(concentrator)
    assert services.order(account, concentrator.datacenter, user).translated_only
    on_kernel_plane(concentrator, kernel=False)
    assert not services.order(account, concentrator.datacenter, user).translated_only
    settings.TRANSLATED_ONLY_DEFAULT = False
    on_kernel_plane(concentrator)
    assert not services.order(account, concentrator.datacenter, user).translated_only


# What a refusal tells


def everything_shown(client: Client, tunnel: Tunnel) -> str:
    """Return the answers of an apply, with and without JavaScript, and the pages of the tunnel."""
    url, headers = reverse("apply", args=[tunnel.pk]), {"HX-Request": "true"}
    answers = [client.post(url, {}, headers=headers), client.post(url)]
    names = ("tunnel", "history", "other-end", "hand-over")
    answers += [client.get(reverse(name, args=[tunnel.pk])) for name in names]
    return "".join(answer.content.decode() for answer in answers)


@pytest.mark.parametrize("kernel", [True, False])
def test_a_refusal_shows_nothing_of_the_other_account(
    ready, other, user, stranger, concentrator, page, kernel
):
    on_kernel_plane(concentrator, kernel)
    make_live(other, stranger)

    shown = everything_shown(page, ready)

    assert f"{NETWORK} overlaps addresses of another tunnel of this concentrator." in shown
    for canary in CANARIES:
        assert canary not in shown


def test_the_text_is_the_same_for_a_member_of_both_accounts_and_for_a_part_of_the_network(
    ready, other, user, stranger, concentrator
):
    on_kernel_plane(concentrator)
    make_live(other, stranger)
    both = member(ready.account, "both", Role.OWNER)
    other.account.memberships.create(user=both, role=Role.OWNER)
    superuser = User.objects.create_superuser("otto", password="a password for the tests")

    assert refusals(ready, user) == refusals(ready, both) == refusals(ready, superuser) == [REFUSAL]
    wide = IPv4Network("192.168.0.0/16")
    services.remove_remote_subnet(ready, ready.subnets.get(network=NETWORK).pk, user)
    services.set_translations(
        ready,
        [services.TranslationRow(row.internal, None) for row in ready.draft().translations],
        user,
    )
    services.add_remote_subnet(ready, wide, user)
    assert refusals(ready, user) == [REFUSAL.replace(NETWORK, str(wide))]


def test_a_tunnel_of_the_same_account_is_named(ready, second_tunnel, user, concentrator):
    services.apply(second_tunnel, user)
    services.add_remote_subnet(ready, IPv4Network("192.168.20.0/25"), user)

    (text,) = refusals(ready, user)
    assert text.startswith("192.168.20.0/25 overlaps addresses of the tunnel ipsec002. Use another")


def test_a_refused_apply_changes_nothing(ready, other, user, stranger, concentrator):
    make_live(other, stranger)
    before = Tunnel.objects.filter(pk=ready.pk).values().get()

    refusals(ready, user)

    assert not ready.revisions.exists()
    assert {**Tunnel.objects.filter(pk=ready.pk).values().get(), "mark": 0} == {
        **before,
        "mark": 0,
    }


# How long a claim counts


def test_a_tunnel_that_was_never_up_loses_its_network_only_after_its_days(
    ready, other, user, stranger, concentrator, settings
):
    on_kernel_plane(concentrator)
    lost = make_live(other, stranger)
    let_pass(other, settings.CLAIM_DAYS - 0.1)
    assert refusals(ready, user) == [REFUSAL]

    let_pass(other, 0.2)
    services.apply(ready, user)

    lost.refresh_from_db()
    assert lost.outcome == Outcome.FAILED
    assert lost.reason == (
        "The tunnel was not up within 7 days, so it no longer reserves 192.168.8.0/21, and another "
        "tunnel uses that now. Use another remote subnet, or switch on Translated access only. "
        "Then apply again."
    )
    (text,) = refusals(other, stranger)
    assert text.startswith("192.168.8.0/21 overlaps addresses of another tunnel of this concent")
    switch(other, True, stranger)
    assert services.apply(other, stranger).number == 2


def test_the_worker_removes_the_tunnel_that_lost_its_network(
    ready, other, user, stranger, concentrator, gateway, django_capture_on_commit_callbacks
):
    gateway.peer_answers = False
    services.apply(other, stranger)
    reconcile.converge(concentrator.pk)
    assert f"ctx{other.pk}" in gateway.connections
    let_pass(other, 8)

    services.apply(ready, user)
    reconcile.converge(concentrator.pk, other.pk)
    reconcile.converge(concentrator.pk, ready.pk)

    assert set(gateway.connections) == {f"ctx{ready.pk}"}


@pytest.mark.parametrize("status", [SaStatus.UP, SaStatus.PARTIAL, SaStatus.OLDER])
def test_a_tunnel_that_was_up_once_keeps_its_network(
    ready, other, user, stranger, concentrator, status
):
    make_live(other, stranger)
    see(other, status)
    see(other, SaStatus.DOWN)
    let_pass(other, 1000)

    assert refusals(ready, user)
    assert other.revisions.get().outcome == Outcome.LIVE


@pytest.mark.parametrize("status", [SaStatus.CONNECTING, SaStatus.DOWN])
def test_a_tunnel_that_only_tried_is_not_up(ready, other, user, stranger, concentrator, status):
    make_live(other, stranger)
    see(other, status)
    let_pass(other, 8)

    services.apply(ready, user)


def test_another_apply_does_not_begin_the_time_again(ready, other, user, stranger, concentrator):
    make_live(other, stranger)
    let_pass(other, 6)
    services.edit(other, "dpd_seconds", 20, stranger)
    make_live(other, stranger)
    let_pass(other, 2)

    services.apply(ready, user)

    assert [row.outcome for row in other.revisions.order_by("number")] == [
        Outcome.REPLACED,
        Outcome.FAILED,
    ]


def test_the_time_of_a_tunnel_that_reserved_nothing_begins_with_its_first_network(
    ready, other, user, stranger, concentrator
):
    on_kernel_plane(concentrator)
    switch(other, True, stranger)
    make_live(other, stranger)
    let_pass(other, 100)
    switch(other, False, stranger)
    make_live(other, stranger)

    assert refusals(ready, user) == [REFUSAL]


def test_a_tunnel_that_was_live_before_claims_had_an_end_keeps_its_network(
    ready, other, user, stranger, concentrator
):
    make_live(other, stranger)
    Tunnel.objects.filter(pk=other.pk).update(claims_until=None)
    services.edit(other, "dpd_seconds", 20, stranger)
    make_live(other, stranger)

    assert Tunnel.objects.get(pk=other.pk).claims_until is None
    assert refusals(ready, user)


def test_a_revision_that_charon_refuses_after_it_was_up_keeps_its_network_for_days(
    ready, other, user, stranger, concentrator, settings
):
    revision = make_live(other, stranger)
    see(other, SaStatus.UP)
    row = Revision.objects.filter(pk=revision.pk)
    now = timezone.now()
    row.update(outcome=Outcome.FAILED, first_up_at=now, finished_at=now)
    assert refusals(ready, user)
    again = services.apply(other, stranger)
    Revision.objects.filter(pk=again.pk).update(outcome=Outcome.FAILED, finished_at=now)
    assert refusals(ready, user)

    row.update(finished_at=now - timedelta(days=settings.CLAIM_DAYS, hours=1))
    services.apply(ready, user)


def test_the_page_says_until_when_the_networks_are_reserved(ready, user, page, settings):
    url = reverse("tunnel", args=[ready.pk])
    assert "reserved for this tunnel until" not in page.get(url).content.decode()
    make_live(ready, user)
    assert "reserved for this tunnel until" in page.get(url).content.decode()
    let_pass(ready, 8)
    assert "another tunnel may take its remote subnets" in page.get(url).content.decode()
    see(ready, SaStatus.UP)
    shown = page.get(url).content.decode()
    assert "may take" not in shown
    assert "reserved for this tunnel" not in shown


# Public and large networks


@pytest.mark.parametrize(
    ("network", "reason", "granted"),
    [
        ("8.8.8.0/24", "has public addresses", "8.8.0.0/16"),
        ("64.0.0.0/7", "is larger than a /8", "64.0.0.0/7"),
    ],
)
def test_a_public_or_very_large_network_needs_a_grant(
    ready, user, concentrator, account, network, reason, granted
):
    on_kernel_plane(concentrator)
    services.add_remote_subnet(ready, IPv4Network(network), user)
    (text,) = refusals(ready, user)
    assert text == (
        f"{network} {reason}. Only the service operators can reserve it for this account: ask them "
        "for a grant. Use another remote subnet, or switch on Translated access only: the tunnel "
        "then reserves none."
    )

    NetworkGrant.objects.create(account=account, network=IPv4Network(granted))
    services.apply(ready, user)


def test_a_grant_is_of_one_account(ready, other, user, concentrator):
    NetworkGrant.objects.create(account=other.account, network=IPv4Network("8.8.8.0/24"))
    services.add_remote_subnet(ready, IPv4Network("8.8.8.0/24"), user)

    assert refusals(ready, user)


def test_what_reserves_nothing_needs_no_grant(ready, user, concentrator):
    on_kernel_plane(concentrator)
    services.add_remote_subnet(ready, IPv4Network("8.8.8.0/24"), user)
    switch(ready, True, user)

    services.apply(ready, user)


# Peers


def test_a_network_with_the_peer_of_another_tunnel_is_refused(
    ready, other, user, stranger, concentrator
):
    on_kernel_plane(concentrator)
    make_live(other, stranger)
    services.add_remote_subnet(ready, IPv4Network("198.51.100.0/24"), user)
    texts = refusals(ready, user)
    assert REFUSAL.replace(NETWORK, "198.51.100.0/24") in texts
    for canary in CANARIES:
        assert canary not in " ".join(texts)


def test_a_peer_that_came_later_does_not_stop_the_applies_of_the_network(
    ready, other, user, stranger, concentrator
):
    on_kernel_plane(concentrator)
    switch(other, True, stranger)
    services.add_remote_subnet(ready, IPv4Network("198.51.100.0/24"), user)
    make_live(ready, user)
    make_live(other, stranger)
    services.edit(ready, "dpd_seconds", 20, user)

    assert services.apply(ready, user).number == 2


def test_with_userland_esp_a_peer_in_the_network_of_another_tunnel_is_refused(
    ready, other, user, stranger, concentrator
):
    on_kernel_plane(concentrator, kernel=False)
    services.remove_remote_subnet(other, other.subnets.get(kind="customer").pk, stranger)
    services.add_remote_subnet(ready, IPv4Network("198.51.100.0/24"), user)
    services.add_remote_subnet(other, IPv4Network("172.16.0.0/24"), stranger)
    make_live(ready, user)

    (text,) = refusals(other, stranger)
    assert text == (
        "198.51.100.77 is in a remote subnet of another tunnel of this concentrator, so it cannot "
        "be a peer of this concentrator. Ask the service operators for another concentrator."
    )


# Restore, undo, moves and trials


def test_a_restored_revision_whose_network_another_tunnel_has_is_refused(
    ready, other, user, stranger, concentrator
):
    on_kernel_plane(concentrator)
    first = make_live(ready, user)
    switch(ready, True, user)
    make_live(ready, user)
    make_live(other, stranger)

    services.restore(ready, first, user)
    assert not Tunnel.objects.get(pk=ready.pk).translated_only
    assert refusals(ready, user) == [REFUSAL]
    services.undo(ready, user)
    assert Tunnel.objects.get(pk=ready.pk).translated_only
    assert not services.state_of(Tunnel.objects.get(pk=ready.pk)).pending
    assert ready.revisions.get(number=2).outcome == Outcome.LIVE


def test_a_moved_tunnel_needs_its_network_at_the_new_concentrator_and_keeps_the_old_one(
    ready, second_tunnel, other, user, stranger, concentrator
):
    new = Concentrator.objects.create(
        name="hou02-vpn02", datacenter=concentrator.datacenter, public_address="203.0.113.5"
    )
    new.pools.create(kind="hosted-peer", network=IPv4Network("203.0.113.32/28"))
    on_kernel_plane(new)
    on_kernel_plane(concentrator)
    services.move(other, new, stranger)
    make_live(other, stranger)
    make_live(ready, user)

    services.move(ready, new, user)
    assert refusals(ready, user) == [REFUSAL]
    services.add_remote_subnet(second_tunnel, IPv4Network(NETWORK), user)
    assert refusals(second_tunnel, user)[0].startswith(
        f"{NETWORK} overlaps addresses of the tunnel"
    )

    switch(ready, True, user)
    moved = services.apply(ready, user)
    assert refusals(second_tunnel, user)
    finish(moved)
    services.apply(second_tunnel, user)


def test_nobody_takes_the_network_of_a_revision_that_a_trial_may_restore(
    ready, other, user, stranger, concentrator, gateway
):
    services.apply(ready, user)
    reconcile.converge(concentrator.pk)
    reconcile.converge(concentrator.pk)
    on_kernel_plane(concentrator)
    switch(ready, True, user)
    services.apply(ready, user, services.Trial(5))
    reconcile.converge(concentrator.pk)
    wide = refusals(other, stranger)
    assert wide == [REFUSAL.replace(NETWORK, "192.168.8.0/21")]

    gateway.ike_sas.clear()
    Revision.objects.filter(trial_ends_at__isnull=False).update(trial_ends_at=timezone.now())
    reconcile.converge(concentrator.pk, ready.pk)

    restored = ready.revisions.get(restored_number=1)
    assert restored.outcome in Revision.HOLDING
    assert refusals(other, stranger) == wide


def test_a_failed_trial_does_not_take_the_network_that_another_tunnel_has_since(
    ready, other, user, stranger, concentrator, gateway
):
    """The last good revision is no fallback if its network has another tunnel."""
    services.apply(ready, user)
    reconcile.converge(concentrator.pk)
    reconcile.converge(concentrator.pk)
    on_kernel_plane(concentrator)
    switch(ready, True, user)
    gateway.peer_answers = False
    second = services.apply(ready, user)
    finish(second)
    make_live(other, stranger)
    see(ready, SaStatus.DOWN)
    services.edit(ready, "dpd_seconds", 20, user)
    services.apply(ready, user, services.Trial(5))
    reconcile.converge(concentrator.pk, ready.pk)

    assert ready.revisions.get(number=1).outcome == Outcome.REPLACED
    assert ready.revisions.get(number=2).outcome == Outcome.FALLBACK
    assert other.revisions.get().outcome == Outcome.LIVE


def test_a_revision_of_a_concentrator_that_the_tunnel_left_is_no_fallback(
    ready, other, user, stranger, concentrator, gateway
):
    services.apply(ready, user)
    reconcile.converge(concentrator.pk)
    reconcile.converge(concentrator.pk)
    new = Concentrator.objects.create(
        name="hou02-vpn02", datacenter=concentrator.datacenter, public_address="203.0.113.5"
    )
    new.pools.create(kind="hosted-peer", network=IPv4Network("203.0.113.32/28"))
    services.move(ready, new, user)
    gateway.peer_answers = False
    finish(services.apply(ready, user))
    gateway.connections.clear()
    gateway.secrets.clear()
    gateway.ike_sas.clear()
    gateway.elements.clear()
    reconcile.converge(concentrator.pk)
    assert not ready.releases.open().exists()
    see(Tunnel.objects.get(pk=ready.pk), SaStatus.DOWN)

    services.edit(ready, "dpd_seconds", 20, user)
    services.apply(ready, user, services.Trial(5))
    reconcile.converge(new.pk, ready.pk)

    assert ready.revisions.get(number=1).outcome == Outcome.REPLACED
    assert ready.revisions.get(number=2).outcome == Outcome.FALLBACK


# Cost and races


def test_an_apply_asks_as_often_with_many_tunnels_as_with_one(
    ready, user, concentrator, account, django_assert_max_num_queries
):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            make_live(ready, user)
        services.edit(ready, "dpd_seconds", 20 + len(captured), user)
        return len(captured)

    alone = [queries() for _ in range(2)][-1]
    for number in range(20, 40):
        tunnel = make_tunnel(account, concentrator, f"ipsec{number:03}")
        revision = Revision.objects.create(
            tunnel=tunnel,
            concentrator=concentrator,
            number=1,
            hosted_peer=tunnel.hosted_peer,
            remote_peer=f"198.51.100.{number}",
            outcome=Outcome.LIVE,
        )
        RemoteClaim.of(revision, IPv4Network(f"172.16.{number}.0/24")).save()

    assert queries() == alone


@pytest.mark.django_db(False)
def test_of_four_applies_of_one_network_at_once_one_succeeds(tmp_path):
    portal = Portal(tmp_path)
    portal.run("keys")
    portal.run("shell", "-v0", "-c", SEED)
    workers = [portal.start(APPLY.format(number)) for number in range(4)]

    results = sorted(run_at_once(workers))

    assert results == [*[REFUSAL.replace(NETWORK, "192.168.1.0/24")] * 3, "applied"]


@pytest.mark.parametrize("max_ids", [500, 0])
def test_claims_overlap_exactly_the_networks_that_they_share_an_address_with(
    ready, user, concentrator, monkeypatch, max_ids
):
    monkeypatch.setattr(remote_claims, "MAX_IDS", max_ids)
    revision = make_live(ready, user)
    RemoteClaim.objects.all().delete()
    networks = {
        IPv4Network((high << 28 | low << 8, bits), strict=False)
        for bits in (4, 8, 16, 22, 23, 24, 31, 32)
        for high, low in product((1, 2, 10, 15), range(6))
    }
    RemoteClaim.objects.bulk_create(RemoteClaim.of(revision, network) for network in networks)

    def found(claims: RemoteClaimQuerySet) -> set[int]:
        return {claim.first << 32 | claim.last for claim in claims}

    def ends(network: IPv4Network) -> int:
        return int(network.network_address) << 32 | int(network.broadcast_address)

    for network in networks:
        overlapping = {ends(other) for other in networks if other.overlaps(network)}
        assert found(RemoteClaim.objects.overlapping([network])) == overlapping
        containing = {ends(other) for other in networks if network.subnet_of(other)}
        assert found(RemoteClaim.objects.covering(network)) == containing
