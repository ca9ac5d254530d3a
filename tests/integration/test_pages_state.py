"""What a page says of a tunnel is what is known: queued is not live, unknown is not down."""

from __future__ import annotations

import json
from datetime import timedelta
from ipaddress import IPv4Address

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.html import part, read, typed, words
from vpnportal import services
from vpnportal.models import Concentrator, Revision, Subnet, Tunnel
from vpnportal.models.revisions import LOCK_DURATION


@pytest.fixture
def queued(second_tunnel, user) -> Revision:
    return services.apply(second_tunnel, user)


def finish(revision: Revision, outcome: str, **more: object) -> None:
    Revision.objects.filter(pk=revision.pk).update(
        outcome=outcome, finished_at=timezone.now(), **more
    )


def seen(association: str, **more: object) -> None:
    Tunnel.objects.update(sa_status=association)
    Concentrator.objects.update(**{"seen_at": timezone.now(), "unreachable_reason": "", **more})


def state(page, tunnel: Tunnel, **query: str):
    return page.get(reverse("state", args=[tunnel.pk]), query)


def shown_words(answer, id: str = "state") -> list[str]:
    """The state words of an element, in order: each has a shape of its own."""
    marked = (e for e in part(answer, id).iter("span") if "word" in e.get("class", "").split())
    return ["".join(e.itertext()).strip() for e in marked]


def trigger(answer) -> str:
    return part(answer, "state").get("hx-trigger")


def test_a_new_tunnel_was_never_applied(tunnel, page):
    answer = state(page, tunnel)

    assert shown_words(answer) == ["Never applied"]
    assert trigger(answer) == "every 5s"


@pytest.mark.parametrize("outcome", ["queued", "applying"])
def test_what_is_on_its_way_is_never_shown_as_applied_or_up(second_tunnel, queued, page, outcome):
    Revision.objects.update(outcome=outcome)
    seen("down")

    answer, listed = state(page, second_tunnel), page.get(reverse("tunnels"))

    assert shown_words(answer) == [outcome.title(), outcome.title(), "Down"]
    assert "No revision of this tunnel is live." in words(answer, "state")
    assert shown_words(listed, "main") == [outcome.title()]
    assert trigger(answer) == "every 300ms"


def test_a_locked_tunnel_says_so_before_its_controls(second_tunnel, queued, page):
    answer = page.get(reverse("tunnel", args=[second_tunnel.pk]))
    order = list(part(answer, "main").iter())
    lock = next(i for i, e in enumerate(order) if e.get("class") == "lock")

    assert lock < min(i for i, e in enumerate(order) if e.tag in ("input", "select"))


def test_the_page_without_javascript_asks_again_only_while_it_is_locked(
    second_tunnel, queued, page
):
    def asks_again() -> bool:
        answer = page.get(reverse("tunnel", args=[second_tunnel.pk]))
        return any(e.get("http-equiv") == "refresh" for e in read(answer).iter("meta"))

    assert asks_again()
    finish(queued, "live")
    assert not asks_again()


def test_an_applied_tunnel_names_its_revision_and_whether_it_is_up(second_tunnel, queued, page):
    finish(queued, "live")
    seen("up")

    answer = state(page, second_tunnel)

    assert shown_words(answer) == ["Up", "Up"]
    assert words(answer, "state").startswith(
        "State up Revision 1 is live: the concentrator holds it. ada, "
    )
    assert words(answer, "pending") == "Everything on this page is applied."


