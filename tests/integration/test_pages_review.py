"""The review tells each change with what it interrupts, and any of it can be taken back."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.html import part, read, typed, words
from vpnportal import services
from vpnportal.models import DraftBackup, LastEdit, Revision, Subnet, Tunnel
from vpnportal.services import restore_draft, review_of

KEPT = "No interruption (make-before-break)"


@pytest.fixture
def live(ready, user, concentrator) -> Tunnel:
    """The example, applied and up."""
    services.apply(ready, user)
    Revision.objects.update(outcome="live", finished_at=timezone.now())
    concentrator.seen_at = timezone.now()
    concentrator.save()
    Tunnel.objects.filter(pk=ready.pk).update(sa_status="up")
    return Tunnel.objects.get(pk=ready.pk)


def url(name: str, tunnel: Tunnel, *more: int) -> str:
    return reverse(name, args=[tunnel.pk, *more])


def rows(answer) -> list[list[str]]:
    return [
        [" ".join("".join(cell.itertext()).split()).removesuffix(" Put back") for cell in row]
        for row in part(answer, "review").iter("tr")
    ][1:]


def pending(tunnel: Tunnel) -> list[str]:
    return [one.field for one in services.state_of(Tunnel.objects.get(pk=tunnel.pk)).pending]


@pytest.fixture
def changed(live, user) -> Tunnel:
    """Something of every kind is changed and not applied."""
    services.edit(live, "phase_one_encryption", "AES256", user)
    services.set_preshared_key(live, "another key", user)
    services.add_remote_subnet(live, IPv4Network("192.168.30.0/24"), user)
    services.set_translations(
        live, [services.TranslationRow(live.draft().translations[0].internal, None)], user
    )
    return Tunnel.objects.get(pk=live.pk)


def test_every_change_is_told_before_and_after_with_what_it_interrupts(changed, page):
    answer = page.get(url("tunnel", changed))

    assert rows(answer) == [
        ["Phase One Encryption", "3DES", "AES256", f"{KEPT}."],
        [
            "Protected Customer (Remote) Subnet",
            "192.168.10.0/24",
            "192.168.10.0/24, 192.168.30.0/24",
            f"{KEPT}.",
        ],
        ["Preshared Key", "–", "changed", f"{KEPT}."],
        [
            "Customer IP for 10.1.255.92",
            "192.168.10.15 database",
            "nothing",
            "Ends connections through 10.1.255.92.",
        ],
    ]
    summary = "4 changes. Ends connections through 10.1.255.92."
    assert words(answer, "review").partition(summary)[1] == summary
    assert words(answer, "pending").startswith("4 changes not applied. Ends connections through ")


def test_the_tunnel_that_is_down_has_nothing_to_interrupt(changed, page):
    Tunnel.objects.update(sa_status="down")

    answer = page.get(url("tunnel", changed))

    assert {row[3] for row in rows(answer)} == {"No interruption."}
    assert ". No interruption (tunnel is not running)." in words(answer, "review")


def test_a_thousand_pasted_translations_are_counted_and_the_first_are_told(live, user, page):
    nat = Subnet.objects.create(
        account=live.account, kind="static-nat", network=IPv4Network("10.1.240.0/22")
    )
    live.subnets.add(nat)
    services.add_remote_subnet(live, IPv4Network("172.16.0.0/20"), user)
    beyond = IPv4Network("172.16.0.0/20")
    pasted = [services.TranslationRow(at, beyond[n + 1]) for n, at in enumerate(nat.network)]
    services.set_translations(live, pasted, user)

    fresh = Tunnel.objects.get(pk=live.pk)
    review = review_of(fresh, services.state_of(fresh))

    assert review is not None
    assert (review.count, len(review.lines)) == (1026, 100)


def test_discarding_brings_back_what_is_applied_and_undo_what_was_typed(changed, page):
    seen = typed(page.get(url("tunnel", changed)), "seen")
    typed_in = Tunnel.objects.get(pk=changed.pk).draft()

    answer = page.post(url("discard", changed), {"seen": seen}, follow=True)

    assert pending(changed) == []
    told = "".join(part(answer, "live").itertext())
    assert "Discarded: Phase One Encryption (AES256), " in told
    assert "another key" not in answer.content.decode()
    assert "ada discarded the changes, " in words(answer, "review")
    assert Tunnel.objects.get(pk=changed.pk).draft().preshared_key == "a key"

    page.post(url("undo", changed))

    assert Tunnel.objects.get(pk=changed.pk).draft() == typed_in
    assert page.post(url("undo", changed)).status_code == 422


def test_one_change_is_put_back_and_the_others_stay(changed, page):
    field = {"field": "preshared_key"}

    page.post(url("put-back", changed), field)

    assert pending(changed) == ["phase_one_encryption", "remote_subnets", "translation 10.1.255.92"]
    page.post(url("put-back", changed), {"field": "translation 10.1.255.92"})
    page.post(url("put-back", changed), {"field": "remote_subnets"})
    assert pending(changed) == ["phase_one_encryption"]
    assert page.post(url("put-back", changed), {"field": "hosted_peer"}).status_code == 302
    assert page.post(url("put-back", changed), {"field": "no such field"}).status_code == 302
    assert pending(changed) == ["phase_one_encryption"]


def test_an_undo_is_offered_only_until_somebody_edits_again(changed, page, bob):
    page.post(url("discard", changed))
    services.edit(changed, "phase_one_group", 14, bob)

    answer = page.post(url("undo", changed))

    assert answer.status_code == 422
    assert restore_draft.NOTHING_TO_UNDO in words(answer, "problems")
    assert "discarded" not in words(answer, "review")
    assert pending(changed) == ["phase_one_group"]


def test_a_draft_that_was_never_applied_has_nothing_to_go_back_to(ready, page):
    before = Tunnel.objects.filter(pk=ready.pk).values()[0]

    answer = page.post(url("discard", ready))

    assert answer.status_code == 422
    assert restore_draft.NOTHING_APPLIED in words(answer, "problems")
    assert Tunnel.objects.filter(pk=ready.pk).values()[0] == before
    assert not [e for e in read(answer).iter("summary") if e.get("id") == "discard-summary"]


def test_nothing_is_discarded_restored_or_undone_while_a_configuration_is_applied(
    changed, page, user
):
    page.post(url("put-back", changed), {"field": "preshared_key"})
    services.apply(changed, user)
    before = [list(LastEdit.objects.values()), list(DraftBackup.objects.values())]

    answers = [
        page.post(url("discard", changed)),
        page.post(url("put-back", changed), {"field": "phase_one_encryption"}),
        page.post(url("undo", changed)),
        page.post(url("restore", changed, 1)),
    ]

    assert {answer.status_code for answer in answers} == {423}
    assert [list(LastEdit.objects.values()), list(DraftBackup.objects.values())] == before


def test_what_is_not_part_of_a_revision_and_what_the_provider_assigned_stays(live, user):
    services.edit(live, "friendly_name", "Dallas", user)
    Tunnel.objects.filter(pk=live.pk).update(hosted_peer="203.0.113.77")
    services.edit(live, "phase_one_group", 14, user)

    services.discard(live, user)

    fresh = Tunnel.objects.get(pk=live.pk)
    assert (fresh.friendly_name, fresh.hosted_peer) == ("Dallas", "203.0.113.77")
    assert fresh.phase_one_group == 2
