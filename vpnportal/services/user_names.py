"""Names of users: the reasons against a new one."""

from __future__ import annotations

from vpnportal.models import is_similar_to_another
from vpnportal.user_names import TAKEN, problem_of


def user_name_problem(name: str, user_id: int | None = None) -> str:
    """Return the reason why a user cannot get this name, or "".

    `user_id` is of a user who has a name already. The words are the same for equal and similar
    names of others.
    """
    return problem_of(name) or (TAKEN if is_similar_to_another(name, user_id) else "")
