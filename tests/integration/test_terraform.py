"""The requests of the Terraform resource ibm_ipsec_vpn: create, update, exists, read, delete."""

from __future__ import annotations

import json
from ipaddress import IPv4Network

import pytest
from django.core.management import call_command

from tests.softlayer_go import Refused, Session, boolean, integer
from vpnportal import tasks
from vpnportal.models import Account, AddressPool, Membership, Revision, Role, Subnet, Tunnel
from vpnportal.reconciler import reconcile

CONTEXT = "Network_Tunnel_Module_Context"
MASK = "mask[billingItem.orderItem.order.id,serviceSubnets,staticRouteSubnets]"
READ = (
    *("name", "internalPeerIpAddress", "phaseOneAuthentication", "phaseTwoAuthentication"),
    *("phaseOneEncryption", "phaseTwoEncryption", "phaseOneDiffieHellmanGroup"),
    *("phaseTwoDiffieHellmanGroup", "phaseOneKeylife", "phaseTwoKeylife"),
)


@pytest.fixture
def session(
    transactional_db, live_server, user, concentrator, gateway, capsys, monkeypatch
) -> Session:
    """A provider with the key of an owner, at a location with room and with a quick worker."""
    monkeypatch.setattr(tasks.converge, "apply_async", lambda ids, **_: reconcile.converge(*ids))
    Membership.objects.filter(user=user).update(role=Role.OWNER)
    for kind, network in (("hosted-peer", "203.0.113.16/28"), ("static-nat", "10.1.255.0/24")):
        AddressPool.objects.create(
            concentrator=concentrator, kind=kind, network=IPv4Network(network)
        )
    call_command("apikey", "create", user.username, name="terraform")
    key = capsys.readouterr().out.splitlines()[-1]
    return Session(live_server.thread.host, live_server.thread.port, user.username, key)


def create(session: Session, datacenter: str = "hou02") -> int:
    """resourceIBMIPSecVpnCreate up to its update: the id of what was ordered."""
    first = json.loads(
        session.call(
            "Location",
            "getDatacenters",
            filter={"name": {"operation": datacenter}},
            mask="mask[id]",
        )
    )[0]
    place = json.loads(
        session.call("Location_Datacenter", "getObject", on=integer(first["id"]), mask="id")
    )["id"]
    groups = [
        integer(one["id"])
        for one in json.loads(session.call("Location", "getPriceGroups", on=place))
    ]
    (item,) = json.loads(
        session.call(
            "Product_Package",
            "getItems",
            on=0,
            filter={"items": {"description": {"operation": "IPSEC - Standard"}}},
            mask="mask[description,prices.locationGroupId,prices.id]",
        )
    )
    price = next(
        integer(one["id"])
        for one in item["prices"]
        if one["locationGroupId"] is None or one["locationGroupId"] in groups
    )
    container = {
        "complexType": "SoftLayer_Container_Product_Order_Network_Tunnel_Ipsec",
        "location": str(place),
        "packageId": 0,
        "prices": [{"id": price}],
        "quantity": 1,
    }
    assert isinstance(json.loads(session.call("Product_Order", "verifyOrder", container)), dict)
    assert not Tunnel.objects.exists(), "to verify an order is not to place it"
    receipt = json.loads(session.call("Product_Order", "placeOrder", container, False))
    order = {"id": {"operation": str(integer(receipt["orderId"]))}}
    (made,) = json.loads(
        session.call(
            "Account",
            "getNetworkTunnelContexts",
            filter={"networkTunnelContexts": {"billingItem": {"orderItem": {"order": order}}}},
            mask=MASK,
        )
    )
    return integer(made["id"])


def read(session: Session, context: int) -> dict:
    """What the provider reads, and dereferences without looking."""
    seen = json.loads(session.call(CONTEXT, "getObject", on=context, mask=MASK))
    assert all(seen[name] is not None for name in READ)
    return seen


def exists(session: Session, context: int) -> bool:
    try:
        session.call(CONTEXT, "getObject", on=context)
    except Refused as refused:
        assert refused.status == 404, refused
        return False
    return True


