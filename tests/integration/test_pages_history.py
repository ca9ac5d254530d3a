"""The history has every revision with its changes and its result, and restores it to the draft."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.html import part, read, typed, words
from vpnportal import services
from vpnportal.fields import Sealed
from vpnportal.models import Account, DraftBackup, Membership, Revision, Subnet, Tunnel

CANARY = "canary-in-the-coal-mine-7f3a"


@pytest.fixture
def thrice(ready, user, bob) -> Tunnel:
    """Three revisions: the first, one with another cipher and key, a failed one with a network."""
    services.apply(ready, user)
    Revision.objects.update(outcome="replaced")
    services.edit(ready, "phase_one_encryption", "AES256", bob)
    services.set_preshared_key(ready, CANARY, bob)
    services.apply(ready, bob)
    Revision.objects.filter(number=2).update(outcome="live")
    services.add_remote_subnet(ready, IPv4Network("192.168.30.0/24"), user)
    services.apply(ready, user)
    steps = [{"at": "2026-01-01T10:00:00", "text": "charon refused it", "ok": False}]
    Revision.objects.filter(number=3).update(
        outcome="failed", reason="charon refused the connection.", steps=steps
    )
    return Tunnel.objects.get(pk=ready.pk)


def url(name: str, tunnel: Tunnel, *more: int) -> str:
    return reverse(name, args=[tunnel.pk, *more])


def text(element) -> str:
    return " ".join(" ".join(element.itertext()).split())


def listed(response) -> list[str]:
    """Return the texts of the revisions in the history."""
    (history,) = [ol for ol in read(response).iter("ol") if ol.get("class") == "history"]
    return [text(item) for item in history if item.get("class") != "entry-details"]


def draft(tunnel: Tunnel):
    return Tunnel.objects.get(pk=tunnel.pk).draft()


def test_every_revision_is_listed_with_its_author_its_outcome_and_its_changes(thrice, page):
    response = page.get(url("history", thrice))

    lines = listed(response)
    assert [line.partition(" ada, ")[0].partition(" bob, ")[0] for line in lines] == [
        "Revision 3 Failed 1 change",
        "Revision 2 Live 2 changes",
        "Revision 1 Replaced Initial",
    ]
    assert [("bob, " in line) for line in lines] == [False, True, False]
    assert "charon refused the connection." in text(part(response, "main"))
    assert "Preshared Key – changed" in text(part(response, "changes-2"))
    assert listed(page.get(url("tunnel", thrice))) == lines
    assert "View all" in words(page.get(url("tunnel", thrice)), "recent")


def test_the_page_of_a_revision_has_its_steps_and_its_reason(thrice, page):
    content = text(part(page.get(url("revision", thrice, 3)), "main"))

    assert "Result Failed" in content
    assert "charon refused the connection." in content
    assert "Failed: charon refused it" in content
    assert "192.168.10.0/24, 192.168.30.0/24" in content


def test_an_automatic_rollback_says_so(thrice, page, user):
    rollback = Revision.next_for(thrice, Revision.objects.get(number=1).spec(), None)
    rollback.restored_number = 1
    rollback.save()

    response = page.get(url("history", thrice))

    assert listed(response)[0].startswith(
        "Revision 4 Queued 3 changes; restores revision 1 Automatic rollback, "
    )
    content = text(part(page.get(url("revision", thrice, 4)), "main"))
    assert "Automatic rollback to revision 1, " in content


def test_two_revisions_are_compared_in_either_order(thrice, page):
    for one, other in ((1, 3), (3, 1)):
        response = page.get(url("history", thrice), {"one": one, "other": other})

        content = text(part(response, "main"))
        assert "From revision 1 to revision 3" in content
        assert "Phase One Encryption 3DES AES256" in content
        assert "Preshared Key – changed" in content


@pytest.mark.parametrize(
    ("one", "other"), [("1", ""), ("1", "1"), ("1", "9"), ("x", "2"), ("9" * 40, "2"), ("١", "2")]
)
def test_unknown_revisions_are_not_compared_and_the_typed_numbers_stay(thrice, page, one, other):
    response = page.get(url("history", thrice), {"one": one, "other": other})

    assert response.status_code == 422
    assert words(response, "note-compare") == "Enter the numbers of two revisions, from 1 to 3."
    assert (typed(response, "one"), typed(response, "other")) == (one, other)


def test_restore_copies_a_revision_with_its_key_to_the_draft_and_applies_nothing(thrice, page):
    response = page.get(url("revision", thrice, 1))
    assert "Phase One Encryption AES256 3DES" in text(part(response, "main"))

    response = page.post(url("restore", thrice, 1), {"seen": typed(response, "seen")}, follow=True)

    assert draft(thrice) == Revision.objects.get(number=1).spec()
    assert draft(thrice).preshared_key == "a key"
    assert Revision.objects.count() == 3
    message = words(response, "live")
    assert message.startswith("Restored revision 1: Phase One Encryption (AES256), ")
    assert message.endswith("Nothing is applied yet.")
    assert "ada restored revision 1, " in words(response, "review")


def test_undo_brings_back_the_draft_before_the_restore(thrice, page):
    before = draft(thrice)
    page.post(url("restore", thrice, 1))

    page.post(url("undo", thrice))

    assert draft(thrice) == before


def test_restore_leaves_out_subnets_that_the_account_no_longer_has_and_names_them(thrice, page):
    Subnet.objects.filter(network="10.2.0.0/24").delete()
    own = Subnet.objects.create(
        account=thrice.account, kind="hosted", network=IPv4Network("10.4.0.0/24")
    )
    thrice.subnets.set([own])
    thrice.translations.all().delete()

    response = page.get(url("revision", thrice, 1))
    restored = page.post(url("restore", thrice, 1), follow=True)

    hosted = "Left out: 10.2.0.0/24 is no longer a subnet of this account."
    row = "Left out: 10.1.255.92 is no longer in a static NAT subnet of this tunnel."
    change = "Protected private (hosted) subnets 10.4.0.0/24 \N{EN DASH}"
    assert change in text(part(response, "main"))
    for shown in (text(part(response, "main")), words(restored, "live")):
        assert hosted in shown
        assert row in shown
    assert draft(thrice).hosted_subnets == ()
    assert draft(thrice).translations == ()
    assert draft(thrice).remote_subnets == (IPv4Network("192.168.10.0/24"),)


def test_restore_restores_every_field_of_a_specification(ready, user):
    services.apply(ready, user)
    Revision.objects.update(outcome="live")
    applied = Revision.objects.get().spec()
    other = {
        "remote_peer": "203.0.113.9",
        "ike_version": 2,
        "one_child_per_pair": True,
        "dpd_seconds": 0,
        "starts": "other",
        "translated_only": True,
        "phase_one_encryption": "AES256",
        "phase_one_authentication": "SHA256",
        "phase_one_group": 14,
        "phase_one_keylife": 7200,
        "phase_two_encryption": "AES256",
        "phase_two_authentication": "SHA256",
        "phase_two_pfs": False,
        "phase_two_group": 14,
        "phase_two_keylife": 1800,
    }
    names = services.EDITABLE_FIELDS - {"friendly_name", "notes"}
    assert set(other) == names, "a new field of the draft needs another value here"
    for name, value in other.items():
        services.edit(ready, name, value, user)
    services.set_preshared_key(ready, "another", user)
    extra = Subnet.objects.create(
        account=ready.account, kind="hosted", network=IPv4Network("10.4.0.0/24")
    )
    ready.subnets.add(extra)
    services.add_remote_subnet(ready, IPv4Network("192.168.30.0/24"), user)
    gone = ready.subnets.get(network="192.168.10.0/24").pk
    services.remove_remote_subnet(ready, gone, user)
    services.set_translations(
        ready, [services.TranslationRow(IPv4Address("10.1.255.92"), None)], user
    )

    services.restore(ready, Revision.objects.get(), user)

    assert draft(ready) == applied
    assert not Subnet.objects.filter(network="192.168.30.0/24").exists()


def test_a_failed_restore_changes_nothing(thrice, user, monkeypatch):
    before = draft(thrice)

    def fail(*_: object) -> None:
        raise RuntimeError("the database is gone")

    monkeypatch.setattr("vpnportal.services.restore_draft.note_edits", fail)
    with pytest.raises(RuntimeError):
        services.restore(thrice, Revision.objects.get(number=1), user)

    assert draft(thrice) == before


def test_the_revision_of_another_tunnel_is_never_restored(thrice, second_tunnel, user, page):
    services.apply(second_tunnel, user)
    foreign = second_tunnel.latest()
    with pytest.raises(ValueError, match="is not of"):
        services.restore(thrice, foreign, user)

    assert page.get(url("revision", second_tunnel, 3)).status_code == 404
    assert page.post(url("restore", second_tunnel, 3)).status_code == 404


def test_a_stranger_gets_no_revision_by_its_number(thrice, stranger):
    other = Account.objects.get(name="Another account")
    mine = Tunnel.objects.create(
        account=other, concentrator=thrice.concentrator, name="ipsec009", hosted_peer="203.0.113.99"
    )
    assert Membership.objects.filter(account=other).exists()

    responses = [stranger.get(url(name, thrice)) for name in ("history", "tunnel")]
    responses += [stranger.get(url("revision", thrice, n)) for n in (1, 2, 3)]
    responses += [stranger.get(url("revision", mine, n)) for n in (1, 2, 3)]
    responses += [stranger.post(url("restore", mine, n)) for n in (1, 2, 3)]

    assert {response.status_code for response in responses} == {404}
    assert "Revision 1" not in text(part(stranger.get(url("history", mine)), "main"))


def test_a_viewer_can_read_the_history_and_change_nothing(thrice, viewer):
    for response in (viewer.get(url("history", thrice)), viewer.get(url("revision", thrice, 1))):
        buttons = [text(e) for e in read(response).iter("button")]
        assert set(buttons) <= {"Sign out", "Compare"}


def test_no_key_and_no_ciphertext_is_in_the_history_the_review_or_the_backup(thrice, page):
    page.post(url("restore", thrice, 1))
    names = [("history", ()), ("tunnel", ()), *(("revision", (n,)) for n in (1, 2, 3))]
    responses = [page.get(url(name, thrice, *more)) for name, more in names]
    responses.append(page.get(url("history", thrice), {"one": 1, "other": 2}))
    responses.append(page.get(url("state", thrice), headers={"HX-Request": "true"}))
    responses.append(page.post(url("undo", thrice), follow=True))
    ciphertexts = [revision.specification.token for revision in Revision.objects.all()]
    backups = DraftBackup.objects.values_list("specification", flat=True)

    for response in responses:
        html = response.content.decode()
        assert CANARY not in html
        assert "a key<" not in html
        assert not [token for token in ciphertexts if token in html or token[:30] in html]
    page.post(url("restore", thrice, 1))
    assert [CANARY in backup.token for backup in backups] == [False]


def test_a_revision_that_cannot_be_decrypted_says_so_and_breaks_no_page(thrice, page):
    Revision.objects.filter(number=1).update(specification=Sealed("00000000:AAAA"))

    response = page.get(url("history", thrice))

    assert response.status_code == 200
    assert "cannot be decrypted" in listed(response)[1]
    assert page.get(url("revision", thrice, 1)).status_code == 200
    refused = page.post(url("restore", thrice, 1))
    assert refused.status_code == 422
    assert "Revision 1 cannot be decrypted" in text(part(refused, "main"))


def count_queries(page, address: str) -> int:
    page.get(address)
    with CaptureQueriesContext(connection) as captured:
        assert page.get(address).status_code == 200
    return len(captured)


def test_a_page_of_the_history_needs_the_same_queries_for_three_revisions_and_for_fifty(
    thrice, page
):
    for_three = count_queries(page, url("history", thrice))
    spec = Revision.objects.get(number=1).spec()
    for _ in range(47):
        Revision.next_for(thrice, spec, None).save()

    assert count_queries(page, url("history", thrice)) == for_three <= 10
    assert len(listed(page.get(url("history", thrice)))) == 20
    last = listed(page.get(url("history", thrice), {"page": "3"}))
    assert [line.split()[1] for line in last] == [str(n) for n in range(10, 0, -1)]
    assert listed(page.get(url("history", thrice), {"page": "2"}))[-1].startswith("Revision 11 ")
