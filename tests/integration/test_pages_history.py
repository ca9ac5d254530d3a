"""Every revision is within reach: what it changed, what became of it, and back into the form."""

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
    """Three revisions: a cipher and a key later, and a network more, which failed."""
    services.apply(ready, user)
    Revision.objects.update(outcome="replaced")
    services.edit(ready, "phase_one_encryption", "AES256", bob)
    services.set_preshared_key(ready, CANARY, bob)
    services.apply(ready, bob)
    Revision.objects.filter(number=2).update(outcome="live")
    services.add_remote_subnet(ready, IPv4Network("192.168.30.0/24"), user)
    services.apply(ready, user)
    steps = [{"at": "2026-01-01T10:00:00", "text": "charon said no", "ok": False}]
    Revision.objects.filter(number=3).update(outcome="failed", reason="It said no.", steps=steps)
    return Tunnel.objects.get(pk=ready.pk)


def url(name: str, tunnel: Tunnel, *more: int) -> str:
    return reverse(name, args=[tunnel.pk, *more])


def text(element) -> str:
    return " ".join(" ".join(element.itertext()).split())


def listed(answer) -> list[str]:
    (found,) = [e for e in read(answer).iter("ol") if e.get("class") == "history"]
    return [text(item) for item in found if item.get("class") != "told"]


def draft(tunnel: Tunnel):
    return Tunnel.objects.get(pk=tunnel.pk).draft()


def test_every_revision_is_told_with_its_author_its_outcome_and_what_it_changed(thrice, page):
    answer = page.get(url("history", thrice))

    told = listed(answer)
    assert [line.partition(" ada, ")[0].partition(" bob, ")[0] for line in told] == [
        "Revision 3 failed 1 change",
        "Revision 2 live 2 changes",
        "Revision 1 replaced the first",
    ]
    assert [("bob, " in line) for line in told] == [False, True, False]
    assert "It said no." in text(part(answer, "main"))
    assert "Preshared Key – changed" in text(part(answer, "changes-2"))
    assert listed(page.get(url("tunnel", thrice))) == told


def test_one_revision_tells_its_steps_and_its_reason(thrice, page):
    told = text(part(page.get(url("revision", thrice, 3)), "main"))

    assert "It said no." in told
    assert "Failed: charon said no" in told
    assert "192.168.10.0/24, 192.168.30.0/24" in told


def test_a_revision_that_came_back_by_itself_says_so(thrice, page, user):
    back = Revision.next_for(thrice, Revision.objects.get(number=1).spec(), None)
    back.restored_number = 1
    back.save()

    answer = page.get(url("history", thrice))

    assert listed(answer)[0].startswith(
        "Revision 4 queued 3 changes; brings back revision 1 by itself, "
    )
    told = text(part(page.get(url("revision", thrice, 4)), "main"))
    assert "Applied by itself, to bring back revision 1, " in told


def test_two_revisions_are_compared_in_whatever_order_they_are_named(thrice, page):
    for one, other in ((1, 3), (3, 1)):
        answer = page.get(url("history", thrice), {"one": one, "other": other})

        told = text(part(answer, "main"))
        assert "From revision 1 to revision 3" in told
        assert "Phase One Encryption 3DES AES256" in told
        assert "Preshared Key – changed" in told


@pytest.mark.parametrize(
    ("one", "other"), [("1", ""), ("1", "1"), ("1", "9"), ("x", "2"), ("9" * 40, "2"), ("١", "2")]
)
def test_revisions_that_do_not_exist_are_not_compared_and_what_was_typed_stays(
    thrice, page, one, other
):
    answer = page.get(url("history", thrice), {"one": one, "other": other})

    assert answer.status_code == 422
    assert words(answer, "note-compare") == "Enter the numbers of two revisions, from 1 to 3."
    assert (typed(answer, "one"), typed(answer, "other")) == (one, other)


def test_any_revision_is_restored_into_the_form_with_its_key_and_nothing_is_applied(thrice, page):
    answer = page.get(url("revision", thrice, 1))
    assert "Phase One Encryption AES256 3DES" in text(part(answer, "main"))

    answer = page.post(url("restore", thrice, 1), {"seen": typed(answer, "seen")}, follow=True)

    assert draft(thrice) == Revision.objects.get(number=1).spec()
    assert draft(thrice).preshared_key == "a key"
    assert Revision.objects.count() == 3
    told = words(answer, "live")
    assert told.startswith("Restored revision 1: Phase One Encryption (AES256), ")
    assert told.endswith("Nothing is applied by that.")
    assert "ada restored revision 1, " in words(answer, "review")


def test_undo_brings_back_the_form_that_was_restored_over(thrice, page):
    before = draft(thrice)
    page.post(url("restore", thrice, 1))

    page.post(url("undo", thrice))

    assert draft(thrice) == before


