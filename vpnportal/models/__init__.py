"""What is kept: accounts, places, tunnels (drafts), revisions (frozen) and records."""

from vpnportal.models.accounts import Account, ApiKey, Invitation, Membership, Profile
from vpnportal.models.departures import Departure
from vpnportal.models.edits import KeyReveal, LastEdit, SetAside, Wish
from vpnportal.models.places import Concentrator, Datacenter, Pool, Subnet
from vpnportal.models.records import Hearing, LastUsed, Question, Repair
from vpnportal.models.revisions import RemoteClaim, Revision
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