@pytest.mark.parametrize(
    ("sight", "sentence"),
    [
        ({"seen_at": None}, "Nobody has looked at the concentrator hou02-vpn01 yet."),
        ({"unreachable_reason": "charon's socket is gone."}, "charon's socket is gone."),
        (
            {"seen_at": timedelta(hours=3)},
            "Nothing was heard from the concentrator hou02-vpn01 lately. Last seen up 3 hours ago",
        ),
    ],
    ids=["never looked", "unreachable", "long ago"],
)
def test_what_cannot_be_seen_is_unknown_with_its_reason_and_never_down(
    second_tunnel, queued, page, sight, sentence
):
    finish(queued, "live")
    now = timezone.now()
    seen("up", **{k: now - v if isinstance(v, timedelta) else v for k, v in sight.items()})

    answer, listed = state(page, second_tunnel), page.get(reverse("tunnels"))

    assert shown_words(answer) == ["Unknown", "Unknown"]
    assert sentence in words(answer, "state").replace("\N{NO-BREAK SPACE}", " ")
    assert shown_words(listed, "main") == ["Unknown"]


def test_a_failure_gives_its_reason_its_steps_and_what_still_stands(
    second_tunnel, queued, user, page
):
    finish(queued, "live")
    seen("up")
    services.edit(second_tunnel, "phase_one_keylife", 7200, user)
    steps = [
        {"at": "2026-01-01T10:00:00", "text": "Asked charon", "ok": True},
        {"at": "2026-01-01T10:00:01", "text": "charon said no", "ok": False},
    ]
    finish(services.apply(second_tunnel, user), "failed", reason="It said no.", steps=steps)

    answer = state(page, second_tunnel)

    assert shown_words(answer) == ["Failed", "Failed", "Up"]
    assert "It said no. Asked charon 10:00:00 Failed: charon said no 10:00:01" in words(
        answer, "state"
    )
    assert "Revision 1 is live: the concentrator holds it." in words(answer, "state")
    assert words(answer, "pending").startswith("1 change not applied; ")


def test_an_apply_that_nobody_takes_up_says_so_and_the_tunnel_can_be_edited_again(
    second_tunnel, queued, page
):
    Revision.objects.update(created_at=timezone.now() - LOCK_DURATION)

    answer = state(page, second_tunnel)

    assert "Edits are possible again." in words(answer, "state")
    assert shown_words(answer)[0] == "Queued"
    assert trigger(answer) == "every 5s"


def test_a_page_that_shows_the_state_already_gets_nothing_new(second_tunnel, queued, page):
    first = state(page, second_tunnel)
    token = part(first, "state").get("hx-get").split("seen=")[1].split("&")[0]
    whole = page.get(reverse("tunnel", args=[second_tunnel.pk]))

    again = state(page, second_tunnel, seen=token)

    assert again.status_code == 204
    # What changed here is asked for by the Status section at once.
    assert json.loads(first.headers["HX-Trigger"]) == {"state-changed": {}}
    assert "HX-Trigger" not in again.headers
    assert part(whole, "status").get("hx-trigger") == "every 5s, state-changed from:body"
    finish(queued, "live")
    assert state(page, second_tunnel, seen=token).status_code == 200


NEWS = {
    "another step": {"steps": [{"at": "2026-01-01T10:00:00", "text": "Asked", "ok": True}]},
    "another outcome": {"outcome": "failed", "reason": "It said no."},
    "another reason": {"reason": "It said yes."},
    "a trial": {"trial_ends_at": timezone.now() + timedelta(hours=1)},
    "a trial that is over": {"trial_ends_at": timezone.now() - timedelta(hours=1)},
    "a first rekey that failed": {"first_rekey": "failed"},
    "a first rekey that went well": {"first_rekey": "agreed"},
    "another time": {"finished_at": timezone.now() + timedelta(seconds=9)},
}


@pytest.mark.parametrize("news", NEWS.values(), ids=NEWS)
def test_a_poll_is_answered_with_the_page_when_there_is_news_and_with_nothing_before(
    second_tunnel, queued, page, news
):
    finish(queued, "live", reason="It said maybe.")
    seen("up")
    before = state(page, second_tunnel)
    query = {"seen": part(before, "state").get("hx-get").split("seen=")[1].split("&")[0]}
    assert state(page, second_tunnel, **query).status_code == 204

    Revision.objects.update(**news)

    assert state(page, second_tunnel, **query).status_code == 200


