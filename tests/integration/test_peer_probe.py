"""Ask the peer: who may, when it is refused, how rounds go on, and what becomes of the answer."""

from __future__ import annotations

import json
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.html import part, read, words
from tests.peer import Peer
from tests.unit.test_peer_probe_strategy import ALL
from vpnportal import services, tasks
from vpnportal.gateway import GatewayError
from vpnportal.models import PeerProbe, Tunnel
from vpnportal.reconciler import peer_probe
from vpnportal.services import Refused
from vpnportal.services.peer_probe import AT_MOST, fill_in, newest, start_probe

State = PeerProbe.State
pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
ACCEPTED = {
    "ike_version": 1,
    "phase_one_encryption": "AES256",
    "phase_one_authentication": "SHA256",
    "phase_one_group": 5,
    "phase_two_encryption": "AES128",
    "phase_two_authentication": "SHA1",
    "phase_two_pfs": False,
}


class FakeProbe:
    """A gateway at 203.0.113.1 whose peer is `peer`."""

    def __init__(self) -> None:
        self.peer = Peer(1, ("AES256", "SHA256", 5), ("AES128", "SHA1", 0))
        self.own = {IPv4Address("203.0.113.1")}
        self.up: set[str] = set()
        self.swept = 0
        self.offers: list[str] = []
        self.unreachable = ""

    def owns(self, address: IPv4Address) -> bool:
        return address in self.own

    def is_up(self, name: str) -> bool:
        return name in self.up

    def algorithms(self):
        return ALL

    def sweep(self) -> None:
        if self.unreachable:
            raise GatewayError(self.unreachable)
        self.swept += 1

    def offer(self, spec, offer):
        self.offers.append(offer.name)
        return self.peer.reply(offer)


@pytest.fixture
def probe(monkeypatch) -> FakeProbe:
    fake = FakeProbe()
    monkeypatch.setattr(peer_probe, "prober_for", lambda concentrator: fake)
    return fake


def ended(question: PeerProbe) -> PeerProbe:
    """The question after all of its rounds."""
    for _ in range(60):
        if not peer_probe.run_round(question.pk):
            question.refresh_from_db()
            return question
    raise AssertionError("it never ends")


@pytest.fixture
def answered(ready, user, probe) -> PeerProbe:
    return ended(start_probe(ready, user))


def test_the_answer_is_what_the_peer_accepts_and_changes_nothing_by_itself(ready, answered):
    assert (answered.state, answered.reason) == (State.ANSWERED, "")
    assert answered.answer == {"remote_peer": "203.0.113.2", **ACCEPTED}
    assert Tunnel.objects.get(pk=ready.pk).phase_one_encryption == "3DES"
    assert not ready.revisions.exists()


def test_each_round_goes_on_where_the_last_one_ended(ready, user, probe, monkeypatch):
    monkeypatch.setattr(peer_probe, "ROUND_SECONDS", 0)
    question = start_probe(ready, user)

    rounds = 0
    while peer_probe.run_round(question.pk):
        rounds += 1
        assert PeerProbe.objects.get().state == State.ASKING

    assert rounds == len(probe.offers) > 3
    assert len(set(probe.offers)) == len(probe.offers)
    assert PeerProbe.objects.get().answer["phase_two_encryption"] == "AES128"


def test_the_first_round_takes_away_what_a_crash_has_left(answered, probe):
    assert probe.swept == 1


def test_no_preshared_key_is_in_the_row_or_in_the_message(
    ready, user, probe, monkeypatch, django_capture_on_commit_callbacks
):
    sent = []
    monkeypatch.setattr(tasks.ask, "apply_async", lambda *a, **k: sent.append((a, k)))
    with django_capture_on_commit_callbacks(execute=True):
        question = start_probe(ready, user)

    ended(question)

    assert sent == [(((question.pk,),), {"queue": "concentrator.hou02-vpn01"})]
    assert "a key" not in json.dumps(PeerProbe.objects.values().get(), default=str)


@pytest.mark.parametrize(
    ("peer", "text"),
    [
        (None, "Enter the Remote Peer Address first"),
        ("203.0.113.1", "203.0.113.1 is at this end"),
        ("203.0.113.102", "203.0.113.102 is at this end"),
        ("127.0.0.1", "127.0.0.1 is reserved"),
    ],
)
def test_only_the_device_of_the_draft_is_asked_and_never_this_end(
    ready, second_tunnel, user, peer, text
):
    Tunnel.objects.filter(pk=ready.pk).update(remote_peer=peer)

    with pytest.raises(Refused, match=text):
        start_probe(ready, user)

    assert not PeerProbe.objects.exists()


