"""The review shows each pending change with its interruption, and can revert every change."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.html import part, read, typed, words
from vpnportal import services
from vpnportal.models import DraftBackup, LastEdit, Revision, Subnet, Tunnel
from vpnportal.services import restore_draft, review_of

UNINTERRUPTED = "No interruption (make-before-break)"


@pytest.fixture
def live(ready, user, concentrator) -> Tunnel:
    """Return the mission's example, applied and up."""
    services.apply(ready, user)
    Revision.objects.update(outcome="live", finished_at=timezone.now())
    concentrator.seen_at = timezone.now()
    concentrator.save()
    Tunnel.objects.filter(pk=ready.pk).update(sa_status="up")
    return Tunnel.objects.get(pk=ready.pk)


def url(name: str, tunnel: Tunnel, *more: int) -> str:
    return reverse(name, args=[tunnel.pk, *more])


def rows(response) -> list[list[str]]:
    return [
        [" ".join("".join(cell.itertext()).split()).removesuffix(" Revert") for cell in row]
        for row in part(response, "review").iter("tr")
    ][1:]


def pending(tunnel: Tunnel) -> list[str]:
    state = services.state_of(Tunnel.objects.get(pk=tunnel.pk))
    return [change.field for change in state.pending]


@pytest.fixture
def changed(live, user) -> Tunnel:
    """Return the example with a pending change of every kind."""
    services.edit(live, "phase_one_encryption", "AES256", user)
    services.set_preshared_key(live, "another key", user)
    services.add_remote_subnet(live, IPv4Network("192.168.30.0/24"), user)
    services.set_translations(
        live, [services.TranslationRow(live.draft().translations[0].internal, None)], user
    )
    return Tunnel.objects.get(pk=live.pk)


def test_every_change_is_listed_with_its_values_and_its_interruption(changed, page):
    response = page.get(url("tunnel", changed))

    assert rows(response) == [
        ["Phase One Encryption", "3DES", "AES256", f"{UNINTERRUPTED}."],
        [
            "Protected Customer (Remote) Subnet",
            "192.168.10.0/24",
            "192.168.10.0/24, 192.168.30.0/24",
            f"{UNINTERRUPTED}.",
        ],
        ["Preshared Key", "\N{EN DASH}", "changed", f"{UNINTERRUPTED}."],
        [
            "Customer IP for 10.1.255.92",
            "192.168.10.15 database",
            "\N{EN DASH}",
            "Ends connections through 10.1.255.92.",
        ],
    ]
    summary = "4 changes. Ends connections through 10.1.255.92."
    assert words(response, "review").partition(summary)[1] == summary
    assert words(response, "pending").startswith("4 pending changes. Ends connections through ")


def test_changes_of_a_tunnel_that_is_down_interrupt_nothing(changed, page):
    Tunnel.objects.update(sa_status="down")

    response = page.get(url("tunnel", changed))

    assert {row[3] for row in rows(response)} == {"No interruption."}
    assert ". No interruption (tunnel is not running)." in words(response, "review")


def test_of_a_thousand_changes_all_are_counted_and_the_first_are_listed(live, user, page):
    nat = Subnet.objects.create(
        account=live.account, kind="static-nat", network=IPv4Network("10.1.240.0/22")
    )
    live.subnets.add(nat)
    services.add_remote_subnet(live, IPv4Network("172.16.0.0/20"), user)
    customer = IPv4Network("172.16.0.0/20")
    pasted = [
        services.TranslationRow(internal, customer[number])
        for number, internal in enumerate(nat.network, 1)
    ]
    services.set_translations(live, pasted, user)

    fresh = Tunnel.objects.get(pk=live.pk)
    review = review_of(fresh, services.state_of(fresh))

    assert review is not None
    assert (review.count, len(review.lines)) == (1026, 100)


def test_discard_restores_the_applied_values_and_undo_the_typed_ones(changed, page):
    seen = typed(page.get(url("tunnel", changed)), "seen")
    before = Tunnel.objects.get(pk=changed.pk).draft()

    response = page.post(url("discard", changed), {"seen": seen}, follow=True)

    assert pending(changed) == []
    message = "".join(part(response, "live").itertext())
    assert "Discarded: Phase One Encryption (AES256), " in message
    assert "another key" not in response.content.decode()
    assert "ada discarded the changes, " in words(response, "review")
    assert Tunnel.objects.get(pk=changed.pk).draft().preshared_key == "a key"

    page.post(url("undo", changed))

    assert Tunnel.objects.get(pk=changed.pk).draft() == before
    assert page.post(url("undo", changed)).status_code == 422


def test_revert_resets_one_change_and_keeps_the_others(changed, page):
    field = {"field": "preshared_key"}

    page.post(url("put-back", changed), field)

    assert pending(changed) == ["phase_one_encryption", "remote_subnets", "translation 10.1.255.92"]
    page.post(url("put-back", changed), {"field": "translation 10.1.255.92"})
    page.post(url("put-back", changed), {"field": "remote_subnets"})
    assert pending(changed) == ["phase_one_encryption"]
    assert page.post(url("put-back", changed), {"field": "hosted_peer"}).status_code == 302
    assert page.post(url("put-back", changed), {"field": "no such field"}).status_code == 302
    assert pending(changed) == ["phase_one_encryption"]


def test_undo_is_possible_until_the_next_edit(changed, page, bob):
    page.post(url("discard", changed))
    services.edit(changed, "phase_one_group", 14, bob)

    response = page.post(url("undo", changed))

    assert response.status_code == 422
    assert restore_draft.NOTHING_TO_UNDO in words(response, "problems")
    assert "discarded" not in words(response, "review")
    assert pending(changed) == ["phase_one_group"]


def test_a_draft_that_was_never_applied_cannot_be_discarded(ready, page):
    before = Tunnel.objects.filter(pk=ready.pk).values()[0]

    response = page.post(url("discard", ready))

    assert response.status_code == 422
    assert restore_draft.NOTHING_APPLIED in words(response, "problems")
    assert Tunnel.objects.filter(pk=ready.pk).values()[0] == before
    summaries = [summary.get("id") for summary in read(response).iter("summary")]
    assert "discard-summary" not in summaries


def test_discard_revert_undo_and_restore_are_refused_during_an_apply(changed, page, user):
    page.post(url("put-back", changed), {"field": "preshared_key"})
    services.apply(changed, user)
    before = [list(LastEdit.objects.values()), list(DraftBackup.objects.values())]

    responses = [
        page.post(url("discard", changed)),
        page.post(url("put-back", changed), {"field": "phase_one_encryption"}),
        page.post(url("undo", changed)),
        page.post(url("restore", changed, 1)),
    ]

    assert {response.status_code for response in responses} == {423}
    assert [list(LastEdit.objects.values()), list(DraftBackup.objects.values())] == before


def test_discard_keeps_the_tunnel_name_and_the_assigned_address(live, user):
    services.edit(live, "friendly_name", "Dallas", user)
    Tunnel.objects.filter(pk=live.pk).update(hosted_peer="203.0.113.77")
    services.edit(live, "phase_one_group", 14, user)

    services.discard(live, user)

    fresh = Tunnel.objects.get(pk=live.pk)
    assert (fresh.friendly_name, fresh.hosted_peer) == ("Dallas", "203.0.113.77")
    assert fresh.phase_one_group == 2
