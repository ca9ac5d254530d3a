"""What clients send of objects to make and to edit; what is not theirs to change is overlooked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from vpnportal.api import finding
from vpnportal.api.arguments import choice, digits, flag, text
from vpnportal.api.faults import invalid
from vpnportal.domain.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS
from vpnportal.services import Row, RowEdit, typed
from vpnportal.services.edits import KEY

Take = Callable[[Any], Any]


def _editable() -> dict[str, tuple[str, Take]]:
    """From a property of a context to the column of the draft and the reader of its value."""
    known: dict[str, tuple[str, Take]] = {
        "friendlyName": ("friendly_name", text("friendlyName", typed.name)),
        "customerPeerIpAddress": ("remote_peer", text("customerPeerIpAddress", typed.peer)),
        "presharedKey": (KEY, text("presharedKey", typed.preshared_key)),
        "phaseTwoPerfectForwardSecrecy": (
            "phase_two_pfs",
            flag("phaseTwoPerfectForwardSecrecy"),
        ),
    }
    for wire, phase in (("phaseOne", "phase_one"), ("phaseTwo", "phase_two")):
        for name, column, take in (
            ("Authentication", "authentication", choice(f"{wire}Authentication", AUTHENTICATIONS)),
            ("Encryption", "encryption", choice(f"{wire}Encryption", ENCRYPTIONS)),
            ("DiffieHellmanGroup", "group", choice(f"{wire}DiffieHellmanGroup", GROUPS, int)),
            ("Keylife", "keylife", digits(f"{wire}Keylife", typed.keylife)),
        ):
            known[f"{wire}{name}"] = (f"{phase}_{column}", take)
    return known


EDITABLE = _editable()


def edits_of(template: Mapping[str, Any], shown: Mapping[str, Any]) -> dict[str, Any]:
    """What a template of a context changes, by column of the draft.

    Properties that are null, that a context `shown` has so already, and those that nobody edits are
    left alone; and an empty key, which is what a client may have that was shown none.
    """
    found = {}
    for name, (column, take) in EDITABLE.items():
        given = template.get(name)
        if given is None or given == shown.get(name) or (column == KEY and given == ""):
            continue
        found[column] = take(given)
    return found


def row_of(template: Mapping[str, Any]) -> Row:
    """A translation to make; both addresses are needed, each as a text or as its id."""
    edit = row_edit_of(template)
    if edit.internal is None:
        raise invalid("internalIpAddress: send an address of a static NAT subnet of the tunnel.")
    if edit.customer is None:
        raise invalid("customerIpAddress: send the address of a host at the customer's end.")
    return Row(edit.internal, edit.customer, edit.name or "")


def row_edit_of(template: Mapping[str, Any]) -> RowEdit:
    """What is to be changed of a translation.

    Null and "" are no address, and where there is a text its id is overlooked.
    """
    name = template.get("notes")
    return RowEdit(
        internal=_address(template, "internalIpAddress"),
        customer=_address(template, "customerIpAddress"),
        name=None if name is None else text("notes", typed.name)(name),
    )


def network_of(template: Mapping[str, Any]) -> IPv4Network:
    """The network of a customer subnet to make."""
    ip, cidr = template.get("networkIdentifier"), template.get("cidr")
    length = digits("cidr", str)(cidr)
    return text("networkIdentifier", lambda given: typed.subnet(given, length))(ip)


def _address(template: Mapping[str, Any], name: str) -> IPv4Address | None:
    if given := template.get(name):
        found: IPv4Address | None = text(name, typed.address)(given)
        return found
    identity = template.get(f"{name}Id")
    return None if identity in (None, "") else finding.address_of(identity)
