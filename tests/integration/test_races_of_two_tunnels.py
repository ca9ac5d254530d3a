"""Races: any two writes that reach beyond their tunnel, for two tunnels of an account at once."""

from __future__ import annotations

import pytest

from tests.integration.race_harness import at_once, no_broker, scene, wrong_pairs
from tests.integration.race_operations import OPERATIONS

__all__ = ["at_once", "no_broker", "scene"]
# These write rows of no other tunnel, of the account or of the concentrator.
WITHIN = {
    "edit", "edit_fields", "set_preshared_key", "generate_preshared_key", "reveal_preshared_key",
    "set_translations", "add_translations", "edit_translations", "remove_translation",
    "use_learned_values", "connect", "disconnect", "disconnect_trial", "reconnect", "rekey",
    "start_probe", "fail_overdue", "fail_refused", "mark_accepted", "save_one", "invite",
    "accept_invitation", "revoke_invitation", "set_member_role", "remove_member",
    "create_api_key", "revoke_api_key",
}  # fmt: skip
CROSSING = [operation for operation in OPERATIONS if operation.name not in WITHIN]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(600),
    pytest.mark.races,
]


@pytest.mark.parametrize("first", CROSSING, ids=str)
def test_two_writes_for_two_tunnels_harm_nothing(scene, at_once, first):
    others = CROSSING[CROSSING.index(first) :]

    wrong = wrong_pairs(scene, at_once, first, others, on_one=False)

    assert not wrong, "\n".join(wrong)