def test_an_address_that_only_the_gateway_knows_as_its_own_is_not_asked(ready, user, probe):
    probe.own.add(IPv4Address("203.0.113.2"))

    question = ended(start_probe(ready, user))

    assert (question.state, probe.offers) == (State.FAILED, [])
    assert "is the concentrator itself" in question.reason


@pytest.mark.parametrize("word", ["up", "older", "partial"])
def test_a_tunnel_that_is_up_is_not_disturbed(ready, user, word):
    Tunnel.objects.filter(pk=ready.pk).update(sa_status=word)

    with pytest.raises(Refused, match="The tunnel is up"):
        start_probe(ready, user)


def test_the_concentrator_looks_again_whether_the_tunnel_is_up(ready, user, probe):
    question = start_probe(ready, user)
    probe.up = {f"ctx{ready.pk}"}

    ended(question)

    assert (question.state, probe.offers) == (State.FAILED, [])


def test_an_address_changed_meanwhile_ends_the_question(ready, user, probe, monkeypatch):
    monkeypatch.setattr(peer_probe, "ROUND_SECONDS", 0)
    question = start_probe(ready, user)
    assert peer_probe.run_round(question.pk)
    services.edit(ready, "remote_peer", "203.0.113.9", user)

    ended(question)

    assert (question.state, len(probe.offers)) == (State.FAILED, 1)


def test_an_apply_meanwhile_goes_first(ready, user, probe):
    question = start_probe(ready, user)
    services.apply(ready, user)

    ended(question)

    assert (question.state, probe.offers) == (State.FAILED, [])


def test_a_concentrator_that_cannot_be_reached_is_said(ready, user, probe):
    probe.unreachable = "charon is not running."

    question = ended(start_probe(ready, user))

    assert question.state == State.FAILED
    assert question.reason == (
        "The concentrator hou02-vpn01 cannot be reached: charon is not running."
    )


def test_one_question_at_a_time_and_one_that_nobody_finishes_has_failed(ready, user, probe):
    first = start_probe(ready, user)
    with pytest.raises(Refused, match="being asked already"):
        start_probe(ready, user)

    PeerProbe.objects.update(created_at=timezone.now() - peer_probe.EXPIRES_AFTER)

    assert newest(ready).state == State.FAILED
    second = start_probe(ready, user)
    assert ended(first).state == State.FAILED
    assert probe.offers == []
    assert ended(second).state == State.ANSWERED


def test_a_peer_is_asked_a_few_times_only(ready, user):
    for number in range(AT_MOST):
        question = start_probe(ready, user)
        PeerProbe.objects.filter(pk=question.pk).update(state=State.FAILED)
        assert number < AT_MOST
    with pytest.raises(Refused, match="Ask again later"):
        start_probe(ready, user)

    PeerProbe.objects.update(created_at=timezone.now() - timedelta(minutes=11))

    start_probe(ready, user)


def test_nothing_is_asked_or_filled_in_while_a_configuration_is_applied(answered, ready, user):
    services.apply(ready, user)

    with pytest.raises(Refused, match="being applied"):
        start_probe(ready, user)
    with pytest.raises(Refused, match="being applied"):
        fill_in(ready, answered, user)

    assert Tunnel.objects.get(pk=ready.pk).phase_one_encryption == "3DES"


def test_an_answer_about_another_address_is_not_filled_in(answered, ready, user):
    services.edit(ready, "remote_peer", "203.0.113.9", user)

    with pytest.raises(Refused, match="another address"):
        fill_in(ready, answered, user)


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_what_somebody_else_changed_since_the_page_was_shown_is_not_filled_over(
    answered, ready, page, bob, user, headers
):
    def fill(shown):
        inputs = part(shown, "ask").iter("input")
        form = {one.get("name"): one.get("value") for one in inputs}
        return page.post(reverse("fill-in", args=[ready.pk]), form, headers=headers)

    shown = page.get(reverse("tunnel", args=[ready.pk]))
    services.edit(ready, "notes", "nothing that was asked", bob)
    services.edit(ready, "phase_one_encryption", "AES128", user)
    services.edit(ready, "phase_one_group", 14, bob)

    refused = fill(shown)

    assert refused.status_code == 409
    assert "bob changed this tunnel at " in words(refused, "ask")
    assert Tunnel.objects.get(pk=ready.pk).phase_one_group == 14
    assert fill(refused).status_code in (200, 302)
    assert Tunnel.objects.get(pk=ready.pk).phase_one_group == 5


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_the_form_is_filled_in_once_somebody_agrees(answered, ready, page, headers):
    url = reverse("fill-in", args=[ready.pk])

    answer = page.post(url, {"question": answered.pk}, headers=headers, follow=True)

    kept = Tunnel.objects.values().get(pk=ready.pk)
    assert {field: kept[field] for field in ACCEPTED} == ACCEPTED
    assert (kept["phase_one_keylife"], kept["phase_two_group"]) == (14_400, 2)
    chosen = part(answer, "id_phase_one_encryption")
    assert [o.get("value") for o in chosen if "selected" in o.attrib] == ["AES256"]
    assert "Saved" in words(answer, "note-phase_one_group") or not headers


