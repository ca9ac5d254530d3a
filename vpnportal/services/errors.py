"""The one way a service says no, and the lock that most refusals come from."""

from __future__ import annotations

from vpnportal.domain.tunnel.spec import Problem

NO_ROOM = (
    "The portal cannot write to its database, perhaps because its disk is full: nothing was "
    "changed. What runs goes on. Enter it again in a moment, and tell the provider if that fails."
)


class Refused(Exception):
    """Nothing was changed; `problems` say why and what would be right."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(" ".join(problem.text for problem in problems))
        self.problems = problems
