"""Peer probes: permissions, refusals, rounds, and the use of their answers."""

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
from vpnportal.models import PeerProbe, Revision, Tunnel, TunnelCommand
from vpnportal.reconciler import peer_probe
from vpnportal.services import Refused, newest_probe, start_probe, use_learned_values
from vpnportal.services.peer_probe import MAX_PROBES

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


class FakeProber:
    """A prober of the gateway 203.0.113.1 whose peer is `peer`."""

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
def prober(monkeypatch) -> FakeProber:
    prober = FakeProber()
    monkeypatch.setattr(peer_probe, "prober_for", lambda concentrator: prober)
    return prober


def finish(probe: PeerProbe) -> PeerProbe:
    """Run all rounds of a probe and return it."""
    for _ in range(60):
        if not peer_probe.run_round(probe.pk):
            probe.refresh_from_db()
            return probe
    raise AssertionError("the probe has too many rounds")


@pytest.fixture
def answered(ready, user, prober) -> PeerProbe:
    return finish(start_probe(ready, user))


def test_a_probe_finds_the_settings_of_the_peer_and_changes_nothing(ready, answered):
    assert (answered.state, answered.reason) == (State.ANSWERED, "")
    assert answered.answer == {"remote_peer": "203.0.113.2", **ACCEPTED}
    assert Tunnel.objects.get(pk=ready.pk).phase_one_encryption == "3DES"
    assert not ready.revisions.exists()


def test_each_round_continues_from_the_previous_round(ready, user, prober, monkeypatch):
    monkeypatch.setattr(peer_probe, "ROUND_SECONDS", 0)
    probe = start_probe(ready, user)

    rounds = 0
    while peer_probe.run_round(probe.pk):
        rounds += 1
        assert PeerProbe.objects.get().state == State.ASKING

    assert rounds == len(prober.offers) > 3
    assert len(set(prober.offers)) == len(prober.offers)
    assert PeerProbe.objects.get().answer["phase_two_encryption"] == "AES128"


def test_the_first_round_removes_the_remains_of_a_crash(answered, prober):
    assert prober.swept == 1


def test_no_preshared_key_is_in_the_row_or_in_the_message(
    ready, user, prober, monkeypatch, django_capture_on_commit_callbacks
):
    sent = []
    monkeypatch.setattr(tasks.probe_peer, "apply_async", lambda *a, **k: sent.append((a, k)))
    with django_capture_on_commit_callbacks(execute=True):
        probe = start_probe(ready, user)

    finish(probe)

    assert sent == [(((probe.pk,),), {"queue": "concentrator.hou02-vpn01"})]
    assert "a key" not in json.dumps(PeerProbe.objects.values().get(), default=str)


@pytest.mark.parametrize(
    ("peer", "text"),
    [
        (None, "Enter the Remote Peer Address first"),
        ("203.0.113.1", "203.0.113.1 is an address of the provider"),
        ("203.0.113.102", "203.0.113.102 is an address of the provider"),
        ("127.0.0.1", "127.0.0.1 is reserved"),
    ],
)
def test_a_probe_needs_a_peer_address_that_is_not_at_the_provider(
    ready, second_tunnel, user, peer, text
):
    Tunnel.objects.filter(pk=ready.pk).update(remote_peer=peer)

    with pytest.raises(Refused, match=text):
        start_probe(ready, user)

    assert not PeerProbe.objects.exists()


def test_the_worker_does_not_probe_an_address_of_its_own_gateway(ready, user, prober):
    prober.own.add(IPv4Address("203.0.113.2"))

    probe = finish(start_probe(ready, user))

    assert (probe.state, prober.offers) == (State.FAILED, [])
    assert "is the concentrator itself" in probe.reason


@pytest.mark.parametrize("sa_status", ["up", "older", "partial"])
def test_a_tunnel_that_is_up_is_not_probed(ready, user, sa_status):
    Tunnel.objects.filter(pk=ready.pk).update(sa_status=sa_status)

    with pytest.raises(Refused, match="Not probed while the tunnel is up"):
        start_probe(ready, user)


def test_the_worker_checks_again_that_the_tunnel_is_down(ready, user, prober):
    probe = start_probe(ready, user)
    prober.up = {f"ctx{ready.pk}"}

    finish(probe)

    assert (probe.state, prober.offers) == (State.FAILED, [])


def test_a_change_of_the_peer_address_ends_the_probe(ready, user, prober, monkeypatch):
    monkeypatch.setattr(peer_probe, "ROUND_SECONDS", 0)
    probe = start_probe(ready, user)
    assert peer_probe.run_round(probe.pk)
    services.edit(ready, "remote_peer", "203.0.113.9", user)

    finish(probe)

    assert (probe.state, len(prober.offers)) == (State.FAILED, 1)


def test_an_apply_ends_a_queued_probe(ready, user, prober):
    probe = start_probe(ready, user)
    services.apply(ready, user)

    finish(probe)

    assert (probe.state, prober.offers) == (State.FAILED, [])


