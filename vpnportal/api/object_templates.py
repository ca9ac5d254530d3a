"""Templates: the structs that clients send to create and edit objects.

Properties that a client cannot change are ignored, because clients send back whole objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from vpnportal import services
from vpnportal.api import lookup
from vpnportal.api.arguments import ArgumentParser, choice, digits, flag, number_choice, text
from vpnportal.api.faults import invalid_value
from vpnportal.domain.tunnel.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS
from vpnportal.services import KEY_FIELD, TranslationEdit, TranslationRow


def _phase(prefix: str, column: str) -> dict[str, tuple[str, ArgumentParser]]:
    authentication, encryption = f"{prefix}Authentication", f"{prefix}Encryption"
    group, keylife = f"{prefix}DiffieHellmanGroup", f"{prefix}Keylife"
    return {
        authentication: (f"{column}_authentication", choice(authentication, AUTHENTICATIONS)),
        encryption: (f"{column}_encryption", choice(encryption, ENCRYPTIONS)),
        group: (f"{column}_group", number_choice(group, GROUPS)),
        keylife: (f"{column}_keylife", digits(keylife, services.parse_keylife)),
    }


# Properties of a context that a client can edit: the column of the draft, and the parser.
EDITABLE: dict[str, tuple[str, ArgumentParser]] = {
    "friendlyName": ("friendly_name", text("friendlyName", services.parse_name)),
    "customerPeerIpAddress": ("remote_peer", text("customerPeerIpAddress", services.parse_peer)),
    "presharedKey": (KEY_FIELD, text("presharedKey", services.parse_preshared_key)),
    **_phase("phaseOne", "phase_one"),
    **_phase("phaseTwo", "phase_two"),
    "phaseTwoPerfectForwardSecrecy": ("phase_two_pfs", flag("phaseTwoPerfectForwardSecrecy")),
}


def context_edits(template: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a template changes in a context, as a dict by column of the draft.

    Null, values equal to those of `current`, and an empty preshared key are ignored. Clients that
    may not read the key send back an empty key. Raises Fault for an invalid value.
    """
    edits = {}
    for name, (column, parse) in EDITABLE.items():
        value = template.get(name)
        if value is None or value == current.get(name) or (column == KEY_FIELD and value == ""):
            continue
        edits[column] = parse(value)
    return edits


def translation_row(template: Mapping[str, Any]) -> TranslationRow:
    """Return the addresses and name of a new translation. Raises Fault if an address is missing."""
    edit = translation_edit(template)
    if edit.internal is None:
        raise invalid_value(
            "internalIpAddress: send an address of a static NAT subnet of the tunnel."
        )
    if edit.customer is None:
        raise invalid_value("customerIpAddress: send the address of a host in a remote subnet.")
    return TranslationRow(edit.internal, edit.customer, edit.name or "")


def translation_edit(template: Mapping[str, Any]) -> TranslationEdit:
    """Return the new addresses and name of a translation; None means that a value does not change.

    Clients send an address as a string or an id. The id is read only if the string is null or "".
    """
    notes = template.get("notes")
    return TranslationEdit(
        internal=_address(template, "internalIpAddress"),
        customer=_address(template, "customerIpAddress"),
        name=None if notes is None else text("notes", services.parse_name)(notes),
    )


def customer_network(template: Mapping[str, Any]) -> IPv4Network:
    """Return the network of a remote subnet to create. Raises Fault if it is invalid."""
    address, cidr = template.get("networkIdentifier"), template.get("cidr")
    length = digits("cidr", str)(cidr)
    return text("networkIdentifier", lambda value: services.parse_subnet(value, length))(address)


def _address(template: Mapping[str, Any], name: str) -> IPv4Address | None:
    if value := template.get(name):
        address: IPv4Address | None = text(name, services.parse_address)(value)
        return address
    address_id = template.get(f"{name}Id")
    return None if address_id in (None, "") else lookup.address_with_id(address_id)
