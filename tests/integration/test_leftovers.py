"""Leftovers of a killed charon in the kernel: which converge removes which of them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from tests.fake_gateway import FakeGateway
from vpnportal import services
from vpnportal.domain.planning.kernel_ipsec import KernelState
from vpnportal.domain.planning.leftovers import KEEP_SECONDS
from vpnportal.fields import Sealed
from vpnportal.gateway import GatewayError
from vpnportal.models import DriftRepair, Revision, Subnet, Tunnel
from vpnportal.reconciler import reconcile
from vpnportal.reconciler.revision_cache import revisions as revision_cache

pytestmark = pytest.mark.django_db
STATE_TEXT = "Removed a kernel state that charon does not know"
POLICY_TEXT = "Removed a kernel policy that charon does not know"


@pytest.fixture
def gateway(monkeypatch) -> FakeGateway:
    """Return a gateway whose kernel has ESP."""
    gateway = FakeGateway(userland_esp=False)
    monkeypatch.setattr(reconcile, "driver_for", lambda concentrator: gateway)
    return gateway


@pytest.fixture
def killed(ready, user, gateway) -> Tunnel:
    """Return the tunnel of the example, whose charon was killed while it was up."""
    services.apply(ready, user)
    reconcile.converge(ready.concentrator_id)
    assert (len(gateway.leftovers.states), len(gateway.leftovers.policies())) == (2, 3)
    gateway.kill_charon()
    gateway.peer_answers = False
    return Tunnel.objects.get(pk=ready.pk)


def carries(gateway: FakeGateway) -> bool:
    """Return True if the kernel has a state."""
    return bool(gateway.leftovers.states)


def disconnect(tunnel: Tunnel, user) -> None:
    services.disconnect(tunnel, user)


def take_subnet(tunnel: Tunnel, user) -> None:
    subnet = tunnel.subnets.get(kind=Subnet.Kind.CUSTOMER)
    row = services.TranslationRow(IPv4Address("10.1.255.92"), None)
    services.set_translations(tunnel, [row], user)
    services.add_remote_subnet(tunnel, IPv4Network("192.168.20.0/24"), user)
    services.remove_remote_subnet(tunnel, subnet.pk, user)
    services.apply(tunnel, user)


def change_peer(tunnel: Tunnel, user) -> None:
    services.edit(tunnel, "remote_peer", "203.0.113.9", user)
    services.apply(tunnel, user)


def cancel(tunnel: Tunnel, user) -> None:
    services.cancel(tunnel, user)


ENDS = [disconnect, take_subnet, change_peer, cancel]


def test_a_desired_tunnel_is_carried_on_until_its_new_child_sa_carries(killed, gateway):
    before = set(gateway.leftovers.states)

    reconcile.converge(killed.concentrator_id)
    assert gateway.leftovers.states == before

    gateway.peer_answers = True
    reconcile.converge(killed.concentrator_id)
    reconcile.converge(killed.concentrator_id)
    assert len(gateway.leftovers.states) == 2
    assert not before & gateway.leftovers.states
    assert len(gateway.leftovers.policies()) == 3


def test_a_tunnel_that_does_not_come_up_is_not_carried_on_for_longer_than_a_minute(killed, gateway):
    reconcile.converge(killed.concentrator_id)
    gateway.leftovers.seconds = KEEP_SECONDS

    reconcile.converge(killed.concentrator_id)

    assert not carries(gateway)
    texts = DriftRepair.objects.filter(tunnel=killed).values_list("text", flat=True)
    assert STATE_TEXT in texts


@pytest.mark.parametrize("end", ENDS)
def test_a_tunnel_that_ended_while_charon_was_dead_ends_with_the_first_full_converge(
    killed, user, gateway, end
):
    end(killed, user)

    reconcile.converge(killed.concentrator_id)

    assert not gateway.leftovers.read()


@pytest.mark.parametrize("end", ENDS)
def test_a_tunnel_that_ends_before_it_is_up_again_is_not_live_with_its_leftovers(
    killed, user, gateway, end
):
    reconcile.converge(killed.concentrator_id)
    assert carries(gateway)

    end(killed, user)
    reconcile.converge(killed.concentrator_id, killed.pk)

    assert not carries(gateway)
    assert not Revision.objects.filter(outcome__in=Revision.UNFINISHED).exists()


@pytest.mark.parametrize("end", ENDS)
def test_a_tunnel_ends_while_charon_does_not_run(killed, user, gateway, end):
    gateway.unreachable, gateway.leftovers.runs = "charon is not running.", False
    with pytest.raises(GatewayError):
        reconcile.converge(killed.concentrator_id)
    assert carries(gateway)

    end(killed, user)
    with pytest.raises(GatewayError):
        reconcile.converge(killed.concentrator_id, killed.pk)

    assert not carries(gateway)


def test_a_charon_that_only_does_not_answer_keeps_its_states(killed, user, gateway):
    gateway.unreachable = "charon does not answer."
    services.disconnect(killed, user)

    with pytest.raises(GatewayError):
        reconcile.converge(killed.concentrator_id, killed.pk)

    assert carries(gateway)


def test_the_removal_is_in_the_apply_log_of_the_revision_that_asked_for_it(killed, user, gateway):
    take_subnet(killed, user)

    reconcile.converge(killed.concentrator_id, killed.pk)

    revision = Revision.objects.get(number=2)
    texts = [step["text"] for step in revision.steps]
    assert (texts.count(STATE_TEXT), texts.count(POLICY_TEXT)) == (2, 3)


def test_the_leftovers_of_a_revision_that_cannot_be_decrypted_stay(killed, gateway):
    Revision.objects.update(specification=Sealed.of("{}", "another context"))
    revision_cache.retain(())

    reconcile.converge(killed.concentrator_id)

    assert carries(gateway)


def test_states_of_other_programs_stay(killed, user, gateway):
    mark = killed.mark
    foreign = {
        KernelState("198.51.100.1", "198.51.100.2", 1, 1),
        KernelState("203.0.113.1", "203.0.113.2", 2, 1),
        KernelState("203.0.113.1", "203.0.113.2", 3, 1, lookup_mark=mark + 1),
        KernelState("203.0.113.1", "203.0.113.77", 4, 1, lookup_mark=mark),
    }
    gateway.leftovers.states |= foreign
    services.cancel(killed, user)

    reconcile.converge(killed.concentrator_id)
    reconcile.converge(killed.concentrator_id, killed.pk)

    assert gateway.leftovers.states == foreign