def test_a_poll_hears_of_a_repair_an_association_and_an_edit(second_tunnel, queued, page, user):
    finish(queued, "live")
    seen("up")

    def is_news(change) -> bool:
        url = part(state(page, second_tunnel), "state").get("hx-get")
        assert page.get(url).status_code == 204
        change()
        return page.get(url).status_code == 200

    concentrator = second_tunnel.concentrator
    assert is_news(
        lambda: concentrator.repairs.create(tunnel=second_tunnel, text="Loaded it again")
    )
    assert is_news(lambda: seen("down"))
    assert is_news(lambda: services.edit(second_tunnel, "phase_two_keylife", 7200, user))
    assert is_news(lambda: Concentrator.objects.update(unreachable_reason="The socket is gone."))


def test_an_association_of_older_settings_is_up_and_says_what_has_not_come_yet(
    second_tunnel, queued, page
):
    finish(queued, "live")
    seen("older")

    answer = state(page, second_tunnel)

    assert shown_words(answer) == ["Up \N{EN DASH} settings out of date"] * 2
    assert (
        "What runs was negotiated with the settings of an earlier apply and goes on. "
        "The other end has not taken the new ones yet."
    ) in words(answer, "state")


REFUSED_REKEY = "The keys cannot be renewed. The tunnel is up, but"


@pytest.mark.parametrize(
    ("rekeyed", "association", "warned", "praised"),
    [
        ("", "up", False, False),
        ("due", "up", False, False),
        ("agreed", "up", False, True),
        ("agreed", "down", False, False),
        ("failed", "up", True, False),
        ("failed", "partial", True, False),
        ("failed", "down", False, False),
    ],
)
def test_a_first_rekey_is_told_of_when_it_failed_or_agreed_and_the_tunnel_is_up(
    second_tunnel, queued, page, rekeyed, association, warned, praised
):
    finish(queued, "live", first_rekey=rekeyed)
    seen(association)

    text = words(state(page, second_tunnel), "state")

    assert (REFUSED_REKEY in text, "PFS checked" in text) == (warned, praised)


def test_a_tunnel_whose_keys_cannot_be_renewed_says_when_it_breaks(second_tunnel, user, page):
    services.edit(second_tunnel, "phase_two_keylife", 7200, user)
    finish(services.apply(second_tunnel, user), "live", first_rekey="failed")
    Revision.objects.update(finished_at="2026-01-01T10:00:00Z")
    seen("up")

    assert (
        "It will break when its keys run out, first at about 1 Jan 2026, 12:00:00 UTC "
        "(key life of phase two: 7200 seconds)."
    ) in words(state(page, second_tunnel), "state")


def test_the_newest_repairs_of_this_tunnel_are_listed_and_no_others(
    tunnel, second_tunnel, queued, page
):
    concentrator = second_tunnel.concentrator
    for number in range(7):
        concentrator.repairs.create(tunnel=second_tunnel, text=f"Repair {number} of <ipsec002>")
    concentrator.repairs.create(tunnel=tunnel, text="Repair of ipsec001")
    concentrator.repairs.create(tunnel=None, text="Repair of all")

    told = part(state(page, second_tunnel), "repairs").iter("span")

    assert ["".join(e.itertext()).split(">")[0] for e in told] == [
        f"Repair {number} of <ipsec002" for number in (6, 5, 4, 3, 2)
    ]


def test_a_cancelled_tunnel_says_who_has_not_let_go_of_it(second_tunnel, queued, user, page):
    finish(queued, "live")
    services.cancel(second_tunnel, user)

    assert "This tunnel was cancelled. It is being taken off hou02-vpn01." in words(
        state(page, second_tunnel), "state"
    )


def test_a_change_of_the_state_is_told_to_those_who_listen(second_tunnel, queued, page):
    def aloud(said: str) -> list:
        elements = read(state(page, second_tunnel, said=said)).iter()
        return [e for e in elements if e.get("hx-swap-oob") == "innerHTML:#live"]

    told, silent = aloud("Up"), aloud("Queued")

    assert ["".join(e.itertext()).strip() for e in told] == ["State of the tunnel: Queued"]
    assert silent == []


