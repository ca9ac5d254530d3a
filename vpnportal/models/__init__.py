"""What is kept: accounts, places, tunnels (drafts) and revisions (frozen)."""

from vpnportal.models.accounts import Account, ApiKey, Membership
from vpnportal.models.places import Concentrator, Datacenter, Subnet
from vpnportal.models.revisions import RemoteClaim, Revision
from vpnportal.models.tunnels import AddressTranslation, Tunnel

__all__ = [
    "Account",
    "AddressTranslation",
    "ApiKey",
    "Concentrator",
    "Datacenter",
    "Membership",
    "RemoteClaim",
    "Revision",
    "Subnet",
    "Tunnel",
]
