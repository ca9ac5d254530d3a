"""Drift, written down: what a converge put right although nobody had applied anything."""

from __future__ import annotations

from vpnportal.domain.gateway_config.names import tunnel_id
from vpnportal.gateway.steps import Step
from vpnportal.models import Concentrator, DriftRepair

# More than so many at once are one event, such as a charon that was started again.
ONE_BY_ONE = 20


class DriftLog:
    """The repairs of one converge; a second pass of the same converge adds to them."""

    def __init__(self, concentrator: Concentrator) -> None:
        self._concentrator = concentrator
        self._steps: list[Step] = []

    def add(self, step: Step) -> None:
        """Something was put right."""
        self._steps.append(step)

    def save(self) -> None:
        """Keep what was noted: each repair of a tunnel, or one line about very many."""
        if not self._steps:
            return
        steps = list(dict.fromkeys(self._steps))
        if len(steps) > ONE_BY_ONE:
            tunnels = {step.connection for step in steps if step.connection}
            text = f"Put {len(tunnels)} tunnels right, in {len(steps)} steps"
            general = [step for step in steps if not step.connection]
            steps = [Step("", text), *general]
        known = set(self._concentrator.tunnels.values_list("pk", flat=True))
        DriftRepair.objects.bulk_create(
            DriftRepair(
                concentrator=self._concentrator, tunnel_id=_tunnel(step, known), text=step.text
            )
            for step in steps
        )


def _tunnel(step: Step, known: set[int]) -> int | None:
    number = tunnel_id(step.connection) if step.connection else None
    return number if number in known else None