def test_the_page_shows_each_field_now_and_as_accepted(answered, ready, page):
    answer = page.get(reverse("tunnel", args=[ready.pk]))

    rows = [["".join(cell.itertext()) for cell in row] for row in part(answer, "ask").iter("tr")]
    assert rows[1:4] == [
        ["IKE version", "IKEv1", "IKEv1"],
        ["Phase One Encryption", "3DES — weak: 64-bit blocks", "AES256 — good"],
        ["Phase One Authentication", "MD5 — broken: 128-bit hash", "SHA256 — good"],
    ]
    assert rows[-1] == ["Phase Two Perfect Forward Secrecy (PFS)", "on", "off"]
    assert "Key lives cannot be asked" in words(answer, "ask")


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_the_page_asks_and_looks_again_only_while_the_answer_is_to_come(
    ready, page, probe, headers
):
    answer = page.post(reverse("ask", args=[ready.pk]), headers=headers, follow=True)
    assert part(answer, "ask").get("hx-trigger") == "every 1s"
    assert headers or any(e.get("http-equiv") == "refresh" for e in read(answer).iter("meta"))

    ended(newest(ready))

    over = page.get(reverse("answer", args=[ready.pk]), headers=headers, follow=True)
    assert part(over, "ask").get("hx-trigger") is None
    assert "This is what 203.0.113.2 accepts." in words(over, "ask")


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_a_refusal_is_shown_where_somebody_asked(tunnel, page, headers):
    answer = page.post(reverse("ask", args=[tunnel.pk]), headers=headers)

    assert answer.status_code == 422
    assert "Enter the Remote Peer Address first" in words(answer, "ask")


def test_a_viewer_sees_the_answer_and_neither_asks_nor_fills_in(answered, ready, viewer):
    shown = viewer.get(reverse("tunnel", args=[ready.pk]))
    posts = [
        viewer.post(reverse("ask", args=[ready.pk])),
        viewer.post(reverse("fill-in", args=[ready.pk]), {"question": answered.pk}),
    ]

    assert {post.status_code for post in posts} == {404}
    assert not list(part(shown, "ask").iter("button"))
    assert "This is what 203.0.113.2 accepts." in words(shown, "ask")
    assert PeerProbe.objects.count() == 1


def test_a_stranger_finds_nothing(answered, ready, stranger):
    answers = [
        stranger.post(reverse("ask", args=[ready.pk])),
        stranger.get(reverse("answer", args=[ready.pk])),
        stranger.post(reverse("fill-in", args=[ready.pk]), {"question": answered.pk}),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert Tunnel.objects.get(pk=ready.pk).phase_one_encryption == "3DES"


def test_the_answer_about_one_tunnel_does_not_fill_in_another(answered, second_tunnel, page):
    url = reverse("fill-in", args=[second_tunnel.pk])

    assert page.post(url, {"question": answered.pk}).status_code == 404
    assert page.post(url, {"question": "9" * 30}).status_code == 400


def test_what_phase_two_still_needs_is_said_beside_the_answer(tunnel, user, page, probe):
    services.edit(tunnel, "remote_peer", "203.0.113.2", user)
    services.add_remote_subnet(tunnel, IPv4Network("192.168.10.0/24"), user)
    question = ended(start_probe(tunnel, user))

    assert question.state == State.ANSWERED
    assert "phase_two_encryption" not in question.answer
    shown = words(page.get(reverse("tunnel", args=[tunnel.pk])), "ask")
    assert "To detect phase 2 as well, add the preshared key." in shown
