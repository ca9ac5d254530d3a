"""Operations on tunnels, accounts and API keys for pages, the API, the admin site and commands.

Code outside this package imports names from the package, never from its modules.
"""

from vpnportal.services.address_allocation import PoolUse, pool_uses
from vpnportal.services.api_keys import (
    api_key_digest,
    create_api_key,
    revoke_api_key,
    warn_of_ending_keys,
)
from vpnportal.services.apply_draft import Trial, apply
from vpnportal.services.customer_subnets import (
    attach_customer_subnet,
    delete_customer_subnet,
    make_customer_subnet,
)
from vpnportal.services.diagnosis import findings_of
from vpnportal.services.draft_digests import fill_missing_digests
from vpnportal.services.drafts import EDITABLE_FIELDS, edit, edit_fields, set_preshared_key
from vpnportal.services.edit_conflicts import (
    KEY_FIELD,
    VERSION_UNKNOWN,
    EditConflict,
    SeenVersion,
    author_name,
    edits_since,
    key_version_of,
    newest_edit,
)
from vpnportal.services.enrolment import (
    add_concentrator,
    note_certificate,
    note_joined,
    note_removed,
    tunnels_of_gateway,
)
from vpnportal.services.envelope_keys import set_envelope_key
from vpnportal.services.errors import Refused, TunnelLocked
from vpnportal.services.held_tunnels import (
    Choice,
    HeldSummary,
    RestoreStatus,
    forget_gateway,
    held_tunnels,
    keep_gateways,
    restore_status,
    take_backups,
)
from vpnportal.services.history import (
    HistoryEntry,
    diff_revisions,
    history_page,
    newest_entries,
    revisions_of,
)
from vpnportal.services.hosted_subnets import attach_subnet, detach_subnet
from vpnportal.services.input_parsing import (
    parse_address,
    parse_day,
    parse_dpd,
    parse_keylife,
    parse_name,
    parse_notes,
    parse_peer,
    parse_preshared_key,
    parse_subnet,
    parse_trial_seconds,
)
from vpnportal.services.member_changes import owners_addresses, tell_owners
from vpnportal.services.memberships import (
    accept_invitation,
    invitation_of,
    invite,
    lock_account,
    mail_invitation,
    refuse_last_owners,
    remove_member,
    revoke_invitation,
    set_member_role,
    withdraw_access,
    withdraw_invitations,
)
from vpnportal.services.move_tunnel import move
from vpnportal.services.orders import Location, cancel, locations, order
from vpnportal.services.peer_config import live_peer_view, peer_view_of
from vpnportal.services.peer_probe import (
    is_probe_open,
    is_probe_usable,
    learned_values,
    newest_probe,
    start_probe,
    use_learned_values,
)
from vpnportal.services.preshared_keys import (
    generate_preshared_key,
    record_key_reveals,
    reveal_preshared_key,
)
from vpnportal.services.remote_subnets import add_remote_subnet, remove_remote_subnet
from vpnportal.services.restore_draft import (
    Replaced,
    discard,
    preview_restore,
    restore,
    revert_field,
    undo,
    undoable,
)
from vpnportal.services.review import Review, review_of
from vpnportal.services.search import find_tunnels
from vpnportal.services.sign_in_limits import (
    NETWORK,
    TooManyAttempts,
    begin_attempt,
    forget_attempts,
    note_failure,
    note_sign_in,
)
from vpnportal.services.state_labels import STATE_RANKS, STATE_SLUGS, StateLabel
from vpnportal.services.translation_imports import (
    LONG_IMPORT_ROWS,
    Change,
    changes_as_json,
    changes_from_json,
    import_of,
    newest_import,
    paused_imports,
    request_import,
    run_import_step,
)
from vpnportal.services.translations import (
    TranslationEdit,
    TranslationRow,
    add_translations,
    edit_translations,
    remove_translation,
    row_problems,
    saved_rows,
    set_translations,
)
from vpnportal.services.tunnel_commands import (
    connect,
    disconnect,
    is_command_open,
    newest_command,
    reconnect,
    rekey,
)
from vpnportal.services.tunnel_conflicts import PROVIDER_KINDS
from vpnportal.services.tunnel_lock import is_held
from vpnportal.services.tunnel_marks import ensure_mark
from vpnportal.services.tunnel_state import TunnelState, state_of, states_of
from vpnportal.services.tunnel_state_ranking import (
    RankedTunnels,
    count_by_state,
    in_state,
    with_state_rank,
)
from vpnportal.services.user_names import user_name_problem

