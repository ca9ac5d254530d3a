"""What clients send of objects to make and to edit; what is not theirs to change is overlooked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from vpnportal.api import lookup
from vpnportal.api.arguments import digits, flag, name, numeral, text
from vpnportal.api.faults import invalid
from vpnportal.domain.tunnel.algorithms import AUTHENTICATIONS, ENCRYPTIONS, GROUPS
from vpnportal.services import TranslationEdit, TranslationRow, input_parsing
from vpnportal.services.edit_conflicts import KEY

Take = Callable[[Any], Any]


def _phase(wire: str, column: str) -> dict[str, tuple[str, Take]]:
    return {
        f"{wire}Authentication": (
            f"{column}_authentication",
            name(f"{wire}Authentication", AUTHENTICATIONS),
        ),
        f"{wire}Encryption": (f"{column}_encryption", name(f"{wire}Encryption", ENCRYPTIONS)),
        f"{wire}DiffieHellmanGroup": (
            f"{column}_group",
            numeral(f"{wire}DiffieHellmanGroup", GROUPS),
        ),
        f"{wire}Keylife": (f"{column}_keylife", digits(f"{wire}Keylife", input_parsing.keylife)),
    }


# From a property of a context to the column of the draft, and the reader of its value.
EDITABLE: dict[str, tuple[str, Take]] = {
    "friendlyName": ("friendly_name", text("friendlyName", input_parsing.name)),
    "customerPeerIpAddress": ("remote_peer", text("customerPeerIpAddress", input_parsing.peer)),
    "presharedKey": (KEY, text("presharedKey", input_parsing.preshared_key)),
    **_phase("phaseOne", "phase_one"),
    **_phase("phaseTwo", "phase_two"),
    "phaseTwoPerfectForwardSecrecy": ("phase_two_pfs", flag("phaseTwoPerfectForwardSecrecy")),
}


def edits_of(template: Mapping[str, Any], shown: Mapping[str, Any]) -> dict[str, Any]:
    """What a template of a context changes, by column of the draft.

    Properties that are null, that a context `shown` has so already, and those that nobody edits are
    left alone; and an empty key, which is what a client may have that was shown none.
    """
    found = {}
    for prop, (column, take) in EDITABLE.items():
        given = template.get(prop)
        if given is None or given == shown.get(prop) or (column == KEY and given == ""):
            continue
        found[column] = take(given)
    return found


def row_of(template: Mapping[str, Any]) -> TranslationRow:
    """A translation to make; both addresses are needed, each as a text or as its id."""
    edit = row_edit_of(template)
    if edit.internal is None:
        raise invalid("internalIpAddress: send an address of a static NAT subnet of the tunnel.")
    if edit.customer is None:
        raise invalid("customerIpAddress: send the address of a host at the customer's end.")
    return TranslationRow(edit.internal, edit.customer, edit.name or "")


def row_edit_of(template: Mapping[str, Any]) -> TranslationEdit:
    """What is to be changed of a translation.

    Null and "" are no address, and where there is a text its id is overlooked.
    """
    notes = template.get("notes")
    return TranslationEdit(
        internal=_address(template, "internalIpAddress"),
        customer=_address(template, "customerIpAddress"),
        name=None if notes is None else text("notes", input_parsing.name)(notes),
    )


def network_of(template: Mapping[str, Any]) -> IPv4Network:
    """The network of a customer subnet to make."""
    ip, cidr = template.get("networkIdentifier"), template.get("cidr")
    length = digits("cidr", str)(cidr)
    return text("networkIdentifier", lambda given: input_parsing.subnet(given, length))(ip)


def _address(template: Mapping[str, Any], prop: str) -> IPv4Address | None:
    if given := template.get(prop):
        found: IPv4Address | None = text(prop, input_parsing.address)(given)
        return found
    identity = template.get(f"{prop}Id")
    return None if identity in (None, "") else lookup.address_of(identity)
