"""Some hundred spoiled requests; `bin/fuzz` sends a hundred thousand."""

from __future__ import annotations

import pytest

from tests.fuzz import world
from tests.fuzz.run import run
from vpnportal.api import authentication


@pytest.mark.django_db
def test_of_requests_that_nobody_would_write_come_only_answers_and_faults(monkeypatch):
    monkeypatch.setattr(authentication, "CALLS", authentication.CALLS)

    findings = run(world.make(), 400, seed=7)

    assert findings.found == []
    assert findings.outcomes["ok"] > 40, "some of them have to reach a method"