__all__ = [
    "EDITABLE_FIELDS",
    "KEY_FIELD",
    "LONG_IMPORT_ROWS",
    "NETWORK",
    "PROVIDER_KINDS",
    "STATE_RANKS",
    "STATE_SLUGS",
    "VERSION_UNKNOWN",
    "Change",
    "Choice",
    "EditConflict",
    "HeldSummary",
    "HistoryEntry",
    "Location",
    "PoolUse",
    "RankedTunnels",
    "Refused",
    "Replaced",
    "RestoreStatus",
    "Review",
    "SeenVersion",
    "StateLabel",
    "TooManyAttempts",
    "TranslationEdit",
    "TranslationRow",
    "Trial",
    "TunnelLocked",
    "TunnelState",
    "accept_invitation",
    "add_concentrator",
    "add_remote_subnet",
    "add_translations",
    "api_key_digest",
    "apply",
    "attach_customer_subnet",
    "attach_subnet",
    "author_name",
    "begin_attempt",
    "cancel",
    "changes_as_json",
    "changes_from_json",
    "connect",
    "count_by_state",
    "create_api_key",
    "delete_customer_subnet",
    "detach_subnet",
    "diff_revisions",
    "discard",
    "disconnect",
    "edit",
    "edit_fields",
    "edit_translations",
    "edits_since",
    "ensure_mark",
    "fill_missing_digests",
    "find_tunnels",
    "findings_of",
    "forget_attempts",
    "forget_gateway",
    "generate_preshared_key",
    "held_tunnels",
    "history_page",
    "import_of",
    "in_state",
    "invitation_of",
    "invite",
    "is_command_open",
    "is_held",
    "is_probe_open",
    "is_probe_usable",
    "keep_gateways",
    "key_version_of",
    "learned_values",
    "live_peer_view",
    "locations",
    "lock_account",
    "mail_invitation",
    "make_customer_subnet",
    "move",
    "newest_command",
    "newest_edit",
    "newest_entries",
    "newest_import",
    "newest_probe",
    "note_certificate",
    "note_failure",
    "note_joined",
    "note_removed",
    "note_sign_in",
    "order",
    "owners_addresses",
    "parse_address",
    "parse_day",
    "parse_dpd",
    "parse_keylife",
    "parse_name",
    "parse_notes",
    "parse_peer",
    "parse_preshared_key",
    "parse_subnet",
    "parse_trial_seconds",
    "paused_imports",
    "peer_view_of",
    "pool_uses",
    "preview_restore",
    "reconnect",
    "record_key_reveals",
    "refuse_last_owners",
    "rekey",
    "remove_member",
    "remove_remote_subnet",
    "remove_translation",
    "request_import",
    "restore",
    "restore_status",
    "reveal_preshared_key",
    "revert_field",
    "review_of",
    "revisions_of",
    "revoke_api_key",
    "revoke_invitation",
    "row_problems",
    "run_import_step",
    "saved_rows",
    "set_envelope_key",
    "set_member_role",
    "set_preshared_key",
    "set_translations",
    "start_probe",
    "state_of",
    "states_of",
    "take_backups",
    "tell_owners",
    "tunnels_of_gateway",
    "undo",
    "undoable",
    "use_learned_values",
    "user_name_problem",
    "warn_of_ending_keys",
    "with_state_rank",
    "withdraw_access",
    "withdraw_invitations",
]