def test_applied_translations_are_listed_and_drafts_of_them_are_not(second_tunnel, user, page):
    nat = Subnet.objects.create(
        account=second_tunnel.account, kind=Subnet.Kind.STATIC_NAT, network="10.1.254.0/30"
    )
    second_tunnel.subnets.add(nat)

    def translate(last: int) -> None:
        internal, customer = IPv4Address(f"10.1.254.{last}"), IPv4Address(f"192.168.20.{last}")
        services.set_translations(
            second_tunnel, [services.TranslationRow(internal, customer, "web")], user
        )

    translate(1)
    finish(services.apply(second_tunnel, user), "live")
    translate(2)

    lists = part(state(page, second_tunnel), "state").iter("ul")
    applied = next(e for e in lists if e.get("class") == "translations")
    assert [e.text for e in applied] == ["10.1.254.1 → 192.168.20.1 (web)"]


def test_apply_lists_what_is_wrong_with_links_to_the_fields_and_queues_nothing(tunnel, page):
    for headers in ({}, {"HX-Request": "true"}):
        answer = page.post(reverse("apply", args=[tunnel.pk]), headers=headers)

        assert answer.status_code == 422
        links = {"".join(e.itertext()): e.get("href") for e in part(answer, "problems").iter("a")}
        assert links == {
            "Remote Peer Address": "#id_remote_peer",
            "Preshared Key": "#id_preshared_key",
            "Protected Customer (Remote) Subnet": "#remote_subnets",
        }
    assert Revision.objects.count() == 0


def test_a_problem_of_a_translation_leads_to_its_open_row(second_tunnel, tunnel, page, user):
    services.set_preshared_key(tunnel, "k", user)
    services.edit(tunnel, "remote_peer", "203.0.113.2", user)
    tunnel.translations.create(internal_address="10.1.255.92", customer_address="192.168.10.15")

    answer = page.post(reverse("apply", args=[tunnel.pk]))
    nat = tunnel.subnets.get(network="10.1.255.92/30").pk

    links = {"".join(e.itertext()): e.get("href") for e in part(answer, "problems").iter("a")}
    assert links["Customer IP for 10.1.255.92"] == (
        f"/tunnels/{tunnel.pk}/?open={nat}#customer-10.1.255.92"
    )


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}], ids=["plain", "htmx"])
def test_apply_queues_one_revision_and_shows_it_queued(second_tunnel, page, headers):
    answer = page.post(reverse("apply", args=[second_tunnel.pk]), headers=headers, follow=True)

    assert [r.outcome for r in Revision.objects.all()] == ["queued"]
    assert shown_words(answer)[0] == "Queued"


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}], ids=["plain", "htmx"])
def test_a_row_that_was_typed_and_not_saved_stops_apply_and_stays_typed(tunnel, page, headers):
    typed_rows = {"customer-10.1.255.92": "192.168.10.15", "name-10.1.255.92": "database"}

    answer = page.post(reverse("apply", args=[tunnel.pk]), typed_rows, headers=headers)

    assert (answer.status_code, Revision.objects.count()) == (422, 0)
    links = {"".join(e.itertext()): e.get("href") for e in part(answer, "problems").iter("a")}
    assert links == {"Customer IP for 10.1.255.92": "#customer-10.1.255.92"}
    if not headers:
        assert typed(answer, "customer-10.1.255.92") == "192.168.10.15"
        assert words(answer, "note-10.1.255.92").endswith("or put back what was there.")


def test_rows_that_are_as_they_were_saved_do_not_stop_apply(second_tunnel, page):
    rows = {"customer-10.1.255.92": " ", "name-10.1.255.92": ""}

    page.post(reverse("apply", args=[second_tunnel.pk]), rows)

    assert [revision.outcome for revision in Revision.objects.all()] == ["queued"]