def test_a_probe_of_an_unreachable_concentrator_fails_with_the_reason(ready, user, prober):
    prober.unreachable = "charon is not running."

    probe = finish(start_probe(ready, user))

    assert probe.state == State.FAILED
    assert probe.reason == (
        "The concentrator hou02-vpn01 cannot be reached: charon is not running."
    )


def test_a_tunnel_has_a_single_running_probe_and_an_overdue_probe_has_failed(ready, user, prober):
    first = start_probe(ready, user)
    with pytest.raises(Refused, match="A probe of this peer is already running"):
        start_probe(ready, user)

    PeerProbe.objects.update(created_at=timezone.now() - peer_probe.EXPIRES_AFTER)

    assert newest_probe(ready).state == State.FAILED
    second = start_probe(ready, user)
    assert finish(first).state == State.FAILED
    assert prober.offers == []
    assert finish(second).state == State.ANSWERED


def test_the_probes_of_a_tunnel_are_limited(ready, user):
    for number in range(MAX_PROBES):
        probe = start_probe(ready, user)
        PeerProbe.objects.filter(pk=probe.pk).update(state=State.FAILED)
        assert number < MAX_PROBES
    with pytest.raises(Refused, match="The limit is 5 probes in 10 minutes"):
        start_probe(ready, user)

    PeerProbe.objects.update(created_at=timezone.now() - timedelta(minutes=11))

    start_probe(ready, user)


def test_no_probe_starts_or_changes_the_draft_during_an_apply(answered, ready, user):
    services.apply(ready, user)

    with pytest.raises(Refused, match="being applied"):
        start_probe(ready, user)
    with pytest.raises(Refused, match="being applied"):
        use_learned_values(ready, answered, user)

    assert Tunnel.objects.get(pk=ready.pk).phase_one_encryption == "3DES"


def test_an_answer_about_another_address_does_not_change_the_draft(answered, ready, user):
    services.edit(ready, "remote_peer", "203.0.113.9", user)

    with pytest.raises(Refused, match="No result for this peer address"):
        use_learned_values(ready, answered, user)


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_an_answer_does_not_overwrite_changes_of_another_user_since_the_page_was_shown(
    answered, ready, page, bob, user, headers
):
    def use_answer(response):
        inputs = part(response, "ask").iter("input")
        form = {field.get("name"): field.get("value") for field in inputs}
        return page.post(reverse("fill-in", args=[ready.pk]), form, headers=headers)

    response = page.get(reverse("tunnel", args=[ready.pk]))
    services.edit(ready, "notes", "a field without an answer", bob)
    services.edit(ready, "phase_one_encryption", "AES128", user)
    services.edit(ready, "phase_one_group", 14, bob)

    refused = use_answer(response)

    assert refused.status_code == 409
    assert "bob changed this tunnel at " in words(refused, "ask")
    assert Tunnel.objects.get(pk=ready.pk).phase_one_group == 14
    assert use_answer(refused).status_code in (200, 302)
    assert Tunnel.objects.get(pk=ready.pk).phase_one_group == 5


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_a_user_can_copy_the_answer_into_the_draft(answered, ready, page, headers):
    url = reverse("fill-in", args=[ready.pk])

    answer = page.post(url, {"question": answered.pk}, headers=headers, follow=True)

    saved = Tunnel.objects.values().get(pk=ready.pk)
    assert {field: saved[field] for field in ACCEPTED} == ACCEPTED
    assert (saved["phase_one_keylife"], saved["phase_two_group"]) == (14_400, 2)
    select = part(answer, "id_phase_one_encryption")
    assert [option.get("value") for option in select if "selected" in option.attrib] == ["AES256"]
    assert "Saved" in words(answer, "note-phase_one_group") or not headers


def test_the_page_shows_the_current_and_the_accepted_value_of_each_field(answered, ready, page):
    answer = page.get(reverse("tunnel", args=[ready.pk]))

    rows = [["".join(cell.itertext()) for cell in row] for row in part(answer, "ask").iter("tr")]
    assert rows[1:4] == [
        ["IKE version", "IKEv1", "IKEv1"],
        ["Phase One Encryption", "3DES — weak: 64-bit blocks", "AES256 — good"],
        ["Phase One Authentication", "MD5 — broken: 128-bit hash", "SHA256 — good"],
    ]
    assert rows[-1] == ["Phase Two Perfect Forward Secrecy (PFS)", "on", "off"]
    assert "Key lives cannot be detected" in words(answer, "ask")


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_the_page_polls_only_until_the_probe_is_finished(ready, page, prober, headers):
    answer = page.post(reverse("ask", args=[ready.pk]), headers=headers, follow=True)
    assert part(answer, "ask").get("hx-trigger") == "every 1s"
    assert headers or any(meta.get("http-equiv") == "refresh" for meta in read(answer).iter("meta"))

    finish(newest_probe(ready))

    finished = page.get(reverse("answer", args=[ready.pk]), headers=headers, follow=True)
    assert part(finished, "ask").get("hx-trigger") is None
    assert "203.0.113.2 accepts these algorithms." in words(finished, "ask")


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["plain", "htmx"])
def test_a_refusal_is_shown_in_the_probe_section(tunnel, page, headers):
    answer = page.post(reverse("ask", args=[tunnel.pk]), headers=headers)

    assert answer.status_code == 422
    assert "Enter the Remote Peer Address first" in words(answer, "ask")


