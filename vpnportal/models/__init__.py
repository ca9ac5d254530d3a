"""The database: accounts, concentrators, tunnels (drafts), revisions and observations."""

from vpnportal.models.accounts import (
    Account,
    ApiKey,
    Invitation,
    MemberChange,
    Membership,
    Profile,
)
from vpnportal.models.address_release import AddressRelease
from vpnportal.models.commands import PeerProbe, TunnelCommand
from vpnportal.models.concentrators import AddressPool, Concentrator, Datacenter
from vpnportal.models.drafts import DraftBackup, KeyReveal, LastEdit
from vpnportal.models.event_log import record_event, record_event_of_each
from vpnportal.models.events import Event, EventAnchor, EventSeal
from vpnportal.models.held_tunnels import HeldTunnel
from vpnportal.models.identity import (
    AttemptCounter,
    LimitEntry,
    UserIdentity,
    is_similar_to_another,
)
from vpnportal.models.key_rotations import KeyRotation
from vpnportal.models.observations import DiagnosticLog, DriftRepair, TranslationUsage
from vpnportal.models.outgoing_mail import OutgoingMail
from vpnportal.models.permissions import Role, Scope
from vpnportal.models.remote_claims import NetworkGrant, RefusedApply, RemoteClaim
from vpnportal.models.revisions import Revision
from vpnportal.models.subnets import Subnet
from vpnportal.models.traffic import Traffic
from vpnportal.models.translation_imports import TranslationImport
from vpnportal.models.tunnel_marks import TunnelMark
from vpnportal.models.tunnel_summaries import TunnelSummary
from vpnportal.models.tunnels import AddressTranslation, Tunnel

__all__ = [
    "Account",
    "AddressPool",
    "AddressRelease",
    "AddressTranslation",
    "ApiKey",
    "AttemptCounter",
    "Concentrator",
    "Datacenter",
    "DiagnosticLog",
    "DraftBackup",
    "DriftRepair",
    "Event",
    "EventAnchor",
    "EventSeal",
    "HeldTunnel",
    "Invitation",
    "KeyReveal",
    "KeyRotation",
    "LastEdit",
    "LimitEntry",
    "MemberChange",
    "Membership",
    "NetworkGrant",
    "OutgoingMail",
    "PeerProbe",
    "Profile",
    "RefusedApply",
    "RemoteClaim",
    "Revision",
    "Role",
    "Scope",
    "Subnet",
    "Traffic",
    "TranslationImport",
    "TranslationUsage",
    "Tunnel",
    "TunnelCommand",
    "TunnelMark",
    "TunnelSummary",
    "UserIdentity",
    "is_similar_to_another",
    "record_event",
    "record_event_of_each",
]
