"""The measurements of `bin/bench audit`, in the process of a portal with PostgreSQL.

`python -m tests.bench.event_chain_process NUMBER` fills the empty database of
VPNPORTAL_DATABASE_URL, and prints a line of JSON: seconds and MiB by name.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "vpnportal.settings")
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from vpnportal.maintenance.event_chain import seal_events  # noqa: E402
from vpnportal.maintenance.event_verification import verify  # noqa: E402

FILL = """
INSERT INTO vpnportal_event (
    at, action, result, actor_kind, actor_id, actor_name, api_key_name, account_id, account_name,
    tunnel_id, tunnel_name, concentrator_id, concentrator_name, subject, reason, before, after,
    count, request_id, client_address)
SELECT now(), 'tunnel.edited', 'done', 'user', n %% 50, 'person' || n %% 50, '', n %% 20,
    'Account ' || n %% 20, n %% 1000, 'ipsec' || n %% 1000, 1, 'hou02-vpn01', '', '',
    '{"dpd_seconds": 15}', '{"dpd_seconds": 30}', 1, left(md5(n::text), 24), '192.0.2.' || n %% 250
FROM generate_series(1, %s) AS n
"""


def main(number: int) -> None:
    """Fill, seal and verify."""
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(FILL, [number])
        cursor.execute("ANALYZE")
    seal = seconds_of(seal_events)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    verify_seconds = seconds_of(lambda: check(verify(), number))
    usage = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(json.dumps({"seal": seal, "verify": verify_seconds, "memory": usage / 1024}))


def check(verified, number: int) -> None:
    """Raise AssertionError unless all events were verified."""
    assert (verified.problem, verified.count) == ("", number), verified


def seconds_of(function) -> float:
    """Return the seconds that a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


if __name__ == "__main__":
    main(int(sys.argv[1]))
