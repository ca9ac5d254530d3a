"""Races: any two writes that begin at once for one tunnel end as if one came after the other."""

from __future__ import annotations

import pytest

from tests.integration.race_harness import at_once, no_broker, scene, wrong_pairs
from tests.integration.race_operations import OPERATIONS
from vpnportal import services

__all__ = ["at_once", "no_broker", "scene"]
# The services that write nothing.
READERS = {
    "NETWORK", "TooManyAttempts", "user_name_problem",
    "DEFAULT_ROTATION_DAYS", "EDITABLE_FIELDS", "KEY_FIELD", "LONG_IMPORT_ROWS",
    "PROVIDER_KINDS", "PoolUse", "STATE_RANKS",
    "STATE_SLUGS", "VERSION_UNKNOWN", "Change", "Choice", "EditConflict", "HeldSummary",
    "HistoryEntry", "Location", "RankedTunnels", "Refused", "Replaced", "RestoreStatus", "Review",
    "Rotation",
    "SeenVersion", "StateLabel", "TranslationEdit", "TranslationRow", "Trial", "TunnelLocked",
    "TunnelState", "api_key_digest", "author_name", "changes_as_json", "changes_from_json",
    "count_by_state", "diff_revisions", "edits_since", "find_tunnels", "findings_of",
    "held_tunnels", "history_page", "import_of", "in_state", "invitation_of", "is_command_open",
    "is_held", "is_probe_open", "is_probe_usable", "key_version_of", "learned_values",
    "Quota", "QuotaUse", "order_refusal", "quota_use", "quota_uses", "live_peer_view", "locations",
    "newest_command", "newest_edit", "newest_entries", "owners_of",
    "newest_import", "newest_probe", "parse_address", "parse_day", "parse_dpd", "parse_keylife",
    "parse_name", "parse_notes", "parse_peer", "parse_preshared_key",
    "parse_rotation_days", "parse_subnet",
    "parse_trial_seconds", "paused_imports", "peer_view_of", "pool_uses", "preview_restore",
    "restore_status", "review_of", "revisions_of", "rotation_of", "row_problems",
    "saved_rows", "state_of",
    "states_of", "tunnels_of_gateway", "undoable", "with_state_rank",
}  # fmt: skip
# Parts of other services, which have the transaction.
PARTS = {
    "begin_attempt", "ensure_mark", "forget_attempts", "lock_account", "mail_invitation",
    "note_certificate", "note_failure", "note_sign_in", "refuse_last_owners",
    "tell_owners", "warn_of_ending_keys", "withdraw_access", "withdraw_invitations",
}  # fmt: skip

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(600),
    pytest.mark.races,
]


@pytest.mark.parametrize("first", OPERATIONS, ids=str)
def test_two_writes_for_one_tunnel_harm_nothing(scene, at_once, first):
    others = OPERATIONS[OPERATIONS.index(first) :]

    wrong = wrong_pairs(scene, at_once, first, others, on_one=True)

    assert not wrong, "\n".join(wrong)


def test_each_service_that_writes_is_among_them():
    names = {operation.name for operation in OPERATIONS}

    assert set(services.__all__) - READERS - PARTS <= names