def test_what_is_not_the_accounts_any_more_is_left_out_and_named(thrice, page):
    Subnet.objects.filter(network="10.2.0.0/24").delete()
    own = Subnet.objects.create(
        account=thrice.account, kind="hosted", network=IPv4Network("10.4.0.0/24")
    )
    thrice.subnets.set([own])
    thrice.translations.all().delete()

    answer = page.get(url("revision", thrice, 1))
    kept = page.post(url("restore", thrice, 1), follow=True)

    hosted = "Left out: 10.2.0.0/24 is no longer a subnet of this account."
    row = "Left out: 10.1.255.92 is no longer in a static NAT subnet of this tunnel."
    hosted_row = "Protected private (hosted) subnets 10.4.0.0/24 nothing"
    assert hosted_row in text(part(answer, "main"))
    for shown in (text(part(answer, "main")), words(kept, "live")):
        assert hosted in shown
        assert row in shown
    assert draft(thrice).hosted_subnets == ()
    assert draft(thrice).translations == ()
    assert draft(thrice).remote_subnets == (IPv4Network("192.168.10.0/24"),)


def test_every_field_of_a_specification_comes_back_with_its_revision(ready, user):
    services.apply(ready, user)
    Revision.objects.update(outcome="live")
    applied = Revision.objects.get().spec()
    other = {
        "remote_peer": "203.0.113.9",
        "ike_version": 2,
        "one_child_per_pair": True,
        "dpd_seconds": 0,
        "starts": "other",
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


def test_a_restore_is_all_or_nothing(thrice, user, monkeypatch):
    before = draft(thrice)

    def fail(*_: object) -> None:
        raise RuntimeError("the database is gone")

    monkeypatch.setattr("vpnportal.services.restore_draft.note_edits", fail)
    with pytest.raises(RuntimeError):
        services.restore(thrice, Revision.objects.get(number=1), user)

    assert draft(thrice) == before


def test_a_revision_of_another_tunnel_is_never_restored(thrice, second_tunnel, user, page):
    services.apply(second_tunnel, user)
    foreign = second_tunnel.latest()
    with pytest.raises(ValueError, match="is not of"):
        services.restore(thrice, foreign, user)

    assert page.get(url("revision", second_tunnel, 3)).status_code == 404
    assert page.post(url("restore", second_tunnel, 3)).status_code == 404


def test_a_strangers_revisions_are_nothing_even_by_their_numbers(thrice, stranger):
    other = Account.objects.get(name="Another account")
    mine = Tunnel.objects.create(
        account=other, concentrator=thrice.concentrator, name="ipsec009", hosted_peer="203.0.113.99"
    )
    assert Membership.objects.filter(account=other).exists()

    answers = [stranger.get(url(name, thrice)) for name in ("history", "tunnel")]
    answers += [stranger.get(url("revision", thrice, n)) for n in (1, 2, 3)]
    answers += [stranger.get(url("revision", mine, n)) for n in (1, 2, 3)]
    answers += [stranger.post(url("restore", mine, n)) for n in (1, 2, 3)]

    assert {answer.status_code for answer in answers} == {404}
    assert "Revision 1" not in text(part(stranger.get(url("history", mine)), "main"))


def test_a_viewer_reads_the_history_and_has_no_button_in_it(thrice, viewer):
    for answer in (viewer.get(url("history", thrice)), viewer.get(url("revision", thrice, 1))):
        buttons = [text(e) for e in read(answer).iter("button")]
        assert set(buttons) <= {"Sign out", "Compare"}


def test_no_key_and_nothing_sealed_is_in_history_review_or_what_undo_keeps(thrice, page):
    page.post(url("restore", thrice, 1))
    names = [("history", ()), ("tunnel", ()), *(("revision", (n,)) for n in (1, 2, 3))]
    answers = [page.get(url(name, thrice, *more)) for name, more in names]
    answers.append(page.get(url("history", thrice), {"one": 1, "other": 2}))
    answers.append(page.get(url("state", thrice), headers={"HX-Request": "true"}))
    answers.append(page.post(url("undo", thrice), follow=True))
    sealed = [one.specification.token for one in Revision.objects.all()]
    kept = DraftBackup.objects.values_list("specification", flat=True)

    for answer in answers:
        shown = answer.content.decode()
        assert CANARY not in shown
        assert "a key<" not in shown
        assert not [token for token in sealed if token in shown or token[:30] in shown]
    page.post(url("restore", thrice, 1))
    assert [CANARY in one.token for one in kept] == [False]


def test_a_revision_that_cannot_be_opened_any_more_says_so_and_harms_nothing(thrice, page):
    Revision.objects.filter(number=1).update(specification=Sealed("00000000:AAAA"))

    answer = page.get(url("history", thrice))

    assert answer.status_code == 200
    assert "cannot be opened" in listed(answer)[1]
    assert page.get(url("revision", thrice, 1)).status_code == 200
    refused = page.post(url("restore", thrice, 1))
    assert refused.status_code == 422
    assert "Revision 1 cannot be opened any more" in text(part(refused, "main"))


def queries(page, address: str) -> int:
    page.get(address)
    with CaptureQueriesContext(connection) as captured:
        assert page.get(address).status_code == 200
    return len(captured)


def test_a_page_of_history_costs_the_same_for_three_revisions_and_for_many(thrice, page):
    few = queries(page, url("history", thrice))
    spec = Revision.objects.get(number=1).spec()
    for _ in range(47):
        Revision.next_for(thrice, spec, None).save()

    assert queries(page, url("history", thrice)) == few <= 10
    assert len(listed(page.get(url("history", thrice)))) == 20
    last = listed(page.get(url("history", thrice), {"page": "3"}))
    assert [line.split()[1] for line in last] == [str(n) for n in range(10, 0, -1)]
    assert listed(page.get(url("history", thrice), {"page": "2"}))[-1].startswith("Revision 11 ")