def test_a_viewer_can_see_the_answer_but_neither_probe_nor_use_it(answered, ready, viewer):
    response = viewer.get(reverse("tunnel", args=[ready.pk]))
    posts = [
        viewer.post(reverse("ask", args=[ready.pk])),
        viewer.post(reverse("fill-in", args=[ready.pk]), {"question": answered.pk}),
    ]

    assert {post.status_code for post in posts} == {404}
    assert not list(part(response, "ask").iter("button"))
    assert "203.0.113.2 accepts these algorithms." in words(response, "ask")
    assert PeerProbe.objects.count() == 1


def test_a_user_of_another_account_cannot_reach_a_probe(answered, ready, stranger):
    answers = [
        stranger.post(reverse("ask", args=[ready.pk])),
        stranger.get(reverse("answer", args=[ready.pk])),
        stranger.post(reverse("fill-in", args=[ready.pk]), {"question": answered.pk}),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert Tunnel.objects.get(pk=ready.pk).phase_one_encryption == "3DES"


def test_the_answer_about_a_tunnel_does_not_change_another_tunnel(answered, second_tunnel, page):
    url = reverse("fill-in", args=[second_tunnel.pk])

    assert page.post(url, {"question": answered.pk}).status_code == 404
    assert page.post(url, {"question": "9" * 30}).status_code == 400


def test_the_page_names_the_requirements_of_a_probe_of_phase_two(tunnel, user, page, prober):
    services.edit(tunnel, "remote_peer", "203.0.113.2", user)
    services.add_remote_subnet(tunnel, IPv4Network("192.168.10.0/24"), user)
    probe = finish(start_probe(tunnel, user))

    assert probe.state == State.ANSWERED
    assert "phase_two_encryption" not in probe.answer
    text = words(page.get(reverse("tunnel", args=[tunnel.pk])), "ask")
    assert "To detect phase 2 as well, add the preshared key." in text


@pytest.mark.parametrize("request_work", [services.apply, services.connect])
def test_s13_a_probe_gives_way_to_an_apply_and_to_a_command_of_another_tunnel(
    ready,
    second_tunnel,
    user,
    prober,
    monkeypatch,
    request_work,
    django_capture_on_commit_callbacks,
):
    sent = []
    monkeypatch.setattr(tasks.probe_peer, "apply_async", lambda *a, **k: sent.append((a, k)))
    monkeypatch.setattr(tasks.converge, "apply_async", lambda *a, **k: None)
    probe = start_probe(ready, user)
    if request_work is services.connect:
        services.apply(second_tunnel, user)
        Revision.objects.update(outcome=Revision.Outcome.LIVE)
    request_work(second_tunnel, user)

    with django_capture_on_commit_callbacks(execute=True):
        tasks.probe_peer(probe.pk)

    again = ((probe.pk,),), {"queue": "concentrator.hou02-vpn01", "countdown": tasks.YIELD_SECONDS}
    assert (prober.offers, sent) == ([], [again])
    # The worker does what waits; or cannot, and then the probe does not wait for ever.
    Revision.objects.update(created_at=timezone.now() - timedelta(seconds=21))
    TunnelCommand.objects.update(requested_at=timezone.now() - timedelta(seconds=21))
    tasks.probe_peer(probe.pk)
    assert prober.offers


@pytest.mark.parametrize("address", ["198.51.100.9", "10.1.9.7", "10.2.0.10", "10.3.0.10"])
def test_s13_no_address_of_a_network_of_the_provider_is_probed(
    ready, second_tunnel, concentrator, user, address
):
    for kind, network in (("hosted-peer", "198.51.100.0/24"), ("static-nat", "10.1.9.0/29")):
        concentrator.pools.create(kind=kind, network=IPv4Network(network))
    Tunnel.objects.filter(pk=ready.pk).update(remote_peer=address)

    with pytest.raises(Refused, match=f"{address} is an address of the provider"):
        start_probe(ready, user)


def test_s13_an_account_has_one_running_probe(ready, second_tunnel, user, prober):
    probe = start_probe(ready, user)

    with pytest.raises(Refused, match=r"1 of 1 running probes of peers\. Wait for the result, or"):
        start_probe(second_tunnel, user)

    finish(probe)
    start_probe(second_tunnel, user)