def edit(session: Session, context: int, **changes) -> bool:
    """The whole object as Go read it, with its changes: Go writes +00:00 as Z."""
    whole = {**read(session, context), **changes}
    for name in ("createDate", "modifyDate"):
        whole[name] = whole[name].replace("+00:00", "Z")
    return boolean(session.call(CONTEXT, "editObject", whole, on=context))


def delete(session: Session, context: int) -> bool:
    billing = json.loads(session.call(CONTEXT, "getBillingItem", on=context))
    return boolean(session.call("Billing_Item", "cancelService", on=integer(billing["id"])))


def test_a_tunnel_is_created_updated_read_and_deleted(session, account):
    hosted, service = (
        Subnet.objects.create(account=owner, kind=kind, network=IPv4Network(network), name=name)
        for owner, kind, network, name in (
            (account, "hosted", "10.2.0.0/24", ""),
            (None, "service", "10.0.80.0/24", "object storage"),
        )
    )
    template = {"cidr": 24, "networkIdentifier": "192.168.10.0"}
    remote = json.loads(session.call("Network_Customer_Subnet", "createObject", template))["id"]

    context = create(session)
    assert edit(
        session,
        context,
        phaseOneAuthentication="SHA256",
        phaseOneDiffieHellmanGroup=5,
        phaseTwoKeylife=7200,
        presharedKey="a <long> & secret key",
        customerPeerIpAddress="203.0.113.2",
    )
    # The client forgets to say of which context.
    for method, subnet in (
        ("addPrivateSubnetToNetworkTunnel", hosted.pk),
        ("addCustomerSubnetToNetworkTunnel", remote),
        ("addServiceSubnetToNetworkTunnel", service.pk),
    ):
        assert boolean(session.call(CONTEXT, method, subnet)), method
    (block,) = read(session, context)["staticRouteSubnets"]
    inside = str(IPv4Network(f"{block['networkIdentifier']}/{block['cidr']}")[1])
    translation = {
        "customerIpAddress": "192.168.10.15",
        "internalIpAddress": inside,
        "notes": "database",
    }
    made = session.call(CONTEXT, "createAddressTranslation", translation, on=context)
    integer(json.loads(made)["id"])
    assert boolean(session.call(CONTEXT, "applyConfigurationsToDevice", on=context))

    seen = read(session, context)
    assert exists(session, context)
    assert Revision.objects.get(tunnel_id=context).outcome == Revision.Outcome.LIVE
    assert seen["phaseOneAuthentication"] == "SHA256"
    assert [seen["phaseOneDiffieHellmanGroup"], seen["phaseTwoKeylife"]] == [5, 7200]
    assert seen["presharedKey"] == "a <long> & secret key"
    assert [one["id"] for one in seen["serviceSubnets"]] == [service.pk]
    assert not {"addressTranslations", "customerSubnets", "internalSubnets"} & set(seen)

    assert delete(session, context)
    assert not exists(session, context)


def test_an_update_of_another_tunnel_than_the_only_one_is_not_guessed(session):
    """Which of two contexts an attached subnet belongs to cannot be known: nothing is attached."""
    first, template = create(session), {"cidr": 24, "networkIdentifier": "192.168.10.0"}
    remote = json.loads(session.call("Network_Customer_Subnet", "createObject", template))["id"]
    Tunnel.objects.create(
        account=Tunnel.objects.get().account,
        concentrator=Tunnel.objects.get().concentrator,
        name="ipsec900",
        hosted_peer="203.0.113.200",
    )

    with pytest.raises(Refused) as refused:
        session.call(CONTEXT, "addCustomerSubnetToNetworkTunnel", remote)

    assert refused.value.status == 404
    assert not Tunnel.objects.get(pk=first).subnets.filter(kind="customer").exists()


def test_a_tunnel_of_another_account_does_not_exist_and_cannot_be_deleted(session, concentrator):
    other = Tunnel.objects.create(
        account=Account.objects.create(name="Another account"),
        concentrator=concentrator,
        name="ipsec901",
        hosted_peer="203.0.113.201",
    )

    assert not exists(session, other.pk)
    with pytest.raises(Refused) as refused:
        delete(session, other.pk)
    with pytest.raises(Refused) as cancelled:
        session.call("Billing_Item", "cancelService", on=other.pk)

    assert (refused.value.status, cancelled.value.status) == (404, 404)
    assert Tunnel.objects.get(pk=other.pk).cancelled_at is None
