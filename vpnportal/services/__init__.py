"""Everything that may be done to a tunnel; pages and programs both come here."""

from vpnportal.services.applying import Trial, apply
from vpnportal.services.attaching import attach_subnet, detach_subnet
from vpnportal.services.commands import connect, disconnect, reconnect, rekey
from vpnportal.services.customer_subnets import (
    attach_customer_subnet,
    delete_customer_subnet,
    make_customer_subnet,
)
from vpnportal.services.drafts import edit, set_preshared_key
from vpnportal.services.edits import UNKNOWN, Overtaken
from vpnportal.services.keys import generate_preshared_key, reveal_preshared_key
from vpnportal.services.moving import move
from vpnportal.services.ordering import cancel, order
from vpnportal.services.refusal import Refused
from vpnportal.services.remote_subnets import add_remote_subnet, remove_remote_subnet
from vpnportal.services.restoring import discard, put_back, restore, undo
from vpnportal.services.rows import Row, row_problems
from vpnportal.services.several import edit_several
from vpnportal.services.single_translations import (
    RowEdit,
    add_translations,
    edit_translations,
    remove_translation,
)
from vpnportal.services.state import State
from vpnportal.services.states import state_of, states_of
from vpnportal.services.translations import set_translations

__all__ = [
    "UNKNOWN",
    "Overtaken",
    "Refused",
    "Row",
    "RowEdit",
    "State",
    "Trial",
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
    "edit_several",
    "edit_translations",
    "generate_preshared_key",
    "make_customer_subnet",
    "move",
    "order",
    "put_back",
    "reconnect",
    "rekey",
    "remove_remote_subnet",
    "remove_translation",
    "restore",
    "reveal_preshared_key",
    "row_problems",
    "set_preshared_key",
    "set_translations",
    "state_of",
    "states_of",
    "undo",
]
