"""Requests of the Terraform resource ibm_ipsec_vpn: create, update, exists, read, delete."""

from __future__ import annotations

import json
from ipaddress import IPv4Network

import pytest
from django.core.management import call_command

from tests.softlayer_go import Session, SoftLayerError, parse_bool, require_int
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
    """Return a session of an owner, with free addresses and a worker that converges at once."""
    monkeypatch.setattr(tasks.converge, "apply_async", lambda ids, **_: reconcile.converge(*ids))
    Membership.objects.filter(user=user).update(role=Role.OWNER)
    for kind, network in (("hosted-peer", "203.0.113.16/28"), ("static-nat", "10.1.255.0/24")):
        AddressPool.objects.create(
            concentrator=concentrator, kind=kind, network=IPv4Network(network)
        )
    call_command("apikey", "create", user.username, name="terraform", scope="order")
    key = capsys.readouterr().out.splitlines()[-1]
    return Session(live_server.thread.host, live_server.thread.port, user.username, key)


def create(session: Session, datacenter: str = "hou02") -> int:
    """Run resourceIBMIPSecVpnCreate up to its update, and return the id of the context."""
    location = json.loads(
        session.call(
            "Location",
            "getDatacenters",
            filter={"name": {"operation": datacenter}},
            mask="mask[id]",
        )
    )[0]
    datacenter_id = json.loads(
        session.call("Location_Datacenter", "getObject", on=require_int(location["id"]), mask="id")
    )["id"]
    groups = [
        require_int(group["id"])
        for group in json.loads(session.call("Location", "getPriceGroups", on=datacenter_id))
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
    price_id = next(
        require_int(price["id"])
        for price in item["prices"]
        if price["locationGroupId"] is None or price["locationGroupId"] in groups
    )
    container = {
        "complexType": "SoftLayer_Container_Product_Order_Network_Tunnel_Ipsec",
        "location": str(datacenter_id),
        "packageId": 0,
        "prices": [{"id": price_id}],
        "quantity": 1,
    }
    assert isinstance(json.loads(session.call("Product_Order", "verifyOrder", container)), dict)
    assert not Tunnel.objects.exists(), "verifyOrder must not order"
    receipt = json.loads(session.call("Product_Order", "placeOrder", container, False))
    order = {"id": {"operation": str(require_int(receipt["orderId"]))}}
    (context,) = json.loads(
        session.call(
            "Account",
            "getNetworkTunnelContexts",
            filter={"networkTunnelContexts": {"billingItem": {"orderItem": {"order": order}}}},
            mask=MASK,
        )
    )
    return require_int(context["id"])


def read(session: Session, context_id: int) -> dict:
    """Return the context; the provider dereferences these properties without a check for nil."""
    context = json.loads(session.call(CONTEXT, "getObject", on=context_id, mask=MASK))
    assert all(context[name] is not None for name in READ)
    return context


def exists(session: Session, context_id: int) -> bool:
    try:
        session.call(CONTEXT, "getObject", on=context_id)
    except SoftLayerError as error:
        assert error.status == 404, error
        return False
    return True


def edit(session: Session, context_id: int, **changes) -> bool:
    """Send the whole object with changes, as Go does; Go writes +00:00 as Z."""
    template = {**read(session, context_id), **changes}
    for name in ("createDate", "modifyDate"):
        template[name] = template[name].replace("+00:00", "Z")
    return parse_bool(session.call(CONTEXT, "editObject", template, on=context_id))


def delete(session: Session, context_id: int) -> bool:
    billing_item = json.loads(session.call(CONTEXT, "getBillingItem", on=context_id))
    return parse_bool(
        session.call("Billing_Item", "cancelService", on=require_int(billing_item["id"]))
    )


def test_a_tunnel_is_created_updated_read_and_deleted(session, account):
    hosted, service = (
        Subnet.objects.create(account=owner, kind=kind, network=IPv4Network(network), name=name)
        for owner, kind, network, name in (
            (account, "hosted", "10.2.0.0/24", ""),
            (None, "service", "10.0.80.0/24", "object storage"),
        )
    )
    template = {"cidr": 24, "networkIdentifier": "192.168.10.0"}
    remote_id = json.loads(session.call("Network_Customer_Subnet", "createObject", template))["id"]

    context_id = create(session)
    assert edit(
        session,
        context_id,
        phaseOneAuthentication="SHA256",
        phaseOneDiffieHellmanGroup=5,
        phaseTwoKeylife=7200,
        presharedKey="a <long> & secret key",
        customerPeerIpAddress="203.0.113.2",
    )
    # The provider omits the id of the context here.
    for method, subnet_id in (
        ("addPrivateSubnetToNetworkTunnel", hosted.pk),
        ("addCustomerSubnetToNetworkTunnel", remote_id),
        ("addServiceSubnetToNetworkTunnel", service.pk),
    ):
        assert parse_bool(session.call(CONTEXT, method, subnet_id)), method
    (subnet,) = read(session, context_id)["staticRouteSubnets"]
    internal = str(IPv4Network(f"{subnet['networkIdentifier']}/{subnet['cidr']}")[1])
    translation = {
        "customerIpAddress": "192.168.10.15",
        "internalIpAddress": internal,
        "notes": "database",
    }
    created = session.call(CONTEXT, "createAddressTranslation", translation, on=context_id)
    require_int(json.loads(created)["id"])
    assert parse_bool(session.call(CONTEXT, "applyConfigurationsToDevice", on=context_id))

    context = read(session, context_id)
    assert exists(session, context_id)
    assert Revision.objects.get(tunnel_id=context_id).outcome == Revision.Outcome.LIVE
    assert context["phaseOneAuthentication"] == "SHA256"
    assert [context["phaseOneDiffieHellmanGroup"], context["phaseTwoKeylife"]] == [5, 7200]
    assert context["presharedKey"] == "a <long> & secret key"
    assert [row["id"] for row in context["serviceSubnets"]] == [service.pk]
    assert not {"addressTranslations", "customerSubnets", "internalSubnets"} & set(context)

    assert delete(session, context_id)
    assert not exists(session, context_id)


def test_a_subnet_without_a_context_id_is_refused_if_there_are_two_contexts(session):
    first_id, template = create(session), {"cidr": 24, "networkIdentifier": "192.168.10.0"}
    remote_id = json.loads(session.call("Network_Customer_Subnet", "createObject", template))["id"]
    Tunnel.objects.create(
        account=Tunnel.objects.get().account,
        concentrator=Tunnel.objects.get().concentrator,
        name="ipsec900",
        hosted_peer="203.0.113.200",
    )

    with pytest.raises(SoftLayerError) as refused:
        session.call(CONTEXT, "addCustomerSubnetToNetworkTunnel", remote_id)

    assert refused.value.status == 404
    assert not Tunnel.objects.get(pk=first_id).subnets.filter(kind="customer").exists()


def test_a_tunnel_of_another_account_is_not_found_and_cannot_be_deleted(session, concentrator):
    other = Tunnel.objects.create(
        account=Account.objects.create(name="Another account"),
        concentrator=concentrator,
        name="ipsec901",
        hosted_peer="203.0.113.201",
    )

    assert not exists(session, other.pk)
    with pytest.raises(SoftLayerError) as refused:
        delete(session, other.pk)
    with pytest.raises(SoftLayerError) as cancelled:
        session.call("Billing_Item", "cancelService", on=other.pk)

    assert (refused.value.status, cancelled.value.status) == (404, 404)
    assert Tunnel.objects.get(pk=other.pk).cancelled_at is None
