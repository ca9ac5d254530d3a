"""The choice of operators between a gateway and a restored backup, for each held tunnel."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from ipaddress import IPv4Address
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from tests.fake_gateway import FakeGateway
from tests.html import read
from tests.integration.restored_backup import (
    REKEY_OF_AN_HOUR,
    Backup,
    Kind,
    Outcome,
    apply,
    converge,
    fresh,
    held,
    ordered,
    pools,
    state,
    text_of,
    three_kinds,
)
from vpnportal import services
from vpnportal.models import (
    Account,
    AddressPool,
    Concentrator,
    HeldTunnel,
    RemoteClaim,
    Revision,
    TranslationUsage,
    Tunnel,
    TunnelMark,
)
from vpnportal.monitor import translation_usage
from vpnportal.reconciler import epochs, reconcile
from vpnportal.reconciler.local_target import _local_target

__all__ = ["ordered", "pools", "three_kinds"]
pytestmark = pytest.mark.sqlite


def keep(*tunnels: Tunnel, **options) -> list[str]:
    return [row.problem for row in services.keep_gateways([t.pk for t in tunnels], None, **options)]


def take(*tunnels: Tunnel) -> list[str]:
    return [row.problem for row in services.take_backups([t.pk for t in tunnels], None)]


def stored_names() -> set[str]:
    _local_target.cache_clear()
    return {item.connection.name for item in epochs.local_target("hou02-vpn01").tunnels()}


def test_keeping_the_gateways_side_changes_no_gateway_and_ends_the_question(
    ready, second_tunnel, three_kinds, concentrator, user, gateway
):
    backup, unknown = three_kinds
    converge(concentrator)

    assert keep(ready, second_tunnel, unknown) == ["", "", ""]
    converge(concentrator)
    for tunnel in (ready, unknown):
        converge(concentrator, tunnel.pk)

    assert not backup.changed()
    assert held() == {}
    assert not HeldTunnel.objects.exists()
    revision = ready.revisions.get(outcome=Outcome.LIVE)
    assert (revision.number, revision.spec().phase_two.keylife) == (3, 2_400)
    assert fresh(ready).phase_two_keylife == 2_400
    assert fresh(second_tunnel).disconnected_at
    assert services.state_of(fresh(ready)).pending == ()
    adopted = fresh(unknown)
    assert (adopted.name, adopted.account, adopted.mark) == (
        unknown.name,
        unknown.account,
        unknown.mark or TunnelMark.objects.get(tunnel=adopted).number,
    )
    assert services.state_of(adopted).pending == ()
    assert RemoteClaim.objects.held().filter(revision__tunnel=adopted).count() == 2
    assert stored_names() == {f"ctx{ready.pk}", f"ctx{unknown.pk}"}
    services.edit(fresh(ready), "phase_two_keylife", 1_200, user)
    apply(ready, user)
    apply(unknown, user, 1_200)


def test_taking_the_backups_side_changes_the_gateway_to_it(
    ready, second_tunnel, three_kinds, concentrator, account, owner, gateway
):
    _, unknown = three_kinds
    converge(concentrator)
    row = HeldTunnel.objects.get(tunnel_id=unknown.pk)

    assert take(ready, second_tunnel, unknown) == ["", "", ""]
    new = services.order(account, concentrator.datacenter, owner)
    assert (new.hosted_peer, new.mark) != (row.hosted_peer, row.mark)
    assert new.hosted_peer != row.hosted_peer
    new.delete()
    converge(concentrator)

    assert set(gateway.connections) == {f"ctx{ready.pk}", f"ctx{second_tunnel.pk}"}
    (child,) = gateway.connections[f"ctx{ready.pk}"].as_loaded.children
    assert child.rekey_seconds == REKEY_OF_AN_HOUR
    assert not HeldTunnel.objects.exists()
    texts = set(concentrator.repairs.values_list("text", flat=True))
    assert f"{row.name}: Took the backup's settings after a restore" in texts
    assert stored_names() == {f"ctx{ready.pk}", f"ctx{second_tunnel.pk}"}
    converge(concentrator)
    assert not TunnelMark.objects.filter(number=row.mark).exists()
    new = services.order(account, concentrator.datacenter, owner)
    assert (new.hosted_peer, new.mark) == (row.hosted_peer, row.mark)


@pytest.mark.parametrize("operation", ["apply", "cancel", "move", "disconnect"])
def test_a_held_tunnel_and_all_of_an_uncompared_gateway_wait(
    ready, second_tunnel, three_kinds, concentrator, user, owner, gateway, operation
):
    operations = {
        "apply": lambda tunnel: services.apply(tunnel, user),
        "cancel": lambda tunnel: services.cancel(tunnel, owner),
        "move": lambda tunnel: services.move(tunnel, other, user),
        "disconnect": lambda tunnel: services.disconnect(tunnel, owner),
    }
    other = Concentrator.objects.create(
        name="hou02-vpn02", datacenter=concentrator.datacenter, public_address="203.0.113.5"
    )
    AddressPool.objects.create(concentrator=other, kind="hosted-peer", network="203.0.113.48/28")
    Revision.objects.update(created_at=timezone.now() - timedelta(hours=1))
    with pytest.raises(services.Refused, match="restored from a backup"):
        operations[operation](fresh(second_tunnel))
    converge(concentrator)
    with pytest.raises(services.Refused, match="restored from a backup"):
        operations[operation](fresh(ready))
    services.edit(fresh(ready), "phase_two_keylife", 1_200, user)
    keep(ready)

    operations[operation](fresh(ready))


def test_an_uncompared_gateway_takes_no_order(ready, pools, account, concentrator, owner, gateway):
    Concentrator.objects.update(epoch=uuid4())

    with pytest.raises(services.Refused, match="compared with the backup"):
        services.order(account, concentrator.datacenter, owner)
    assert not services.locations()[0].free
    converge(concentrator)

    assert services.order(account, concentrator.datacenter, owner)


def test_networks_of_a_held_tunnel_are_not_claimed_by_others(
    ready, second_tunnel, three_kinds, concentrator, user, gateway
):
    converge(concentrator)
    keep(second_tunnel)
    services.add_remote_subnet(
        fresh(second_tunnel), services.parse_subnet("192.168.70.128", "25"), user
    )

    with pytest.raises(services.Refused, match="another tunnel of this concentrator, which waits"):
        services.apply(fresh(second_tunnel), user)


def test_an_unknown_tunnel_of_an_account_that_is_gone_needs_an_account(
    ready, three_kinds, concentrator, account, gateway
):
    backup, unknown = three_kinds
    converge(concentrator)
    HeldTunnel.objects.filter(tunnel_id=unknown.pk).update(account_id=account.pk + 500)

    assert "--account" in keep(unknown)[0]
    assert not Tunnel.objects.filter(pk=unknown.pk).exists()
    assert keep(unknown, account=account) == [""]
    converge(concentrator)

    assert fresh(unknown).account == account
    assert not backup.changed()


def test_a_tunnel_gets_no_settings_of_another_account(
    ready, second_tunnel, three_kinds, concentrator, gateway
):
    """The number of a tunnel was given again: a database that another program restored."""
    backup, unknown = three_kinds
    other = Account.objects.create(name="Other account")
    Tunnel.objects.create(
        pk=unknown.pk,
        account=other,
        concentrator=concentrator,
        name="ipsec900",
        hosted_peer="203.0.113.250",
    )
    converge(concentrator)

    assert held()[unknown.pk] == Kind.UNKNOWN
    assert "belongs to another tunnel" in keep(unknown)[0]
    assert fresh(unknown).preshared_key.token == ""
    assert not backup.changed()
    assert take(unknown) == [""]
    converge(concentrator)
    assert f"ctx{unknown.pk}" not in gateway.connections


def test_the_backups_tunnel_waits_for_the_addresses_that_another_one_uses(
    ready, second_tunnel, three_kinds, concentrator, gateway
):
    _, unknown = three_kinds
    converge(concentrator)
    mark = fresh(second_tunnel).mark
    HeldTunnel.objects.filter(tunnel_id=unknown.pk).update(mark=mark)

    assert "uses its addresses or its mark" in take(second_tunnel)[0]
    take(unknown)
    assert "uses its addresses or its mark" in take(second_tunnel)[0]
    converge(concentrator)
    assert f"ctx{second_tunnel.pk}" not in gateway.connections

    assert take(second_tunnel) == [""]
    converge(concentrator)
    assert f"ctx{second_tunnel.pk}" in gateway.connections


def test_a_choice_is_made_once(ready, three_kinds, concentrator, gateway):
    converge(concentrator)

    assert take(ready) == [""]
    assert keep(ready) == ["This tunnel is not held any more."]


def test_a_number_that_both_histories_have_is_not_given_twice(ready, user, gateway):
    """Another program restored the database, and a user applied before the gateway converged."""
    apply(ready, user)
    backup = Backup(gateway)
    apply(ready, user, 1_800)
    converge(ready.concentrator)
    backup.restore()
    Concentrator.objects.update(epoch=None, restored_from=None)
    services.edit(fresh(ready), "phase_two_keylife", 2_400, user)
    services.apply(fresh(ready), user)

    converge(ready.concentrator)
    assert held() == {ready.pk: Kind.CHANGED}
    assert keep(ready) == [""]
    converge(ready.concentrator)

    assert not backup.changed()
    numbers = ready.revisions.values_list("number", "outcome")
    assert list(numbers) == [(3, Outcome.LIVE), (2, Outcome.REPLACED), (1, Outcome.REPLACED)]
    assert ready.revisions.get(number=3).spec().phase_two.keylife == 1_800


@pytest.fixture
def moved(
    request, ready, user, concentrator, gateway, monkeypatch
) -> tuple[Backup, Backup, Concentrator]:
    """Return both gateways at the restore of a backup from before a move, and the new one.

    With the parameter False, the old gateway still had the tunnel at the restore.
    """
    is_released = getattr(request, "param", True)
    there = FakeGateway()
    gateways = {concentrator.name: gateway, "hou02-vpn02": there}
    monkeypatch.setattr(reconcile, "driver_for", lambda row: gateways[row.name])
    other = Concentrator.objects.create(
        name="hou02-vpn02", datacenter=concentrator.datacenter, public_address="203.0.113.5"
    )
    AddressPool.objects.create(concentrator=other, kind="hosted-peer", network="203.0.113.48/28")
    apply(ready, user)
    converge(other)
    here = Backup(gateway)
    services.move(fresh(ready), other, user)
    apply(ready, user)
    for row in (concentrator, other, concentrator) if is_released else ():
        converge(row)
    assert bool(gateway.connections) != is_released
    here.restore()
    newer = Backup(there)
    newer.gateway_before = state(there)
    there.plans.clear()
    there.initiated.clear()
    return here, newer, other


def test_a_tunnel_that_moved_after_the_backup_stays_where_it_is(
    ready, moved, concentrator, gateway
):
    here, there, other = moved
    converge(concentrator)
    converge(other)
    rows = {row.concentrator.name: row.kind for row in HeldTunnel.objects.all()}
    # A gateway does not see the tunnel, which is at another one in the backup. The portal does.
    assert rows == {"hou02-vpn01": Kind.REMOVED, "hou02-vpn02": Kind.UNKNOWN}
    assert {summary.held.kind for summary in services.held_tunnels()} == {
        Kind.REMOVED,
        Kind.CHANGED,
    }

    assert keep(ready) == [""]
    for _ in range(2):
        converge(concentrator)
        converge(other)

    assert not here.changed()
    assert not there.changed()
    assert fresh(ready).concentrator == other
    assert ready.revisions.get(outcome=Outcome.LIVE).concentrator == other
    assert not ready.releases.open().exists()
    assert not HeldTunnel.objects.exists()


@pytest.mark.parametrize("moved", [False], indirect=True)
def test_the_old_address_of_a_tunnel_that_moves_is_free_when_its_gateway_removed_it(
    ready, moved, concentrator, gateway
):
    _, there, other = moved
    address = fresh(ready).hosted_peer
    converge(concentrator)
    converge(other)
    assert held() == {ready.pk: Kind.UNKNOWN}

    assert keep(ready) == [""]
    (release,) = ready.releases.open()
    assert (release.concentrator, release.hosted_peer) == (concentrator, address)
    for _ in range(2):
        converge(concentrator)
        converge(other)

    assert not gateway.connections
    assert not ready.releases.open().exists()
    assert not there.changed()


def test_a_tunnel_that_moved_after_the_backup_moves_back(ready, moved, concentrator, gateway):
    _, _, other = moved
    converge(concentrator)
    converge(other)

    assert take(ready) == [""]
    converge(other)
    converge(concentrator)

    assert list(gateway.connections) == [f"ctx{ready.pk}"]
    assert not reconcile.driver_for(other).connections
    assert not HeldTunnel.objects.exists()


def held_command(*args: str, status: int = 0) -> str:
    """Return the output of the command, whose exit status must be `status`."""
    out = StringIO()
    try:
        call_command("held", *args, stdout=out)
        found = 0
    except SystemExit as ended:
        found = ended.code
    except CommandError as error:
        found = error.returncode
        out.write(str(error))
    assert found == status
    return out.getvalue()


def test_the_command_lists_and_decides(ready, second_tunnel, three_kinds, concentrator, gateway):
    _, unknown = three_kinds
    assert "not compared" in held_command("list", status=1)
    converge(concentrator)

    listed = json.loads(held_command("list", "--json", status=1))

    assert listed["uncompared"] == []
    rows = {row["tunnel"]: row for row in listed["held"]}
    assert {name: row["kind"] for name, row in rows.items()} == {
        ready.name: "changed",
        second_tunnel.name: "removed",
        unknown.name: "unknown",
    }
    assert rows[ready.name]["differs_in"] == ["Phase Two Key Life (in seconds)"]
    assert rows[ready.name]["gateway_runs"] == "revision 3"
    assert rows[unknown.name]["backup_has"] == "nothing"
    for secret in ("a key", "another key", "2400", "2,400"):
        assert secret not in json.dumps(listed)
    assert "is not held" in held_command("keep", "ipsec900", status=2)
    assert "--all" in held_command("replace", status=2)
    assert "There is no account" in held_command("keep", "--all", "--account", "x", status=2)
    assert held_command("replace", second_tunnel.name) == f"{second_tunnel.name}: done\n"
    assert held_command("keep", "--all").count(": done") == 2
    assert "No tunnel is held" in held_command("list")
    assert "is not held" in held_command("keep", ready.name, status=2)


def test_a_gateway_that_is_gone_is_forgotten_until_it_comes_back(
    ready, three_kinds, concentrator, user, gateway
):
    backup, _ = three_kinds

    held_command("forget", concentrator.name)

    assert "No tunnel is held" in held_command("list")
    converge(concentrator)
    assert len(held()) == 3
    assert not backup.changed()


@pytest.fixture
def operator(client, db):
    client.force_login(User.objects.create_user("ops", password="a word", is_staff=True))
    return client


def test_operators_choose_on_the_page_and_are_asked_before_all(
    ready, second_tunnel, three_kinds, concentrator, operator, gateway
):
    _, unknown = three_kinds
    assert "Gateways compared with it: 0 of 1." in text_of(operator.get("/concentrators/"))
    converge(concentrator)
    shown = text_of(operator.get("/concentrators/"))
    assert "Gateways compared with it: 1 of 1." in shown
    assert "3 tunnels differ from the backup" in shown
    assert "Phase Two Key Life" in shown
    for secret in ("a key", "another key", "2400", "198.51.100.77"):
        assert secret not in shown

    asked = operator.get("/concentrators/held/keep/")
    assert "No gateway changes" in text_of(asked)
    assert len(held()) == 3
    response = operator.post(
        "/concentrators/held/replace/", {"tunnels": str(unknown.pk)}, follow=True
    )
    assert unknown.name in text_of(response)
    assert set(held()) == {ready.pk, second_tunnel.pk}
    (field,) = [
        item.get("value")
        for item in read(operator.get("/concentrators/held/keep/")).iter("input")
        if item.get("name") == "tunnels"
    ]
    operator.post("/concentrators/held/keep/", {"tunnels": field})

    assert held() == {}
    assert "Restored from a backup" not in text_of(operator.get("/concentrators/"))
    revision = ready.revisions.get(outcome=Outcome.LIVE)
    assert revision.author.get_username() == "ops"
    response = operator.post("/concentrators/held/keep/", {"tunnels": "x,,-1"}, follow=True)
    assert "No tunnel was chosen" in text_of(response)


@pytest.mark.parametrize("browser_name", ["page", "viewer", "stranger"])
def test_a_customer_cannot_choose(request, ready, three_kinds, concentrator, browser_name):
    browser = request.getfixturevalue(browser_name)
    converge(concentrator)

    for side in ("keep", "replace"):
        assert browser.get(f"/concentrators/held/{side}/").status_code == 404
        data = {"tunnels": str(ready.pk)}
        assert browser.post(f"/concentrators/held/{side}/", data).status_code == 404
    assert len(held()) == 3


def test_the_choice_needs_the_token_of_its_form(ready, three_kinds, concentrator):
    converge(concentrator)
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.create_user("ops", password="a word", is_staff=True))

    response = browser.post("/concentrators/held/keep/", {"tunnels": str(ready.pk)})

    assert response.status_code == 403
    assert len(held()) == 3


def test_a_customer_sees_that_the_tunnel_waits_and_nothing_of_the_other_side(
    ready, second_tunnel, three_kinds, concentrator, page, gateway
):
    _, unknown = three_kinds
    url = f"/tunnels/{ready.pk}/"
    converge(concentrator)

    shown = text_of(page.get(url))

    assert "Waiting for the service operators" in shown
    assert page.get(f"/tunnels/{unknown.pk}/").status_code == 404
    for text in ("revision 3", unknown.name, "198.51.100.77", "192.168.70"):
        assert text not in shown
    assert unknown.name not in text_of(page.get("/tunnels/"))
    keep(ready)
    assert "Waiting for the service operators" not in text_of(page.get(url))


def test_a_poll_shows_the_end_of_a_wait_by_itself(ready, concentrator, page):
    Concentrator.objects.update(epoch=uuid4())
    (poll,) = (
        item.get("hx-get")
        for item in read(page.get(f"/tunnels/{ready.pk}/")).iter("section")
        if item.get("id") == "state"
    )
    assert page.get(poll, headers={"hx-request": "true"}).status_code == 204

    held_command("forget", concentrator.name)

    answer = page.get(poll, headers={"hx-request": "true"})
    assert answer.status_code == 200
    assert "Waiting for the service operators" not in text_of(answer)


def test_the_use_of_translations_of_an_unknown_tunnel_is_not_shown_to_another_customer(
    ready, second_tunnel, three_kinds, concentrator, gateway
):
    """The gateway may have given the addresses of a removed tunnel to the unknown one."""
    converge(concentrator)
    HeldTunnel.objects.filter(tunnel_id=ready.pk).update(kind=Kind.REMOVED)
    use = {(int(IPv4Address("10.1.255.92")), int(IPv4Address("192.168.70.5"))): 29_000_000}

    translation_usage.save_usage(concentrator, use)

    assert not TranslationUsage.objects.exists()


def test_the_page_decides_a_limited_number_at_once(
    ready, second_tunnel, three_kinds, concentrator, operator, monkeypatch
):
    converge(concentrator)
    monkeypatch.setattr("vpnportal.web.held_tunnels.MAX_PER_REQUEST", 2)

    asked = operator.get("/concentrators/held/replace/")

    assert "first 2 tunnels; 1 more follow" in text_of(asked)
    data = {"tunnels": ",".join(map(str, held()))}
    operator.post("/concentrators/held/replace/", data)
    assert len(held()) == 1


def test_a_tunnel_whose_name_an_order_got_meanwhile_comes_back_under_another_one(
    ready, three_kinds, account, concentrator, gateway
):
    """The order was at another gateway, before this one was compared."""
    backup, unknown = three_kinds
    other = Concentrator.objects.create(
        name="hou02-vpn02", datacenter=concentrator.datacenter, public_address="203.0.113.5"
    )
    Tunnel.objects.create(
        account=account,
        concentrator=other,
        name=unknown.name,
        hosted_peer="203.0.113.49",
        pk=unknown.pk + 100,
    )
    converge(concentrator)

    assert keep(unknown) == [""]
    converge(concentrator)

    assert fresh(unknown).name == "ipsec004"
    assert not backup.changed()


def test_unreadable_settings_cannot_be_kept(ready, three_kinds, concentrator, gateway):
    backup, unknown = three_kinds
    for tunnel in (ready, unknown):
        for file in Path(settings.GATEWAY_STATE).rglob(f"{tunnel.pk}-*.json"):
            file.write_text("{}")
    converge(concentrator)
    shown = held_command("list", status=1)

    assert shown.count("unreadable settings") == 2
    problems = keep(ready, unknown, account=ready.account)
    assert all("cannot be decrypted" in problem for problem in problems)
    assert not Tunnel.objects.filter(pk=unknown.pk).exists()
    assert not backup.changed()
    assert take(ready, unknown) == ["", ""]
    converge(concentrator)
    assert f"ctx{unknown.pk}" not in gateway.connections
    assert f"ctx{ready.pk}" in gateway.connections
