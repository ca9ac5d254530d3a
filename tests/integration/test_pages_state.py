"""The state box shows facts only: queued is not live, and unknown is not down."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.html import part, read, typed, words
from tests.integration.traffic_rows import record_traffic
from vpnportal import services
from vpnportal.models import Concentrator, Revision, Subnet, Tunnel


@pytest.fixture
def queued(second_tunnel, user) -> Revision:
    return services.apply(second_tunnel, user)


def finish(revision: Revision, outcome: str, **more: object) -> None:
    Revision.objects.filter(pk=revision.pk).update(
        outcome=outcome, finished_at=timezone.now(), **more
    )


def report(sa_status: str, **more: object) -> None:
    """Let the concentrator report an SA status now."""
    Tunnel.objects.update(sa_status=sa_status)
    Concentrator.objects.update(**{"seen_at": timezone.now(), "unreachable_reason": "", **more})


def state(page, tunnel: Tunnel, **query: str):
    return page.get(reverse("state", args=[tunnel.pk]), query)


def labels(response, id: str = "state") -> list[str]:
    """Return the state labels in an element, in order."""
    spans = part(response, id).iter("span")
    return [
        "".join(span.itertext()).strip()
        for span in spans
        if "state-label" in span.get("class", "").split()
    ]


def trigger(response) -> str:
    return part(response, "state").get("hx-trigger")


def poll_token(response) -> str:
    return part(response, "state").get("hx-get").split("seen=")[1].split("&")[0]


def problem_links(response) -> dict[str, str]:
    links = part(response, "problems").iter("a")
    return {"".join(link.itertext()): link.get("href") for link in links}


def test_a_new_tunnel_is_never_applied(tunnel, page):
    response = state(page, tunnel)

    assert labels(response) == ["Never applied"]
    assert trigger(response) == "every 5s"


@pytest.mark.parametrize("outcome", ["queued", "applying"])
def test_a_queued_or_applying_revision_is_shown_neither_as_applied_nor_as_up(
    second_tunnel, queued, page, outcome
):
    Revision.objects.update(outcome=outcome)
    report("down")

    response, tunnel_list = state(page, second_tunnel), page.get(reverse("tunnels"))

    label = Revision.Outcome(outcome).label
    assert labels(response) == [label, label, "Down"]
    assert "No revision of this tunnel is live." in words(response, "state")
    assert "Revision 1 applied" not in words(response, "state")
    assert labels(tunnel_list, "main") == [label]
    assert trigger(response) == "load delay:80ms, every 300ms"


def test_the_lock_of_a_tunnel_is_shown_before_its_controls(second_tunnel, queued, page):
    response = page.get(reverse("tunnel", args=[second_tunnel.pk]))
    elements = list(part(response, "main").iter())
    lock = next(index for index, e in enumerate(elements) if e.get("class") == "notice")
    controls = [index for index, e in enumerate(elements) if e.tag in ("input", "select")]

    assert lock < min(controls)
    assert "".join(elements[lock].itertext()) == "Locked while revision 1 is being applied."


def test_without_javascript_the_page_reloads_itself_only_while_it_is_locked(
    second_tunnel, queued, page
):
    def reloads() -> bool:
        response = page.get(reverse("tunnel", args=[second_tunnel.pk]))
        return any(meta.get("http-equiv") == "refresh" for meta in read(response).iter("meta"))

    assert reloads()
    finish(queued, "live")
    assert not reloads()


def test_an_applied_tunnel_shows_its_revision_and_its_label_once(second_tunnel, queued, page):
    finish(queued, "live")
    Revision.objects.update(finished_at="2026-01-01T10:00:00Z")
    report("up")

    response = state(page, second_tunnel)

    assert labels(response) == ["Up"]
    assert words(response, "state").startswith(
        "State Up Revision 1 applied 1 Jan 2026, 10:00:00 UTC by ada. "
    )
    assert words(response, "pending") == "No pending changes"


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"seen_at": None}, "hou02-vpn01 has never reported."),
        (
            {"unreachable_reason": "charon's socket is gone."},
            "charon's socket is gone. Last state: Up (",
        ),
        (
            {"seen_at": datetime(2026, 1, 1, 10, tzinfo=UTC)},
            "No status from hou02-vpn01 since 1 Jan 2026, 10:00:00 UTC. Last state: Up "
            "(1 Jan 2026, 10:00:00 UTC)",
        ),
    ],
    ids=["never seen", "unreachable", "silent"],
)
def test_the_state_of_an_offline_concentrators_tunnel_is_unknown_with_the_reason_and_never_down(
    second_tunnel, queued, page, columns, sentence
):
    finish(queued, "live")
    report("up", **columns)

    response, tunnel_list = state(page, second_tunnel), page.get(reverse("tunnels"))

    assert labels(response) == ["Unknown"]
    assert sentence in words(response, "state")
    assert "Down" not in words(response, "state")
    assert labels(tunnel_list, "main") == ["Unknown"]


def test_a_failed_revision_shows_its_reason_its_steps_and_the_revision_that_is_live(
    second_tunnel, queued, user, page
):
    finish(queued, "live")
    report("up")
    services.edit(second_tunnel, "phase_one_keylife", 7200, user)
    steps = [
        {"at": "2026-01-01T10:00:00", "text": "Loaded the connection ctx2", "ok": True},
        {"at": "2026-01-01T10:00:01", "text": "charon refused it", "ok": False},
    ]
    revision = services.apply(second_tunnel, user)
    finish(revision, "failed", reason="charon refused the connection.", steps=steps)

    response = state(page, second_tunnel)

    assert labels(response) == ["Failed", "Failed", "Up"]
    assert (
        "charon refused the connection. Loaded the connection ctx2 10:00:00 "
        "Failed: charon refused it 10:00:01"
    ) in words(response, "state")
    assert "Revision 1 applied " in words(response, "state")
    assert words(response, "pending").startswith("1 pending change. ")


def test_a_revision_that_no_worker_takes_is_shown_with_its_age_and_unlocks_the_tunnel(
    second_tunnel, queued, page
):
    Revision.objects.update(created_at=timezone.now() - timedelta(minutes=12, seconds=5))

    response = state(page, second_tunnel)

    assert (
        "Queued for 12 min: the concentrator is not responding. Revision 1 is applied when the "
        "concentrator responds. The tunnel can be edited again."
    ) in words(response, "state")
    assert labels(response)[0] == "Queued"
    assert trigger(response) == "every 5s"


def test_a_poll_for_a_state_that_the_page_shows_already_gets_no_content(
    second_tunnel, queued, page
):
    first = state(page, second_tunnel)
    token = poll_token(first)
    whole = page.get(reverse("tunnel", args=[second_tunnel.pk]))

    again = state(page, second_tunnel, seen=token)

    assert again.status_code == 204
    # A changed state makes the Status section poll at once.
    assert json.loads(first.headers["HX-Trigger"]) == {"state-changed": {}}
    assert "HX-Trigger" not in again.headers
    assert part(whole, "status").get("hx-trigger") == "every 5s, state-changed from:body"
    finish(queued, "live")
    assert state(page, second_tunnel, seen=token).status_code == 200


CHANGES = {
    "another step": {"steps": [{"at": "2026-01-01T10:00:00", "text": "Started", "ok": True}]},
    "another outcome": {"outcome": "failed", "reason": "charon refused it."},
    "another reason": {"reason": "charon accepted it."},
    "a trial": {"trial_ends_at": timezone.now() + timedelta(hours=1)},
    "a trial that has ended": {"trial_ends_at": timezone.now() - timedelta(hours=1)},
    "a failed first rekey": {"first_rekey": "failed"},
    "a successful first rekey": {"first_rekey": "agreed"},
    "another time": {"finished_at": timezone.now() + timedelta(seconds=9)},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_poll_gets_the_state_box_only_after_a_change(second_tunnel, queued, page, change):
    finish(queued, "live", reason="charon may accept it.")
    report("up")
    token = poll_token(state(page, second_tunnel))
    assert state(page, second_tunnel, seen=token).status_code == 204

    Revision.objects.update(**change)

    assert state(page, second_tunnel, seen=token).status_code == 200


def test_a_poll_gets_a_correction_an_sa_status_and_an_edit(second_tunnel, queued, page, user):
    finish(queued, "live")
    report("up")

    def is_polled(change) -> bool:
        url = part(state(page, second_tunnel), "state").get("hx-get")
        assert page.get(url).status_code == 204
        change()
        return page.get(url).status_code == 200

    concentrator = second_tunnel.concentrator
    assert is_polled(
        lambda: concentrator.repairs.create(tunnel=second_tunnel, text="Loaded it again")
    )
    assert is_polled(lambda: report("down"))
    assert is_polled(lambda: services.edit(second_tunnel, "phase_two_keylife", 7200, user))
    assert is_polled(lambda: Concentrator.objects.update(unreachable_reason="No socket."))


def test_a_poll_gets_the_age_of_a_revision_that_no_worker_takes(second_tunnel, queued, page):
    Revision.objects.update(created_at=timezone.now() - timedelta(minutes=12, seconds=5))
    token = poll_token(state(page, second_tunnel))
    assert state(page, second_tunnel, seen=token).status_code == 204

    Revision.objects.update(created_at=timezone.now() - timedelta(minutes=13, seconds=5))

    assert "Queued for 13 min" in words(state(page, second_tunnel, seen=token), "state")


def test_a_tunnel_with_older_settings_names_the_running_and_the_pending_revision(
    second_tunnel, queued, user, page
):
    finish(queued, "replaced", first_up_at=timezone.now())
    # The peer never accepted revision 2.
    finish(services.apply(second_tunnel, user), "replaced")
    finish(services.apply(second_tunnel, user), "live")
    report("older")

    response = state(page, second_tunnel)

    assert labels(response) == ["Up \N{EN DASH} settings out of date"]
    assert words(response, "state-title").endswith("settings out of date (rekey pending)")
    assert ("Still running with revision 1. The peer has not accepted revision 3.") in words(
        response, "state"
    )


def test_a_tunnel_with_older_settings_of_an_unknown_revision_says_an_earlier_revision(
    second_tunnel, queued, page
):
    finish(queued, "live")
    report("older")

    assert (
        "Still running with an earlier revision. The peer has not accepted revision 1."
    ) in words(state(page, second_tunnel), "state")


def test_a_degraded_tunnel_shows_how_many_subnet_pairs_are_up(ready, user, page):
    ready.subnets.add(
        Subnet.objects.create(
            account=ready.account, kind=Subnet.Kind.CUSTOMER, network="192.168.30.0/24"
        )
    )
    finish(services.apply(Tunnel.objects.get(pk=ready.pk), user), "live")
    report("partial")
    assert words(state(page, ready), "state-title") == "State Degraded"

    record_traffic(Tunnel.objects.get(pk=ready.pk), child_count=1)

    response = state(page, ready)
    assert words(response, "state-title") == "State Degraded (1 of 2 subnet pairs up)"


def test_a_tunnel_that_only_the_peer_may_initiate_waits_for_the_peer(second_tunnel, user, page):
    services.edit(second_tunnel, "starts", "other", user)
    finish(services.apply(second_tunnel, user), "live")
    report("down")

    title = words(state(page, second_tunnel), "state-title")

    assert title == "State Waiting for peer (responder only)"


REKEY_FAILED = "Rekey failed. The tunnel is up, but the peer refused the first rekey"


@pytest.mark.parametrize(
    ("first_rekey", "sa_status", "is_failure_shown", "is_success_shown"),
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
def test_the_result_of_the_first_rekey_is_shown_while_the_tunnel_is_up(
    second_tunnel, queued, page, first_rekey, sa_status, is_failure_shown, is_success_shown
):
    finish(queued, "live", first_rekey=first_rekey)
    report(sa_status)

    text = words(state(page, second_tunnel), "state")

    assert (REKEY_FAILED in text) is is_failure_shown
    assert ("PFS verified: the peer accepted the first rekey." in text) is is_success_shown


def test_a_tunnel_with_a_failed_first_rekey_shows_when_its_keys_expire(second_tunnel, user, page):
    services.edit(second_tunnel, "phase_two_keylife", 7200, user)
    finish(services.apply(second_tunnel, user), "live", first_rekey="failed")
    Revision.objects.update(finished_at="2026-01-01T10:00:00Z")
    report("up")

    assert (
        "The tunnel goes down when its keys expire, first at about 1 Jan 2026, 12:00:00 UTC "
        "(phase 2 key life: 7200 seconds)."
    ) in words(state(page, second_tunnel), "state")


def test_the_newest_corrections_of_this_tunnel_are_listed_and_no_others(
    tunnel, second_tunnel, queued, page
):
    concentrator = second_tunnel.concentrator
    for number in range(7):
        concentrator.repairs.create(tunnel=second_tunnel, text=f"Repair {number} of <ipsec002>")
    concentrator.repairs.create(tunnel=tunnel, text="Repair of ipsec001")
    concentrator.repairs.create(tunnel=None, text="Repair of all")

    response = state(page, second_tunnel)

    listed = part(response, "repairs").iter("span")
    assert words(response, "repairs-summary") == "Automatic corrections"
    assert ["".join(span.itertext()).split(">")[0] for span in listed] == [
        f"Repair {number} of <ipsec002" for number in (6, 5, 4, 3, 2)
    ]


def test_a_deleted_tunnel_shows_which_concentrator_still_has_it(second_tunnel, queued, user, page):
    finish(queued, "live")
    services.cancel(second_tunnel, user)

    assert "This tunnel was deleted. It is being removed from hou02-vpn01." in words(
        state(page, second_tunnel), "state"
    )


def test_a_new_state_is_announced_to_screen_readers(second_tunnel, queued, page):
    def announcements(said: str) -> list[str]:
        elements = read(state(page, second_tunnel, said=said)).iter()
        live = [e for e in elements if e.get("hx-swap-oob") == "innerHTML:#live"]
        return ["".join(e.itertext()).strip() for e in live]

    assert announcements("Up") == ["State: Queued"]
    assert announcements("Queued") == []


def test_applied_translations_are_listed_and_translations_of_the_draft_are_not(
    second_tunnel, user, page
):
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
    applied = next(ul for ul in lists if ul.get("class") == "translations")
    assert [item.text for item in applied] == ["10.1.254.1 → 192.168.20.1 (web)"]


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}], ids=["plain", "htmx"])
def test_a_refused_apply_lists_the_problems_with_links_and_queues_nothing(tunnel, page, headers):
    response = page.post(reverse("apply", args=[tunnel.pk]), headers=headers)

    assert response.status_code == 422
    assert words(response, "problems").startswith("Not applied. Fix these first:")
    assert problem_links(response) == {
        "Remote Peer Address": "#id_remote_peer",
        "Preshared Key": "#id_preshared_key",
        "Protected Customer (Remote) Subnet": "#remote_subnets",
    }
    assert Revision.objects.count() == 0


def test_the_problem_of_a_translation_links_to_its_open_row(second_tunnel, tunnel, page, user):
    services.set_preshared_key(tunnel, "k", user)
    services.edit(tunnel, "remote_peer", "203.0.113.2", user)
    tunnel.translations.create(internal_address="10.1.255.92", customer_address="192.168.10.15")

    response = page.post(reverse("apply", args=[tunnel.pk]))
    nat = tunnel.subnets.get(network="10.1.255.92/30").pk

    assert problem_links(response)["Customer IP for 10.1.255.92"] == (
        f"/tunnels/{tunnel.pk}/?open={nat}#customer-10.1.255.92"
    )


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}], ids=["plain", "htmx"])
def test_apply_queues_one_revision_and_shows_it_queued(second_tunnel, page, headers):
    response = page.post(reverse("apply", args=[second_tunnel.pk]), headers=headers, follow=True)

    assert [revision.outcome for revision in Revision.objects.all()] == ["queued"]
    assert labels(response)[0] == "Queued"
    place = "problems" if headers else "live"
    assert words(response, place).startswith("Revision 1 submitted.")


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}], ids=["plain", "htmx"])
def test_an_unsaved_row_prevents_an_apply_and_stays_typed(tunnel, page, headers):
    typed_rows = {"customer-10.1.255.92": "192.168.10.15", "name-10.1.255.92": "database"}

    response = page.post(reverse("apply", args=[tunnel.pk]), typed_rows, headers=headers)

    assert (response.status_code, Revision.objects.count()) == (422, 0)
    assert problem_links(response) == {"Customer IP for 10.1.255.92": "#customer-10.1.255.92"}
    if not headers:
        assert typed(response, "customer-10.1.255.92") == "192.168.10.15"
        assert words(response, "note-10.1.255.92").endswith("or restore the saved value.")


def test_rows_without_a_change_do_not_prevent_an_apply(second_tunnel, page):
    rows = {"customer-10.1.255.92": " ", "name-10.1.255.92": ""}

    page.post(reverse("apply", args=[second_tunnel.pk]), rows)

    assert [revision.outcome for revision in Revision.objects.all()] == ["queued"]
