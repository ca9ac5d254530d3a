"""Refusals of services."""

from __future__ import annotations

from vpnportal.domain.tunnel.spec import Problem

CANNOT_WRITE = (
    "The portal cannot write to its database. Its disk may be full. Nothing was changed, and "
    "running tunnels are not affected. Try again in a moment, then contact the provider."
)


class Refused(Exception):
    """A refused operation, which has changed nothing. `problems` give reasons and remedies."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(" ".join(problem.text for problem in problems))
        self.problems = problems


class TunnelLocked(Refused):
    """A refusal until the running apply is finished. Repeating the operation then succeeds."""
