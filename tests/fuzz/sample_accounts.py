"""Two accounts: the requests use the keys of one; the data of the other contains a canary."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from django.contrib.auth.models import User
from django.db.models import Model

from vpnportal import services
from vpnportal.api.lookup import address_id
from vpnportal.fields import Sealed
from vpnportal.models import (
    Account,
    AddressPool,
    AddressTranslation,
    ApiKey,
    Concentrator,
    Datacenter,
    LastEdit,
    Membership,
    Revision,
    Role,
    Subnet,
    Tunnel,
)

Kind, Role = Subnet.Kind, Role
CANARY = "canary-7c41e9d2"
# Addresses of the other account only, which are in no request.
CANARY_ADDRESSES = ("198.51.100.77", "172.31.77.0", "172.31.77.9", "10.77.66.0", "10.77.67.4")
TUNNELS = 12


@dataclass(frozen=True, slots=True)
class SampleAccounts:
    """API keys by user name, ids of the first account by service, and ids of the other account."""

    keys: dict[str, str]
    own: dict[str, list[int]]
    foreign: list[int]
    other: Account


def make() -> SampleAccounts:
    """Create both accounts in an empty database."""
    datacenter = Datacenter.objects.create(name="hou02", long_name="Houston 2")
    concentrator = Concentrator.objects.create(
        name="hou02-vpn01", datacenter=datacenter, public_address="203.0.113.1"
    )
    for kind, network in (
        (AddressPool.Kind.HOSTED_PEER, "203.0.113.128/25"),
        (AddressPool.Kind.STATIC_NAT, "10.1.0.0/22"),
    ):
        AddressPool(concentrator=concentrator, kind=kind, network=IPv4Network(network)).save()
    for number in range(2):
        Subnet.objects.create(kind=Kind.SERVICE, network=IPv4Network(f"10.{number}.9.0/24"))
    first, other = Account.objects.create(name="Mine"), Account.objects.create(name=CANARY)
    keys = {role: _key(first, role) for role in Role.values}
    _key(other, Role.OWNER, f"{CANARY}-user")
    for number in range(1, TUNNELS + 1):
        _tunnel(first, concentrator, number)
    before = _ids()
    _foreign_tunnel(other, concentrator)
    foreign = [pk for model, ids in _ids().items() for pk in ids - before[model]]
    foreign += [address_id(address) for address in CANARY_ADDRESSES]
    return SampleAccounts(keys, _own(first), sorted(set(foreign)), other)


def rows_of_other_account(accounts: SampleAccounts) -> list[object]:
    """Return all rows of the other account."""
    other = accounts.other
    tunnels = Tunnel.objects.filter(account=other)
    querysets = (
        tunnels,
        AddressTranslation.objects.filter(tunnel__in=tunnels),
        Revision.objects.filter(tunnel__in=tunnels),
        LastEdit.objects.filter(tunnel__in=tunnels),
        Subnet.objects.filter(account=other),
        Membership.objects.filter(account=other),
        ApiKey.objects.filter(account=other),
        Tunnel.subnets.through.objects.filter(tunnel__in=tunnels),
    )
    return [list(queryset.order_by("pk").values()) for queryset in querysets]


def _key(account: Account, role: str, name: str = "") -> str:
    user = User.objects.create_user(name or role)
    Membership.objects.create(account=account, user=user, role=role)
    return services.create_api_key(account, user, "fuzz").text


def _own(account: Account) -> dict[str, list[int]]:
    tunnels = [tunnel.pk for tunnel in account.tunnels.all()]
    subnets = [subnet.pk for subnet in Subnet.objects.filter(account=account)]
    return {
        "SoftLayer_Network_Tunnel_Module_Context": tunnels,
        "SoftLayer_Billing_Item": tunnels,
        "SoftLayer_Network_Subnet": subnets,
        "SoftLayer_Network_Customer_Subnet": subnets,
        "SoftLayer_Account": [account.pk],
        "SoftLayer_User_Customer": [membership.user_id for membership in account.memberships.all()],
    }


def _ids() -> dict[type[Model], set[int]]:
    models = (Tunnel, AddressTranslation, Subnet, Revision, Account, User)
    return {model: set(model._default_manager.values_list("pk", flat=True)) for model in models}


def _tunnel(account: Account, concentrator: Concentrator, number: int) -> None:
    tunnel = Tunnel.objects.create(
        account=account,
        concentrator=concentrator,
        name=f"ipsec{number:03}",
        hosted_peer=f"203.0.113.{number}",
        remote_peer=f"192.0.2.{number}",
    )
    tunnel.preshared_key = Sealed.of("a key of the tests", tunnel.preshared_key_context)
    tunnel.save()
    _attach(tunnel, Kind.HOSTED, f"10.2.{number}.0/24")
    _attach(tunnel, Kind.CUSTOMER, f"192.168.{number}.0/24")
    _attach(tunnel, Kind.STATIC_NAT, f"10.1.128.{4 * number}/30")
    tunnel.subnets.add(*Subnet.objects.filter(kind=Kind.SERVICE)[:1])
    for last in range(1 + number % 2):
        AddressTranslation.objects.create(
            tunnel=tunnel,
            internal_address=str(IPv4Address("10.1.128.0") + 4 * number + last),
            customer_address=f"192.168.{number}.{10 + last}",
            name=f"host {last}",
        )
    if number % 3 == 0:
        _apply(tunnel)


def _foreign_tunnel(other: Account, concentrator: Concentrator) -> None:
    tunnel = Tunnel.objects.create(
        account=other,
        concentrator=concentrator,
        name=CANARY,
        friendly_name=f"{CANARY} tunnel",
        hosted_peer="203.0.113.77",
        remote_peer=CANARY_ADDRESSES[0],
    )
    tunnel.preshared_key = Sealed.of(f"{CANARY} key", tunnel.preshared_key_context)
    tunnel.save()
    _attach(tunnel, Kind.CUSTOMER, f"{CANARY_ADDRESSES[1]}/24")
    _attach(tunnel, Kind.HOSTED, f"{CANARY_ADDRESSES[3]}/24")
    _attach(tunnel, Kind.STATIC_NAT, f"{CANARY_ADDRESSES[4]}/30")
    AddressTranslation.objects.create(
        tunnel=tunnel,
        internal_address=CANARY_ADDRESSES[4],
        customer_address=CANARY_ADDRESSES[2],
        name=f"{CANARY} host",
    )
    _apply(tunnel)


def _apply(tunnel: Tunnel) -> None:
    """Create a live revision."""
    revision = Revision.next_for(tunnel, tunnel.draft(), None)
    revision.outcome = Revision.Outcome.LIVE
    revision.save()


def _attach(tunnel: Tunnel, kind: Subnet.Kind, network: str) -> None:
    subnet = Subnet.objects.create(account=tunnel.account, kind=kind, network=IPv4Network(network))
    tunnel.subnets.add(subnet)
