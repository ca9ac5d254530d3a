"""Everything that may be done to a tunnel; pages and programs both come here."""

from vpnportal.services.apply_draft import Trial, apply
from vpnportal.services.customer_subnets import (
    attach_customer_subnet,
    delete_customer_subnet,
    make_customer_subnet,
)
from vpnportal.services.drafts import edit, edit_fields, set_preshared_key
from vpnportal.services.edit_conflicts import VERSION_UNKNOWN, EditConflict
from vpnportal.services.errors import Refused
from vpnportal.services.hosted_subnets import attach_subnet, detach_subnet
from vpnportal.services.move_tunnel import move
from vpnportal.services.orders import cancel, order
from vpnportal.services.preshared_keys import generate_preshared_key, reveal_preshared_key
from vpnportal.services.remote_subnets import add_remote_subnet, remove_remote_subnet
from vpnportal.services.restore_draft import discard, restore, revert_field, undo
from vpnportal.services.translations import (
    TranslationEdit,
    TranslationRow,
    add_translations,
    edit_translations,
    remove_translation,
    row_problems,
    set_translations,
)
from vpnportal.services.tunnel_commands import connect, disconnect, reconnect, rekey
from vpnportal.services.tunnel_state import TunnelState, state_of, states_of

__all__ = [
    "VERSION_UNKNOWN",
    "EditConflict",
    "Refused",
    "TranslationEdit",
    "TranslationRow",
    "Trial",
    "TunnelState",
    "add_remote_subnet",
    "add_translations",
    "apply",
    "attach_customer_subnet",
    "attach_subnet",
    "cancel",
    "connect",
    "delete_customer_subnet",
    "detach_subnet",
    "discard",
    "disconnect",
    "edit",
    "edit_fields",
    "edit_translations",
    "generate_preshared_key",
    "make_customer_subnet",
    "move",
    "order",
    "reconnect",
    "rekey",
    "remove_remote_subnet",
    "remove_translation",
    "restore",
    "reveal_preshared_key",
    "revert_field",
    "row_problems",
    "set_preshared_key",
    "set_translations",
    "state_of",
    "states_of",
    "undo",
]
