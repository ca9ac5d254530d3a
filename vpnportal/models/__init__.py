"""What is kept: accounts, places, tunnels (drafts), revisions (frozen) and records."""

from vpnportal.models.accounts import Account, ApiKey, Invitation, Membership, Profile
from vpnportal.models.address_release import Departure
from vpnportal.models.commands import Question, Wish
from vpnportal.models.concentrators import Concentrator, Datacenter, Pool
from vpnportal.models.drafts import KeyReveal, LastEdit, SetAside
from vpnportal.models.observations import Hearing, LastUsed, Repair
from vpnportal.models.revisions import RemoteClaim, Revision
from vpnportal.models.subnets import Subnet
from vpnportal.models.traffic import Traffic
from vpnportal.models.tunnels import AddressTranslation, Tunnel

__all__ = [
    "Account",
    "AddressTranslation",
    "ApiKey",
    "Concentrator",
    "Datacenter",
    "Departure",
    "Hearing",
    "Invitation",
    "KeyReveal",
    "LastEdit",
    "LastUsed",
    "Membership",
    "Pool",
    "Profile",
    "Question",
    "RemoteClaim",
    "Repair",
    "Revision",
    "SetAside",
    "Subnet",
    "Traffic",
    "Tunnel",
    "Wish",
]
